/* gitmoor get: repositories and applications, as kubectl get lists things. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/options.h"
#include "cli/table.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/kube/status.h"

#include <string.h>

enum get_output { GET_TABLE, GET_WIDE, GET_JSON };

struct get_verb {
    struct cluster cluster;
    bool all_namespaces;
    unsigned output;  /* enum get_output */
    const char *name; /* NULL: all */
    cJSON *items;     /* all that was found, for JSON */
};

static const char *get_condition(const cJSON *object, const char *type, const char *field)
{
    const cJSON *conditions = json_get_path(object, "status.conditions");
    return json_string(status_condition(conditions, type), field);
}

static const char *get_age(const cJSON *object, char ret_text[TABLE_AGE_SIZE])
{
    table_age(json_string_path(object, "metadata.creationTimestamp"), clock_wall_ms(), ret_text);
    return ret_text;
}

static void get_add_repository(struct table *table, const cJSON *object)
{
    char age[TABLE_AGE_SIZE];
    table_add(table, json_string_path(object, "spec.url"));
    table_add(table, get_condition(object, "Ready", "status"));
    table_add(table, json_string_path(object, "status.revision"));
    table_add(table, get_age(object, age));
}

static void get_add_chart(struct table *table, const cJSON *object)
{
    char age[TABLE_AGE_SIZE];
    const char *version = json_string_path(object, "spec.version");
    table_add(table, json_string_path(object, "spec.url"));
    table_add(table, json_string_path(object, "spec.chart"));
    table_add(table, version ? version : "*");
    table_add(table, get_condition(object, "Ready", "status"));
    table_add(table, json_string_path(object, "status.revision"));
    table_add(table, get_age(object, age));
}

/* What becomes of drift. */
static const char *get_repairs(const cJSON *object)
{
    const cJSON *spec = json_object(object, "spec");
    int64_t until = 0;
    clock_parse_rfc3339(json_string_path(object, "spec.breakGlass.until"), &until);
    return json_bool(spec, "suspend", false)    ? "suspended"
           : !json_bool(spec, "selfHeal", true) ? "off"
           : until > clock_wall_ms()            ? "break-glass"
                                                : "on";
}

static void get_add_application(struct table *table, const cJSON *object)
{
    char age[TABLE_AGE_SIZE];
    const cJSON *desired = json_get_path(object, "status.objects.desired");
    table_add(table, get_condition(object, "Ready", "status"));
    table_add(table, get_condition(object, "Healthy", "status"));
    table_add(table, get_condition(object, "Drifted", "status"));
    table_add(table, json_string_path(object, "status.lastAppliedRevision"));
    table_add(table, json_number_text(desired));
    table_add(table, get_repairs(object));
    table_add(table, get_age(object, age));
}

static void get_add_head(struct table *table, const char *const *names)
{
    for (; *names; names++) {
        table_add(table, *names);
    }
}

struct get_columns {
    const struct kube_resource *kind;
    const char *name; /* above the names */
    size_t count;
    const char *head[8]; /* ended by NULL */
    void (*add)(struct table *table, const cJSON *object);
};

static const struct get_columns *get_columns_of(const struct kube_resource *kind)
{
    static const struct get_columns table[] = {
        {&cluster_repositories,
         "REPOSITORY",
         4,
         {"URL", "READY", "REVISION", "AGE"},
         get_add_repository},
        {&cluster_charts,
         "CHART",
         6,
         {"URL", "CHART", "VERSION", "READY", "REVISION", "AGE"},
         get_add_chart},
        {&cluster_applications,
         "APPLICATION",
         7,
         {"READY", "HEALTHY", "DRIFTED", "REVISION", "OBJECTS", "REPAIRS", "AGE"},
         get_add_application},
    };
    size_t i = 0;
    while (table[i].kind != kind) {
        i++;
    }
    return &table[i];
}

static void get_print_table(const struct get_verb *verb, const struct kube_resource *kind,
                            const cJSON *items, bool divided)
{
    const struct get_columns *shown = get_columns_of(kind);
    bool named = verb->all_namespaces;
    size_t columns = 1 + (size_t)named + shown->count + (size_t)(verb->output == GET_WIDE);
    AUTO_TABLE struct table table;
    table_init(&table, columns);
    if (named) {
        table_add(&table, "NAMESPACE");
    }
    table_add(&table, shown->name);
    get_add_head(&table, shown->head);
    if (verb->output == GET_WIDE) {
        table_add(&table, "MESSAGE");
    }
    for (const cJSON *item = json_first(items); item; item = item->next) {
        if (named) {
            table_add(&table, json_string_path(item, "metadata.namespace"));
        }
        table_add(&table, json_string_path(item, "metadata.name"));
        shown->add(&table, item);
        if (verb->output == GET_WIDE) {
            table_add(&table, get_condition(item, "Ready", "message"));
        }
    }
    if (divided) {
        putchar('\n');
    }
    table_print(&table, stdout);
}

