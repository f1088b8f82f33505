#include "differ/health_checks.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/file_watch.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/application.h"

#include <string.h>

static struct metric current = {
    .name = "gitmoor_differ_health_rules_current",
    .help = "1: the health rules in force are those of the file; 0: the file is broken and the "
            "ones before are kept.",
    .type = METRIC_GAUGE};
static struct metric reloads = {
    .name = "gitmoor_differ_health_rules_reloads_total",
    .help = "Times the file of the health rules changed, by result: taken or refused.",
    .type = METRIC_COUNTER,
    .label = "result"};

struct health_checks {
    struct health_rules *shipped;
    struct health_rules *file; /* or NULL */
    struct file_watch *watch;  /* or NULL */
};

/* ---- Judging ---- */

enum health_status health_checks_judge(const char *label, const cJSON *object,
                                       char ret_message[HEALTH_MESSAGE_SIZE], void *context)
{
    const struct differ *differ = context;
    const struct health_checks *checks = differ->health_checks;
    const struct application *application = map_get(&differ->by_label, label);
    const struct health_rules *const sets[] = {application ? application->spec.health_checks : NULL,
                                               checks->file, checks->shipped};
    return health_judge_by(sets, sizeof sets / sizeof *sets, object, ret_message);
}

/* ---- Changes ---- */

static bool judges_otherwise(const struct live_kind *kind, const struct health_rules *before,
                             const struct health_rules *now)
{
    AUTO_FREE char *left = health_rules_of_kind(before, kind->resource.group, kind->resource.kind);
    AUTO_FREE char *right = health_rules_of_kind(now, kind->resource.group, kind->resource.kind);
    return !text_equal(left, right);
}

void health_checks_changed(struct application *application, const struct health_rules *before,
                           const struct health_rules *now)
{
    if (!before && !now) {
        return;
    }
    const struct live_group *group = live_group_get(application->differ->live, application->label);
    struct map looked_at; /* kinds, by name: most objects of a group are of few */
    map_init(&looked_at);
    for (const struct live_object *object = group ? group->first : NULL; object;
         object = object->next) {
        if (map_has(&looked_at, object->kind->name)) {
            continue;
        }
        map_set(&looked_at, object->kind->name, (void *)"");
        if (judges_otherwise(object->kind, before, now)) {
            live_list_again(object->kind);
        }
    }
    map_release(&looked_at, NULL);
}

/* ---- The file ---- */

struct change {
    const struct health_rules *before, *now;
};

static void list_if_judged_otherwise(struct live_kind *kind, void *context)
{
    const struct change *change = context;
    if (judges_otherwise(kind, change->before, change->now)) {
        live_list_again(kind);
    }
}

static bool read_file(const struct differ *differ, struct health_rules **ret, struct error *error)
{
    const char *path = differ->settings->common.health_rules;
    const char *slash = strrchr(path, '/'); /* messages name the file as it is mounted, not where */
    AUTO_BUF struct buf text;
    buf_init(&text, HEALTH_RULES_FILE_MAXIMUM);
    return (buf_read_file(&text, path, error) &&
            health_rules_parse(text.data, text.size, slash ? slash + 1 : path, ret, error)) ||
           error_prefix(error, "health rules");
}

static void on_changed(void *context)
{
    struct differ *differ = context;
    struct health_checks *checks = differ->health_checks;
    struct health_rules *now = NULL;
    struct error error;
    bool ok = read_file(differ, &now, &error);
    metric_set(&current, NULL, ok);
    metric_add(&reloads, ok ? "taken" : "refused", 1);
    if (!ok) {
        log_error("the health rules are broken: those before stay in force", "error",
                  error.message);
        return;
    }
    struct change change = {.before = checks->file, .now = now};
    struct health_rules *before = checks->file;
    checks->file = now;
    live_each_kind(differ->live, list_if_judged_otherwise, &change);
    health_rules_free(before);
    log_info("health rules read");
}

bool health_checks_open(struct differ *differ, struct error *error)
{
    const char *path = differ->settings->common.health_rules;
    struct health_checks *checks = NEW(struct health_checks);
    differ->health_checks = checks;
    checks->shipped = health_rules_shipped();
    if (text_is_empty(path)) {
        return true;
    }
    checks->watch = file_watch_new(differ->loop, path, on_changed, differ);
    if (!read_file(differ, &checks->file, error)) {
        return false;
    }
    metric_set(&current, NULL, 1);
    return true;
}

void health_checks_close(struct differ *differ)
{
    struct health_checks *checks = differ->health_checks;
    if (checks) {
        file_watch_free(checks->watch);
        health_rules_free(checks->file);
        health_rules_free(checks->shipped);
        free(checks);
        differ->health_checks = NULL;
    }
}
