#include "fetcher/settings.h"

#include "common/base/text.h"

#define ROW(field, flag, type, otherwise, argument, help)                                          \
    {                                                                                              \
        flag, type, offsetof(struct fetcher_settings, field), otherwise, argument, help, false     \
    }

const struct setting fetcher_settings_table[] = {
    PROCESS_SETTINGS(struct fetcher_settings, "127.0.0.1:9401"),
    ROW(data_dir, "data-dir", SETTING_STRING, "/var/lib/gitmoor/fetcher", "DIR",
        "Where repositories are mirrored; it may be lost."),
    ROW(differ, "differ", SETTING_STRING, NULL, "ADDRESS", "The differ's inbox on the bus."),
    ROW(allow_file_urls, "allow-file-urls", SETTING_BOOL, NULL, NULL,
        "Allow file:// URLs, for development: whoever may write a GitRepository then reads every "
        "repository of this machine that this process can read."),
    ROW(max_repository_size, "max-repository-size", SETTING_SIZE, "1Gi", "SIZE",
        "How large the mirror of one repository, and a pack of it, may be."),
    ROW(fetch_concurrency, "fetch-concurrency", SETTING_INT, "4", "N",
        "How many fetches and packs may run at once."),
    TENANCY_SETTING(struct fetcher_settings),
    {NULL, SETTING_STRING, 0, NULL, NULL, NULL, false},
};

bool fetcher_settings_check(const struct fetcher_settings *settings, struct error *error)
{
    if (text_is_empty(settings->common.bus)) {
        return error_set(error, ERROR_INVALID, "--bus ADDRESS is needed (or GITMOOR_BUS)");
    }
    if (settings->fetch_concurrency < 1 || settings->fetch_concurrency > 256) {
        return error_set(error, ERROR_INVALID, "--fetch-concurrency must be from 1 to 256");
    }
    if (settings->max_repository_size < (int64_t)1 << 20) {
        return error_set(error, ERROR_INVALID, "--max-repository-size must be at least 1Mi");
    }
    return true;
}
