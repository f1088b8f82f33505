#include "common/run/tenancy_file.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/file_watch.h"
#include "common/run/metrics.h"

#include <string.h>

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
    struct tenancy *tenancy;
    struct file_watch *watch;
};

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

static void on_changed(void *context)
{
    struct tenancy_file *file = context;
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

void tenancy_file_poll(struct tenancy_file *file)
{
    file_watch_poll(file->watch);
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
    file->watch = file_watch_new(options->base, file->path, on_changed, file);
    if (!read_settings(file->path, &file->tenancy, error)) {
        tenancy_file_free(file);
        return false;
    }
    metric_set(&current, NULL, 1);
    *ret = file;
    return true;
}

void tenancy_file_free(struct tenancy_file *file)
{
    if (!file) {
        return;
    }
    file_watch_free(file->watch);
    tenancy_free(file->tenancy);
    free(file->path);
    free(file);
}

const struct tenancy *tenancy_file_get(const struct tenancy_file *file)
{
    return file ? file->tenancy : NULL;
}
