/* Which health rules hold for which object: those of its Application (spec.health.checks) come
 * first, then those of the operator's file (--health-rules), then those that are shipped, and then
 * kstatus.
 *
 * A verdict is found as the watch tells of an object, and the object is not kept. So where rules
 * change, the kinds that they judge otherwise are listed again. */
#ifndef GITMOOR_DIFFER_HEALTH_CHECKS_H
#define GITMOOR_DIFFER_HEALTH_CHECKS_H

#include "common/data/health_rules.h"
#include "differ/differ.h"

/* A broken file is an error here; later it leaves the rules as they were, and the gauge
 * gitmoor_differ_health_rules_current is 0. */
bool health_checks_open(struct differ *differ, struct error *error);
void health_checks_close(struct differ *differ);

/* The `judge` of live_handlers; `context` is the differ. */
enum health_status health_checks_judge(const char *label, const cJSON *object,
                                       char ret_message[HEALTH_MESSAGE_SIZE], void *context);

/* The Application's own checks are `now` instead of `before`; either may be NULL. */
void health_checks_changed(struct application *application, const struct health_rules *before,
                           const struct health_rules *now);

#endif
