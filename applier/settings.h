/* The settings of gitmoor-applier: one table, from which flags, environment and --help come. */
#ifndef GITMOOR_APPLIER_SETTINGS_H
#define GITMOOR_APPLIER_SETTINGS_H

#include "common/run/process.h"

struct applier_settings {
    struct process_settings common;
    const char *differ;                  /* its inbox; NULL: nobody to work for */
    const char *default_service_account; /* NAME or NAMESPACE/NAME */
    const char *user_name;               /* NULL: asked of the API server */
    int64_t window_maximum;              /* requests in flight */
    int64_t request_timeout;             /* ms */
    int64_t identity_timeout;            /* ms */
    int64_t await_deletions;             /* ms; 0: no step of uninstalling */
    bool release;
};

extern const struct setting applier_settings_table[];

#endif
