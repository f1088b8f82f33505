/* The optional floor: a ValidatingAdmissionPolicy and its binding with the core rule, which the API
 * server itself evaluates when no replica answers. Pure, given the options.
 *
 * It refuses a subset of what the process refuses, and never anything else: what stays out of its
 * reach is told in floor.c. It knows an application by its label only, so those that are not
 * enforced are listed in it and it is written anew when the list changes. */
#ifndef GITMOOR_ADMISSION_FLOOR_H
#define GITMOOR_ADMISSION_FLOOR_H

#include "admission/application.h"
#include "admission/webhooks.h"

/* Applications that are not enforced, at most; with more there is no floor. The policy grows by up
 * to 66 bytes for each, and the API server takes objects up to 1.5 MiB. */
#define FLOOR_LAX_MAXIMUM 10000

/* The label values of the applications that are not enforced: sorted, one a line. To be freed. */
char *floor_lax(const struct application_set *applications);
size_t floor_lax_count(const char *lax);

cJSON *floor_policy(const struct webhooks_options *options, const char *lax);
cJSON *floor_binding(void);

#endif
