/* The settings of gitmoor-admission. */
#ifndef GITMOOR_ADMISSION_SETTINGS_H
#define GITMOOR_ADMISSION_SETTINGS_H

#include "common/run/process.h"

struct admission_settings {
    struct process_settings common;
    const char *webhook_listen;
    const char *webhook_url;
    const char *namespace_;
    const char *service;
    int64_t service_port;
    const char *applier;
    const char *failure_policy;
    int64_t webhook_timeout; /* ms */
    const char *controllers; /* comma-separated */
    const char *differ;
    int64_t connections;
    int64_t certificate_days;
    int64_t rotation_grace; /* ms */
    bool floor;
    bool unregister;
};

extern const struct setting admission_settings_table[];

/* What the table alone cannot check. */
bool admission_settings_check(const struct admission_settings *settings, struct error *error);

/* The comma-separated list as an array ended by NULL; the array and its strings are one block, to
 * be freed with free(). */
const char **admission_split(const char *list);

#endif
