/* Who the applier itself is, by SelfSubjectReview: admission is told this name with each request.
 */
#ifndef GITMOOR_APPLIER_SELF_H
#define GITMOOR_APPLIER_SELF_H

#include "common/kube/client.h"

struct self;

/* Asks, again and again until there is an answer. `known` is called once with the user name;
 * `trouble` for each failure before. */
struct self *self_ask(struct event_base *base, struct kube_client *client,
                      void (*known)(const char *user_name, void *context),
                      void (*trouble)(const struct error *error, void *context), void *context);
void self_free(struct self *self);

#endif
