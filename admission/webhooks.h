/* The webhook configurations as they should be: pure, given the options.
 *
 * Each field is given explicitly, so that what the API server holds is equal to this or has been
 * edited. What the entries are for, and why they are so narrow, is told in webhooks.c. */
#ifndef GITMOOR_ADMISSION_WEBHOOKS_H
#define GITMOOR_ADMISSION_WEBHOOKS_H

#include "common/data/json.h"

#define WEBHOOKS_NAME "gitmoor-admission" /* of both configurations */
#define WEBHOOKS_REVIEW_PATH "/review"
#define WEBHOOKS_SCALE_PATH "/scale"
#define WEBHOOKS_REASON_PATH "/reason"

struct webhooks_options {
    const char *url;        /* "https://host:port", or NULL: the service */
    const char *namespace_; /* of ours: of the service, and not guarded */
    const char *service;
    int64_t service_port;
    const char *ca_bundle;      /* PEM */
    const char *failure_policy; /* "Fail" or "Ignore" */
    int64_t timeout_seconds;
    const char *applier;            /* its user name */
    const char *const *controllers; /* as struct verdict_settings has them */
};

enum webhooks_kind { WEBHOOKS_VALIDATING, WEBHOOKS_MUTATING, WEBHOOKS_KINDS };

/* The whole object, for the caller to free. */
cJSON *webhooks_configuration(enum webhooks_kind kind, const struct webhooks_options *options);

#endif
