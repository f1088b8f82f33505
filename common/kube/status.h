/* What our processes write about their own objects: conditions by the kstatus conventions, status
 * patches, and Events. */
#ifndef GITMOOR_KUBE_STATUS_H
#define GITMOOR_KUBE_STATUS_H

#include "common/kube/client.h"

/* Sets one condition in a `conditions` array: lastTransitionTime (of now) changes only if the
 * status does; observedGeneration is always written. `status` is "True", "False" or "Unknown".
 * Message is cut at 32,768 bytes, the API's limit. Returns whether anything but the time changed.
 */
bool status_set_condition(cJSON *conditions, const char *type, const char *status,
                          const char *reason, const char *message, int64_t generation);
bool status_remove_condition(cJSON *conditions, const char *type);
const cJSON *status_condition(const cJSON *conditions, const char *type); /* or NULL */

/* Replaces the whole status of an object by a patch of its /status subresource, with
 * `status` taken. `path` is the object's path, without "/status". */
struct kube_call *status_patch(struct kube_client *client, const char *path, cJSON *status,
                               kube_response_fn done, void *context);

/* Events (events.k8s.io/v1), aggregated: the same (object, type, reason, message) within ten
 * minutes is a series update of the one that exists, at most once a minute. Failures are
 * ignored: an Event is never a reason to fail. */
struct kube_event_recorder;
struct kube_event_recorder *kube_event_recorder_new(struct kube_client *client,
                                                    const char *controller, const char *instance);
void kube_event_recorder_free(struct kube_event_recorder *recorder);
/* `object` needs apiVersion, kind and metadata {namespace,name,uid}. `type` is "Normal" or
 * "Warning"; reason and action are CamelCase words; the note is cut at 1,024 bytes. */
void kube_event_record(struct kube_event_recorder *recorder, const cJSON *object, const char *type,
                       const char *reason, const char *action, const char *note);

#endif