/* The items of one kind, as an array. List items lack apiVersion and kind, which are filled in. */
static bool get_fetch(struct get_verb *verb, const struct kube_resource *kind, cJSON **ret,
                      struct error *error)
{
    AUTO_JSON cJSON *answer = NULL;
    const char *namespace_ = verb->all_namespaces ? NULL : verb->cluster.namespace_;
    if (!cluster_get(&verb->cluster, kind, namespace_, verb->name, &answer, error)) {
        return false;
    }
    cJSON *items = json_new_array();
    if (verb->name) {
        json_append(items, answer);
        answer = NULL;
    }
    cJSON *listed = json_get(answer, "items");
    for (cJSON *item = json_first(listed), *next; item; item = next) {
        next = item->next;
        cJSON_DetachItemViaPointer(listed, item);
        json_set(item, "apiVersion", json_new_string(GITMOOR_API_VERSION));
        json_set(item, "kind", json_new_string(kind->kind));
        json_append(items, item);
    }
    *ret = items;
    return true;
}

static void get_print_json(const struct get_verb *verb)
{
    AUTO_BUF struct buf text;
    buf_init(&text, (size_t)1 << 30);
    if (verb->name) {
        json_write_pretty(json_first(verb->items), &text);
    } else {
        AUTO_JSON cJSON *list = json_new_object();
        json_add_string(list, "apiVersion", "v1");
        json_add_string(list, "kind", "List");
        json_add(list, "items", json_copy(verb->items));
        json_write_pretty(list, &text);
    }
    buf_append_char(&text, '\n');
    fwrite(text.data, 1, text.size, stdout);
}

static bool get_kind(struct get_verb *verb, const struct kube_resource *kind, size_t *printed,
                     struct error *error)
{
    AUTO_JSON cJSON *items = NULL;
    if (!get_fetch(verb, kind, &items, error)) {
        return false;
    }
    size_t count = json_size(items);
    if (verb->output == GET_JSON) {
        for (cJSON *item = json_first(items), *next; item; item = next) {
            next = item->next;
            json_append(verb->items, cJSON_DetachItemViaPointer(items, item));
        }
    } else if (count) {
        get_print_table(verb, kind, items, *printed > 0);
    }
    *printed += count;
    return true;
}

static int get_run(struct get_verb *verb, const struct kube_resource *kind)
{
    const struct kube_resource *kinds[] = {&cluster_repositories, &cluster_charts,
                                           &cluster_applications};
    struct error error = {0};
    size_t printed = 0;
    if (!cluster_open(&verb->cluster, &error)) {
        return cli_fail("get", CLI_USAGE, &error);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if ((kind && kind != kinds[i]) || get_kind(verb, kinds[i], &printed, &error)) {
            continue;
        }
        /* A cluster whose Gitmoor is older does not know charts yet. */
        if (kind || kinds[i] != &cluster_charts || error.code != ERROR_NOT_FOUND) {
            return cluster_fail("get", &error);
        }
    }
    if (verb->output == GET_JSON) {
        get_print_json(verb);
    } else if (!printed) {
        fprintf(stderr, "Nothing found in %s%s.\n",
                verb->all_namespaces ? "any namespace" : "namespace ",
                verb->all_namespaces ? "" : verb->cluster.namespace_);
    }
    return CLI_OK;
}

/* [KIND [NAME]] or KIND/NAME. */
static bool get_read_operands(struct get_verb *verb, const char **operands,
                              const struct kube_resource **ret_kind, struct error *error)
{
    struct cluster_target target = {0};
    if (!operands[0] || strcmp(operands[0], "all") == 0) {
        return operands[0] && operands[1]
                   ? error_set(error, ERROR_INVALID, "a name needs its kind before it")
                   : true;
    }
    if (strchr(operands[0], '/')) {
        if (!cluster_parse_target(operands[0], &target, error)) {
            return false;
        }
    } else {
        target.kind = cluster_find_kind(operands[0]);
        target.name = operands[1];
        if (!target.kind) {
            return error_set(
                error, ERROR_INVALID,
                "%s is no kind of ours; there are repositories, charts and applications",
                operands[0]);
        }
    }
    *ret_kind = target.kind;
    verb->name = target.name;
    return target.name && verb->all_namespaces
               ? error_set(error, ERROR_INVALID, "a name and -A exclude each other")
               : true;
}

int cli_get(int argc, char **argv)
{
    struct get_verb verb = {0};
    const struct option table[] = {
        {"all-namespaces", 'A', OPTION_FLAG, &verb.all_namespaces, NULL, "List every namespace."},
        {"output", 'o', OPTION_CHOICE, &verb.output, "table|wide|json",
         "wide: with the message of the Ready condition."},
        CLUSTER_OPTIONS(verb.cluster),
        {0},
    };
    const struct option_set set = {
        "get [repositories | charts | applications] [NAME] [OPTIONS]",
        "Lists the GitRepositories, HelmRepositories (charts) and Applications of a namespace.",
        "0: listed, even if there are none; 1: it does not exist, or the cluster refused;\n"
        "2: the command line or the kubeconfig is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    const struct kube_resource *kind = NULL;
    struct error error = {0};
    int status;
    if (!options_start(&set, argc, argv, 0, 2, &operands, &status)) {
        return status;
    }
    if (!get_read_operands(&verb, operands, &kind, &error)) {
        return cli_fail("get", CLI_USAGE, &error);
    }
    verb.items = json_new_array();
    status = get_run(&verb, kind);
    json_free(verb.items);
    cluster_close(&verb.cluster);
    return status;
}
