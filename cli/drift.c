/* gitmoor drift: what has drifted now and lately, as the statuses of Applications tell it. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/options.h"
#include "cli/table.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"

#include <string.h>

enum drift_output { DRIFT_TABLE, DRIFT_JSON, DRIFT_YAML };

struct drift_verb {
    struct cluster cluster;
    const char *application; /* or NULL: all of the namespace */
    bool all_namespaces;
    bool now;        /* only what has not been repaired */
    unsigned output; /* enum drift_output */
    cJSON *items; /* what is shown: the entries, each with namespace and name of its application */
};

/* ---- Reading ---- */

/* The members in the order in which they are shown. */
static void drift_add(struct drift_verb *verb, const cJSON *application, const cJSON *entry)
{
    if (verb->now && !text_equal(json_string(entry, "state"), "Drifted")) {
        return;
    }
    cJSON *item = json_append(verb->items, json_new_object());
    cJSON *owner = json_add_object(item, "application");
    json_add_string(owner, "namespace", json_string_path(application, "metadata.namespace"));
    json_add_string(owner, "name", json_string_path(application, "metadata.name"));
    for (const cJSON *member = json_first(entry); member; member = member->next) {
        json_add(item, member->string, json_copy(member));
    }
}

static bool drift_read(struct drift_verb *verb, struct error *error)
{
    AUTO_JSON cJSON *answer = NULL;
    const char *namespace_ = verb->all_namespaces ? NULL : verb->cluster.namespace_;
    if (!cluster_get(&verb->cluster, &cluster_applications, namespace_, verb->application, &answer,
                     error)) {
        return false;
    }
    const cJSON *application = verb->application ? answer : json_first(json_get(answer, "items"));
    for (; application; application = verb->application ? NULL : application->next) {
        const cJSON *log = json_array(json_object(application, "status"), "drift");
        for (const cJSON *entry = json_first(log); entry; entry = entry->next) {
            drift_add(verb, application, entry);
        }
    }
    return true;
}

/* ---- Printing ---- */

/* "deployment.apps/web", as kubectl names it, with its namespace where it is another one's. */
static char *drift_object(const cJSON *item)
{
    const char *namespace_ = json_string(item, "namespace");
    bool told = text_equal(namespace_, json_string_path(item, "application.namespace"));
    return mem_format("%s %s%s%s", text_or_empty(json_string(item, "kind")),
                      namespace_ && !told ? namespace_ : "", namespace_ && !told ? "/" : "",
                      text_or_empty(json_string(item, "name")));
}

static char *drift_fields(const cJSON *item)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 65536);
    if (text_equal(json_string(item, "change"), "Deleted")) {
        return mem_string("(deleted)");
    }
    for (const cJSON *field = json_first(json_array(item, "fields")); field; field = field->next) {
        buf_append_format(&text, "%s%s", text.size ? ", " : "", text_or_empty(field->valuestring));
    }
    int64_t more = json_int(item, "moreFields", 0);
    if (more > 0) {
        buf_append_format(&text, " and %lld more", (long long)more);
    }
    return mem_string(text_or_empty(text.data));
}

/* "kubectl-edit", "kubectl (scale)", and the reason of break-glass. */
static char *drift_by(const cJSON *item)
{
    const char *subresource = json_string(item, "subresource");
    const char *reason = json_string(item, "reason");
    const char *manager = json_string(item, "manager");
    return mem_format("%s%s%s%s%s%s", manager ? manager : "<unknown>", subresource ? " (" : "",
                      text_or_empty(subresource), subresource ? ")" : "",
                      reason ? ", break-glass: " : "", text_or_empty(reason));
}

