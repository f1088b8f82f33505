/* The watch of Applications that keeps an application_set up to date. */
#ifndef GITMOOR_ADMISSION_APPLICATIONS_H
#define GITMOOR_ADMISSION_APPLICATIONS_H

#include "admission/application.h"
#include "common/kube/client.h"

struct applications;

struct applications_handlers {
    void (*synced)(void *context); /* the set is complete for the first time */
    /* Then, and when there are other applications or others are enforced: what floor_list lists. */
    void (*listed)(void *context);
    void *context;
};

struct applications *applications_new(struct kube_client *client,
                                      const struct applications_handlers *handlers);
void applications_free(struct applications *applications);
const struct application_set *applications_set(const struct applications *applications);

#endif
