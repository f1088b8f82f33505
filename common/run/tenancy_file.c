#include "common/run/tenancy_file.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/metrics.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/stat.h>

#define POLL_SECONDS 1

static struct metric current = {
    .name = "gitmoor_tenancy_current",
    .help = "1: the tenancy settings in force are those of the file; 0: the file is broken and the "
            "ones before are kept.",
    .type = METRIC_GAUGE};
static struct metric reloads = {.name = "gitmoor_tenancy_reloads_total",
                                .help =
                                    "Times the file of the tenancy settings changed, by result: "
                                    "taken or refused.",
                                .type = METRIC_COUNTER,
                                .label = "result"};

struct tenancy_file {
    struct tenancy_file_options options;
    char *path;
    struct stat seen; /* zeroed: it was not there */
    struct tenancy *tenancy;
    struct event *timer;
};

static bool is_same(const struct stat *left, const struct stat *right)
{
    return left->st_ino == right->st_ino && left->st_dev == right->st_dev &&
           left->st_size == right->st_size && left->st_mtim.tv_sec == right->st_mtim.tv_sec &&
           left->st_mtim.tv_nsec == right->st_mtim.tv_nsec;
}

/* Messages name the file as it is mounted, not where. */
static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool read_settings(const char *path, struct tenancy **ret, struct error *error)
{
    AUTO_BUF struct buf text;
    buf_init(&text, TENANCY_FILE_MAXIMUM);
    return (buf_read_file(&text, path, error) &&
            tenancy_parse(text.data, text.size, file_name(path), ret, error)) ||
           error_prefix(error, "tenancy settings");
}

void tenancy_file_poll(struct tenancy_file *file)
{
    struct stat now = {0};
    if (stat(file->path, &now) != 0) {
        now = (struct stat){0};
    }
    if (is_same(&now, &file->seen)) {
        return;
    }
    file->seen = now;
    struct tenancy *tenancy = NULL;
    struct error error;
    bool ok = read_settings(file->path, &tenancy, &error);
    metric_set(&current, NULL, ok);
    metric_add(&reloads, ok ? "taken" : "refused", 1);
    if (!ok) {
        file->options.trouble(&error, file->options.context);
        return;
    }
    tenancy_free(file->tenancy);
    file->tenancy = tenancy;
    file->options.changed(file->options.context);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    tenancy_file_poll(context);
}

bool tenancy_file_open(const struct tenancy_file_options *options, struct tenancy_file **ret,
                       struct error *error)
{
    struct tenancy_file *file = NEW(struct tenancy_file);
    file->options = *options;
    if (text_is_empty(options->path)) {
        *ret = file;
        return true;
    }
    file->path = mem_string(options->path);
    /* Before it is read: what is written meanwhile is seen by the first poll. */
    if (stat(file->path, &file->seen) != 0) {
        file->seen = (struct stat){0};
    }
    if (!read_settings(file->path, &file->tenancy, error)) {
        tenancy_file_free(file);
        return false;
    }
    metric_set(&current, NULL, 1);
    file->timer = event_new(options->base, -1, EV_PERSIST, on_timer, file);
    const struct timeval pause = {.tv_sec = POLL_SECONDS};
    event_add(file->timer, &pause);
    *ret = file;
    return true;
}

void tenancy_file_free(struct tenancy_file *file)
{
    if (!file) {
        return;
    }
    if (file->timer) {
        event_free(file->timer);
    }
    tenancy_free(file->tenancy);
    free(file->path);
    free(file);
}

const struct tenancy *tenancy_file_get(const struct tenancy_file *file)
{
    return file ? file->tenancy : NULL;
}
