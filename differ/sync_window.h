/* spec.syncWindows: when new revisions may be applied. Without windows: at any time. With windows:
 * while one of kind Allow is open, if there is any of that kind, and none of kind Deny is. Repairs
 * of drift see only the windows that say `drift: Wait`. */
#ifndef GITMOOR_DIFFER_SYNC_WINDOW_H
#define GITMOOR_DIFFER_SYNC_WINDOW_H

#include "common/base/cron.h"
#include "common/data/json.h"

struct sync_window {
    bool denies;
    bool repairs; /* it counts for repairs too */
    struct cron cron;
    struct zone *zone; /* NULL: UTC */
    int64_t duration;  /* seconds */
};

struct sync_windows {
    struct sync_window *list;
    size_t count;
    char *error; /* one cannot be understood: none is ever open; or NULL */
};

enum sync_what { SYNC_REVISIONS, SYNC_REPAIRS };

/* The value of spec.syncWindows, NULL: none. */
void sync_windows_read(const cJSON *list, struct sync_windows *ret);
void sync_windows_release(struct sync_windows *windows);

/* At an instant in ms since 1970. */
bool sync_windows_are_open(const struct sync_windows *windows, enum sync_what what, int64_t at);

/* The first instant after `at` at which they are open, INT64_MAX if none is found. */
int64_t sync_windows_next_opening(const struct sync_windows *windows, enum sync_what what,
                                  int64_t at);

#endif
