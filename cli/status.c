/* gitmoor status: all that an Application's status says, for people. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

#define STATUS_INDENT 14 /* where the values stand */

static void status_line(const char *label, const char *text)
{
    if (!text_is_empty(text)) {
        printf("%-*s", STATUS_INDENT, label);
        table_print_text(text, STATUS_INDENT, stdout);
        putchar('\n');
    }
}

static void status_print_spec(const cJSON *object, const struct cluster_target *target)
{
    const cJSON *spec = json_object(object, "spec");
    bool application = target->kind == &cluster_applications;
    bool chart = target->kind == &cluster_charts;
    AUTO_FREE char *name = mem_format(
        "%s/%s", text_or_empty(json_string_path(object, "metadata.namespace")), target->name);
    status_line(application ? "Application" : chart ? "Chart" : "Repository", name);
    if (application) {
        const char *namespace_ = json_string_path(spec, "source.namespace");
        const char *helm = json_string_path(spec, "source.helmRepository");
        AUTO_FREE char *source =
            mem_format("%s %s%s%s, path %s", helm ? "chart" : "repository",
                       text_or_empty(namespace_), namespace_ ? "/" : "",
                       helm ? helm : text_or_empty(json_string_path(spec, "source.repository")),
                       text_or_empty(json_string_path(spec, "source.path")));
        status_line("Source", source);
        status_line("Protection", json_string(spec, "protection"));
    } else {
        status_line("URL", json_string(spec, "url"));
        status_line("Chart name", json_string(spec, "chart"));
        status_line("Version", json_string(spec, "version"));
    }
    if (json_bool(spec, "suspend", false)) {
        status_line("Suspended", "yes");
    }
    if (application && !json_bool(spec, "selfHeal", true)) {
        status_line("Repairs", "off: drift is only reported");
    }
}

static void status_print_conditions(const cJSON *status)
{
    const cJSON *conditions = json_array(status, "conditions");
    for (const cJSON *item = json_first(conditions); item; item = item->next) {
        char age[TABLE_AGE_SIZE];
        const char *message = text_or_empty(json_string(item, "message"));
        table_age(json_string(item, "lastTransitionTime"), clock_wall_ms(), age);
        AUTO_FREE char *text = mem_format(
            "%s, %s for %s%s%s", text_or_empty(json_string(item, "status")),
            text_or_empty(json_string(item, "reason")), age, *message ? ": " : "", message);
        status_line(text_or_empty(json_string(item, "type")), text);
    }
    if (!conditions) {
        status_line("Conditions", "none yet: nobody has taken it up");
    }
}

static void status_print_revisions(const cJSON *status)
{
    status_line("Revision", json_string(status, "revision")); /* of a repository */
    status_line("Attempted", json_string(status, "lastAttemptedRevision"));
    status_line("Applied", json_string(status, "lastAppliedRevision"));
    status_line("Last healthy", json_string(status, "lastHealthyRevision"));
    status_line("Holds for", json_string(status, "observedRevision"));
}

static void status_print_objects(const cJSON *status)
{
    const cJSON *objects = json_object(status, "objects");
    if (objects) {
        AUTO_FREE char *text = mem_format(
            "%lld desired, %lld in sync, %lld drifted, %lld unhealthy",
            (long long)json_int(objects, "desired", 0), (long long)json_int(objects, "inSync", 0),
            (long long)json_int(objects, "drifted", 0),
            (long long)json_int(objects, "unhealthy", 0));
        status_line("Objects", text);
    }
}

/* What is drifted now, a line each; gitmoor drift tells who did it, and what was lately. */
static void status_print_drift(const cJSON *status)
{
    const char *label = "Drift";
    for (const cJSON *item = json_first(json_array(status, "drift")); item; item = item->next) {
        if (!text_equal(json_string(item, "state"), "Drifted")) {
            continue;
        }
        const char *namespace_ = text_or_empty(json_string(item, "namespace"));
        const char *reason = json_string(item, "reason");
        AUTO_FREE char *text =
            mem_format("%s %s%s%s, %s%s%s", text_or_empty(json_string(item, "kind")), namespace_,
                       *namespace_ ? "/" : "", text_or_empty(json_string(item, "name")),
                       text_equal(json_string(item, "change"), "Deleted") ? "deleted" : "changed",
                       reason ? " by break-glass: " : "", text_or_empty(reason));
        status_line(label, text);
        label = "";
    }
}

