/* The watch of Applications that keeps an application_set up to date. */
#ifndef GITMOOR_ADMISSION_APPLICATIONS_H
#define GITMOOR_ADMISSION_APPLICATIONS_H

#include "admission/application.h"
#include "common/kube/client.h"

struct applications;

/* `synced` is called when the set is complete for the first time. */
struct applications *applications_new(struct kube_client *client, void (*synced)(void *context),
                                      void *context);
void applications_free(struct applications *applications);
const struct application_set *applications_set(const struct applications *applications);

#endif