static void drift_add_row(struct table *table, const struct drift_verb *verb, const cJSON *item)
{
    char age[TABLE_AGE_SIZE];
    AUTO_FREE char *object = drift_object(item);
    AUTO_FREE char *fields = drift_fields(item);
    AUTO_FREE char *by = drift_by(item);
    const char *time = json_string(item, "time");
    if (verb->all_namespaces) {
        table_add(table, json_string_path(item, "application.namespace"));
    }
    table_age(time ? time : json_string(item, "seenAt"), clock_wall_ms(), age);
    table_add(table, json_string_path(item, "application.name"));
    table_add(table, object);
    table_add(table, json_string(item, "state"));
    table_add(table, age);
    table_add(table, by);
    table_add(table, fields);
}

static void drift_print_table(const struct drift_verb *verb)
{
    static const char *const head[] = {"APPLICATION", "OBJECT", "STATE", "AGE", "BY", "FIELDS"};
    if (!json_first(verb->items)) {
        fprintf(stderr, "Nothing has drifted%s.\n", verb->now ? "" : " lately");
        return;
    }
    AUTO_TABLE struct table table;
    table_init(&table, 6 + (size_t)verb->all_namespaces);
    if (verb->all_namespaces) {
        table_add(&table, "NAMESPACE");
    }
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++) {
        table_add(&table, head[i]);
    }
    for (const cJSON *item = json_first(verb->items); item; item = item->next) {
        drift_add_row(&table, verb, item);
    }
    table_print(&table, stdout);
}

static bool drift_print(const struct drift_verb *verb, struct error *error)
{
    AUTO_BUF struct buf text;
    buf_init(&text, (size_t)256 << 20);
    if (verb->output == DRIFT_TABLE) {
        drift_print_table(verb);
        return true;
    }
    bool written = verb->output == DRIFT_YAML
                       ? yaml_write(verb->items, &text)
                       : json_write_pretty(verb->items, &text) && buf_append_char(&text, '\n');
    if (!written) {
        return error_set(error, ERROR_LIMIT, "there is too much to print");
    }
    fwrite(text.data, 1, text.size, stdout);
    return true;
}

/* ---- The verb ---- */

static int drift_run(struct drift_verb *verb)
{
    struct error error = {0};
    if (!cluster_open(&verb->cluster, &error)) {
        return cli_fail("drift", CLI_USAGE, &error);
    }
    if (!drift_read(verb, &error)) {
        return cluster_fail("drift", &error);
    }
    return drift_print(verb, &error) ? CLI_OK : cli_fail("drift", CLI_USAGE, &error);
}

static bool drift_check(struct drift_verb *verb, const char **operands, struct error *error)
{
    if (operands[0] && !cluster_parse_application(operands[0], &verb->application, error)) {
        return false;
    }
    if (operands[0] && verb->all_namespaces) {
        return error_set(error, ERROR_INVALID, "a name and -A exclude each other");
    }
    return true;
}

int cli_drift(int argc, char **argv)
{
    struct drift_verb verb = {0};
    const struct option table[] = {
        {"all-namespaces", 'A', OPTION_FLAG, &verb.all_namespaces, NULL, "Of every namespace."},
        {"now", 0, OPTION_FLAG, &verb.now, NULL, "Only what is not as in Git now."},
        {"output", 'o', OPTION_CHOICE, &verb.output, "table|json|yaml", "Default: table."},
        CLUSTER_OPTIONS(verb.cluster),
        {0},
    };
    const struct option_set set = {
        "drift [APPLICATION] [OPTIONS]",
        "Lists what has drifted from Git, now and lately (the last 20 objects of an application):\n"
        "which fields, by which field manager, and whether it was repaired. Never values.",
        "0: listed, even if there is nothing; 1: it does not exist, or the cluster refused;\n"
        "2: the command line or the kubeconfig is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    struct error error = {0};
    int status;
    if (!options_start(&set, argc, argv, 0, 1, &operands, &status)) {
        return status;
    }
    if (!drift_check(&verb, operands, &error)) {
        return cli_fail("drift", CLI_USAGE, &error);
    }
    verb.items = json_new_array();
    status = drift_run(&verb);
    json_free(verb.items);
    cluster_close(&verb.cluster);
    return status;
}
