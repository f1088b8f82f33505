/* Keeps both webhook configurations, and the floor if there is to be one, in the API server as they
 * should be: made by server-side apply, watched, and put back when somebody edits or deletes them.
 */
#ifndef GITMOOR_ADMISSION_REGISTRATION_H
#define GITMOOR_ADMISSION_REGISTRATION_H

#include "admission/floor.h"
#include "admission/webhooks.h"
#include "common/kube/client.h"

struct registration;

struct registration_handlers {
    /* Both configurations stand in the API server with this bundle; told again for each other
     * bundle. */
    void (*standing)(const char *ca_bundle, void *context);
    void *context;
};

/* The options are copied, the strings in them outlive the registration. Nothing is registered until
 * there is a bundle. `floor`: whether there is to be one; if not, one that stands is removed. */
struct registration *registration_new(struct event_base *base, struct kube_client *client,
                                      const struct webhooks_options *options, bool floor,
                                      const struct registration_handlers *handlers);
void registration_free(struct registration *registration);

/* From now on this bundle (PEM). Setting the same again does nothing. */
void registration_set_bundle(struct registration *registration, const char *ca_bundle);

/* The applications there are, as floor_list writes them: the floor follows in a moment. Nothing is
 * done about it before they are told. */
void registration_set_applications(struct registration *registration, const char *list);

/* Removes all of it, and waits for that. Those that do not exist are removed already. */
bool registration_remove(struct kube_client *client, struct error *error);

#endif
