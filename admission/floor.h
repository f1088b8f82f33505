/* The optional floor: a ValidatingAdmissionPolicy and its binding with the core rule, which the API
 * server itself evaluates when no replica answers. Pure, given the options.
 *
 * It refuses a subset of what the process refuses, and never anything else: what stays out of its
 * reach is told in docs/admission.md. What it knows of applications is a list in it, so that it is
 * written anew when that changes. */
#ifndef GITMOOR_ADMISSION_FLOOR_H
#define GITMOOR_ADMISSION_FLOOR_H

#include "admission/webhooks.h"

/* Applications that it lists, at most; with more there is no floor. The policy grows by up to 67
 * bytes for each, and the API server takes objects up to 1.5 MiB. */
#define FLOOR_APPLICATIONS_MAXIMUM 10000

/* `list`: of floor_list.h, as it was at `since` (wall ms) and a moment before. */
cJSON *floor_policy(const struct webhooks_options *options, const char *list, int64_t since);
/* The `since` of a policy, or 0 if it has none that can be read. */
int64_t floor_since(const cJSON *policy);
cJSON *floor_binding(void);

#endif