/* A line for each that has been run, and for those that never are. */
static void status_print_hooks(const cJSON *status)
{
    const char *label = "Hooks";
    const cJSON *hooks = json_object(status, "hooks");
    for (const cJSON *item = json_first(json_array(hooks, "runs")); item; item = item->next) {
        const char *namespace_ = text_or_empty(json_string(item, "namespace"));
        const char *message = json_string(item, "message");
        AUTO_FREE char *text = mem_format(
            "%s %s %s%s%s, %s%s%s", text_or_empty(json_string(item, "moment")),
            text_or_empty(json_string(item, "kind")), namespace_, *namespace_ ? "/" : "",
            text_or_empty(json_string(item, "name")), text_or_empty(json_string(item, "result")),
            message ? ": " : "", text_or_empty(message));
        status_line(label, text);
        label = "";
    }
    for (const cJSON *item = json_first(json_array(hooks, "leftOut")); item; item = item->next) {
        AUTO_FREE char *text =
            mem_format("%s is left out", cJSON_IsString(item) ? item->valuestring : "");
        status_line(label, text);
        label = "";
    }
}

/* "deploy/a.yaml:3: ConfigMap shop/a: why", as compilers do, so that editors find the place. */
static void status_print_errors(const cJSON *status)
{
    const char *label = "Errors";
    const cJSON *errors = json_array(status, "errors");
    for (const cJSON *item = json_first(errors); item; item = item->next) {
        AUTO_BUF struct buf text;
        int64_t line = json_int(item, "line", 0);
        const char *file = json_string(item, "file");
        const char *object = json_string(item, "object");
        buf_init(&text, 65536);
        if (!text_is_empty(file)) {
            buf_append_string(&text, file);
            if (line > 0) {
                buf_append_format(&text, ":%lld", (long long)line);
            }
            buf_append_string(&text, ": ");
        }
        if (!text_is_empty(object)) {
            buf_append_format(&text, "%s: ", object);
        }
        buf_append_string(&text, text_or_empty(json_string(item, "message")));
        status_line(label, text.data);
        label = "";
    }
}

static void status_print_history(const cJSON *status)
{
    const char *label = "History";
    const cJSON *history = json_array(status, "history");
    for (const cJSON *item = json_first(history); item; item = item->next) {
        long long count = (long long)json_int(item, "released", 0);
        AUTO_FREE char *released = count > 0 ? mem_format(", %lld released", count) : NULL;
        AUTO_FREE char *text = mem_format(
            "%s  %s, %lld changed, %lld pruned%s", text_or_empty(json_string(item, "appliedAt")),
            text_or_empty(json_string(item, "revision")), (long long)json_int(item, "changed", 0),
            (long long)json_int(item, "pruned", 0), text_or_empty(released));
        status_line(label, text);
        label = "";
    }
}

static void status_print(const cJSON *object, const struct cluster_target *target)
{
    const cJSON *status = json_object(object, "status");
    status_print_spec(object, target);
    status_print_conditions(status);
    status_print_revisions(status);
    status_print_objects(status);
    status_print_drift(status);
    status_print_hooks(status);
    status_print_errors(status);
    status_print_history(status);
}

static int status_run(struct cluster *cluster, const char *operand, bool as_json)
{
    struct cluster_target target;
    struct error error = {0};
    const char *message;
    AUTO_JSON cJSON *object = NULL;
    if (!cluster_parse_target(operand, &target, &error) || !cluster_open(cluster, &error)) {
        return cli_fail("status", CLI_USAGE, &error);
    }
    if (!cluster_get(cluster, target.kind, cluster->namespace_, target.name, &object, &error)) {
        return cluster_fail("status", &error);
    }
    if (as_json) {
        AUTO_BUF struct buf text;
        buf_init(&text, (size_t)64 << 20);
        json_write_pretty(object, &text);
        printf("%s\n", text.data);
    } else {
        status_print(object, &target);
    }
    return progress_judge(object, NULL, &message) == PROGRESS_READY ? CLI_OK : CLI_NO;
}

int cli_status(int argc, char **argv)
{
    struct cluster cluster = {0};
    unsigned as_json = 0;
    const struct option table[] = {
        {"output", 'o', OPTION_CHOICE, &as_json, "text|json", "json: the object as it is."},
        CLUSTER_OPTIONS(cluster),
        {0},
    };
    const struct option_set set = {
        "status APPLICATION | repository/NAME | chart/NAME [OPTIONS]",
        "Tells the conditions, revisions, objects, errors and history of an application.",
        "0: it is ready; 1: it is not, or does not exist; 2: it cannot be read, or the command\n"
        "line is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    status = status_run(&cluster, operands[0], as_json);
    cluster_close(&cluster);
    return status;
}
