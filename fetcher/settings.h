/* The settings of gitmoor-fetcher. */
#ifndef GITMOOR_FETCHER_SETTINGS_H
#define GITMOOR_FETCHER_SETTINGS_H

#include "common/run/process.h"

struct fetcher_settings {
    struct process_settings common;
    const char *data_dir;
    const char *differ;
    bool allow_file_urls;
    int64_t max_repository_size; /* bytes */
    int64_t fetch_concurrency;
};

extern const struct setting fetcher_settings_table[];

/* What the table cannot say: ranges, and what depends on what. */
bool fetcher_settings_check(const struct fetcher_settings *settings, struct error *error);

#endif
