#include "differ/sync_window.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#define DURATION_MINIMUM_MS 60000
#define DURATION_MAXIMUM_MS ((int64_t)366 * 86400 * 1000)
#define CHANGES_MAXIMUM                                                                            \
    5000 /* looked at for the next opening: a window a minute for three days                       \
          */

/* ---- Reading ---- */

static bool read_window(const cJSON *item, struct sync_window *ret, struct error *error)
{
    const char *kind = json_string(item, "kind");
    const char *zone = json_string(item, "timeZone");
    int64_t milliseconds = 0;
    *ret = (struct sync_window){
        .denies = text_equal(kind, "Deny"),
        .repairs = text_equal(json_string(item, "drift"), "Wait"),
    };
    if (!ret->denies && !text_equal(kind, "Allow")) {
        return error_set(error, ERROR_INVALID, "kind is Allow or Deny, not \"%.40s\"",
                         text_or_empty(kind));
    }
    if (!cron_parse(json_string(item, "schedule"), &ret->cron, error)) {
        return error_prefix(error, "schedule");
    }
    if (!text_parse_duration(json_string(item, "duration"), &milliseconds) ||
        milliseconds < DURATION_MINIMUM_MS || milliseconds > DURATION_MAXIMUM_MS) {
        return error_set(error, ERROR_INVALID, "duration: from 1m to 8784h, such as 8h or 1h30m");
    }
    ret->duration = milliseconds / 1000;
    bool is_utc = text_is_empty(zone) || text_equal(zone, "UTC");
    return is_utc || zone_load(ZONE_DIRECTORY, zone, &ret->zone, error) ||
           error_prefix(error, "timeZone");
}

void sync_windows_read(const cJSON *list, struct sync_windows *ret)
{
    *ret = (struct sync_windows){0};
    ret->list = mem_new(json_size(list), sizeof *ret->list);
    for (const cJSON *item = json_first(list); item; item = item->next) {
        struct error error;
        if (!read_window(item, &ret->list[ret->count], &error)) {
            ret->error = mem_format("spec.syncWindows[%zu]: %s", ret->count, error.message);
            return;
        }
        ret->count++;
    }
}

void sync_windows_release(struct sync_windows *windows)
{
    for (size_t i = 0; i < windows->count; i++) {
        zone_free(windows->list[i].zone);
    }
    free(windows->list);
    free(windows->error);
    *windows = (struct sync_windows){0};
}

/* ---- Asking, in seconds ---- */

/* The first time after `at` that an opening of the window ends. */
static int64_t next_end(const struct sync_window *window, int64_t at)
{
    int64_t begin = cron_next(&window->cron, window->zone, at - window->duration);
    return begin == CRON_NEVER ? CRON_NEVER : begin + window->duration;
}

/* It has begun within its duration before. */
static bool is_open(const struct sync_window *window, int64_t at)
{
    return cron_next(&window->cron, window->zone, at - window->duration) <= at;
}

static bool counts(const struct sync_window *window, enum sync_what what)
{
    return what == SYNC_REVISIONS || window->repairs;
}

static bool are_open(const struct sync_windows *windows, enum sync_what what, int64_t at)
{
    bool any_allows = false, allowed = false;
    for (size_t i = 0; i < windows->count; i++) {
        const struct sync_window *window = &windows->list[i];
        if (!counts(window, what)) {
            continue;
        }
        bool open = is_open(window, at);
        if (window->denies && open) {
            return false;
        }
        any_allows |= !window->denies;
        allowed |= !window->denies && open;
    }
    return allowed || !any_allows;
}

/* The next time that one of them begins or ends. */
static int64_t next_change(const struct sync_windows *windows, enum sync_what what, int64_t at)
{
    int64_t next = CRON_NEVER;
    for (size_t i = 0; i < windows->count; i++) {
        const struct sync_window *window = &windows->list[i];
        if (counts(window, what)) {
            int64_t begin = cron_next(&window->cron, window->zone, at);
            int64_t end = next_end(window, at);
            next = begin < next ? begin : next;
            next = end < next ? end : next;
        }
    }
    return next;
}

bool sync_windows_are_open(const struct sync_windows *windows, enum sync_what what, int64_t at)
{
    if (windows->error) {
        return what == SYNC_REPAIRS;
    }
    return windows->count == 0 || are_open(windows, what, at / 1000);
}

int64_t sync_windows_next_opening(const struct sync_windows *windows, enum sync_what what,
                                  int64_t at)
{
    int64_t second = at / 1000;
    for (unsigned i = 0; i < CHANGES_MAXIMUM && !windows->error; i++) {
        second = next_change(windows, what, second);
        if (second == CRON_NEVER) {
            return INT64_MAX;
        }
        if (are_open(windows, what, second)) {
            return second * 1000;
        }
    }
    return INT64_MAX;
}
