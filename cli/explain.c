/* gitmoor explain: which files an application is rendered from, what else decides about that, and
 * the render key over all of it. The scan is the differ's own, on a clone; what it cannot know,
 * such as the content of Secrets, is named and not asked for. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/manifests.h"
#include "cli/options.h"
#include "cli/pull.h"
#include "cli/table.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/charts.h"
#include "differ/render/generators.h"
#include "differ/render/render.h"
#include "differ/spec.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_ID 12 /* hex digits of ids and digests that people see */

struct explain_verb {
    struct cluster cluster;
    const char *revision;   /* of the clone, or NULL: the application's */
    const char *repository; /* a directory in the clone */
    const char *generators_file;
    unsigned as_json;

    const cJSON *object;
    struct application_spec spec;
    struct source *source;
    struct pull pull; /* of a chart */
    char commit[SOURCE_COMMIT_SIZE];
    char *kube_version, *api_versions; /* NULL unless it is a chart */
    cJSON *generators;                 /* that the operator allows, or NULL */

    cJSON *files;    /* [{path, id}] */
    cJSON *beside;   /* [{path, id}]: directories, links, and "" for what is not there */
    cJSON *settings; /* [{what, value}] */
    cJSON *objects;  /* [{kind, name, for, resourceVersion}], of the cluster */
    struct map read; /* paths of `files` */
    char key[DIGEST_HEX_SIZE];
};

/* ---- The scan ---- */

static void explain_path(const char *path, const char *id, void *context)
{
    struct explain_verb *verb = context;
    cJSON *item = json_append(verb->beside, json_new_object());
    json_add_string(item, "path", *path ? path : ".");
    json_add_string(item, "id", id);
}

/* Values may be secrets, and a digest of a short one is no secret. */
static bool explain_is_shown(const char *what)
{
    static const char *const shown[] = {RENDER_SETTING_PROGRAM, RENDER_SETTING_PATH,
                                        RENDER_SETTING_RELEASE, RENDER_SETTING_NAMESPACE,
                                        RENDER_SETTING_TARGET,  RENDER_SETTING_KUBERNETES,
                                        RENDER_SETTING_VARIABLE};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        if (strcmp(shown[i], what) == 0) {
            return true;
        }
    }
    return false;
}

static char *explain_digest(const char *text)
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    digest_of(text, strlen(text), &digest);
    digest_to_hex(&digest, hex);
    return mem_format("sha256:%.*s", SHOWN_ID, hex);
}

static void explain_setting(const char *what, const char *text, void *context)
{
    struct explain_verb *verb = context;
    bool is_long = strcmp(what, RENDER_SETTING_SPEC) == 0 ||
                   strcmp(what, RENDER_SETTING_APIS) == 0 ||
                   strcmp(what, RENDER_SETTING_GENERATOR) == 0;
    if (!*text || (!is_long && !explain_is_shown(what))) {
        return;
    }
    AUTO_FREE char *value = is_long ? explain_digest(text) : mem_string(text);
    cJSON *item = json_append(verb->settings, json_new_object());
    json_add_string(item, "what", what);
    json_add_string(item, "value", value);
}

static bool explain_scan(struct explain_verb *verb, struct render_scan **ret, struct error *error)
{
    const struct application_spec *spec = &verb->spec;
    const struct render_explainer explainer = {explain_path, explain_setting, verb};
    const struct render_options options = {
        .path = spec->path,
        .spec = spec->render,
        .target_namespace = spec->target_namespace,
        .name = json_string_path(verb->object, "metadata.name"),
        .namespace_ = json_string_path(verb->object, "metadata.namespace"),
        .kube_version = verb->kube_version,
        .api_versions = verb->api_versions,
        .variables = spec->substitute,
        .generators = verb->generators,
        .explainer = &explainer,
    };
    json_free(verb->beside);
    json_free(verb->settings);
    verb->beside = json_new_array();
    verb->settings = json_new_array();
    return render_scan(verb->source, &options, ret, error);
}

/* What charts are told of the cluster. */
static bool explain_ask_cluster(struct explain_verb *verb, struct error *error)
{
    struct kube_discovery *discovery = NULL;
    if (!kube_discovery_load_wait(verb->cluster.client, &discovery, error)) {
        return false;
    }
    verb->api_versions = charts_describe_apis(discovery);
    kube_discovery_free(discovery);
    return cluster_version(&verb->cluster, &verb->kube_version, error);
}

/* The files, and of what the key covers only what is not one of them. */
static bool explain_take_scan(struct explain_verb *verb, const struct render_scan *scan)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    size_t count;
    const struct render_item *items = render_scan_items(scan, &count);
    struct digest key;
    bool problems = false;
    for (size_t i = 0; i < count; i++) {
        if (items[i].problem) {
            fprintf(stderr, "%s:%u: %s\n", items[i].file, items[i].line, items[i].problem);
            problems = true;
        } else if (!map_set(&verb->read, items[i].path, verb)) {
            cJSON *item = json_append(verb->files, json_new_object());
            json_add_string(item, "path", items[i].path);
            json_add_string(item, "id", source_id(verb->source, items[i].path, &arena));
        }
    }
    cJSON *beside = json_new_array();
    for (cJSON *item = json_first(verb->beside); item; item = item->next) {
        if (!map_set(&verb->read, json_string(item, "path"), verb)) {
            json_append(beside, json_copy(item));
        }
    }
    json_free(verb->beside);
    verb->beside = beside;
    if (render_scan_key(scan, &key)) {
        digest_to_hex(&key, verb->key);
    }
    return !problems;
}

static bool explain_find_files(struct explain_verb *verb, struct error *error)
{
    AUTO_SCAN struct render_scan *scan = NULL;
    if (!explain_scan(verb, &scan, error)) {
        return false;
    }
    if (render_scan_is_chart(scan)) {
        render_scan_free(scan);
        scan = NULL;
        if (!explain_ask_cluster(verb, error) || !explain_scan(verb, &scan, error)) {
            return false;
        }
    }
    return explain_take_scan(verb, scan) ||
           error_set(error, ERROR_INVALID, "the manifests are not valid");
}

/* ---- Objects of the cluster ---- */

static void explain_object(struct explain_verb *verb, const char *kind, const char *name,
                           const char *field)
{
    bool secret = strcmp(kind, "Secret") == 0;
    const struct kube_resource resource = {.group = "",
                                           .version = "v1",
                                           .kind = kind,
                                           .plural = secret ? "secrets" : "configmaps",
                                           .namespaced = true};
    AUTO_JSON cJSON *found = NULL;
    struct error error = {0};
    cJSON *item = json_append(verb->objects, json_new_object());
    json_add_string(item, "kind", kind);
    json_add_string(item, "name", name);
    json_add_string(item, "for", field);
    if (cluster_read(&verb->cluster, &resource, verb->cluster.namespace_, name, &found, &error)) {
        json_add_string(item, "resourceVersion",
                        json_string_path(found, "metadata.resourceVersion"));
    } else {
        json_add_string(item, "problem",
                        error.code == ERROR_NOT_FOUND ? "it does not exist" : error.message);
    }
}

static void explain_objects(struct explain_verb *verb, const cJSON *list, const char *field)
{
    for (const cJSON *item = json_first(list); item; item = item->next) {
        bool secret = text_equal(json_string(item, "kind"), "Secret");
        explain_object(verb, secret ? "Secret" : "ConfigMap",
                       text_or_empty(json_string(item, "name")), field);
    }
}

static void explain_all_objects(struct explain_verb *verb)
{
    const struct application_spec *spec = &verb->spec;
    explain_objects(verb, json_array(json_object(spec->render, "helm"), "valuesFrom"),
                    "spec.render.helm.valuesFrom");
    explain_objects(verb, spec->substitute_from, "spec.substituteFrom");
    if (spec->decryption_secret) {
        explain_object(verb, "Secret", spec->decryption_secret, "spec.decryption");
    }
}

/* ---- The answer ---- */

enum explain_verdict {
    VERDICT_SAME,
    VERDICT_OTHER,
    VERDICT_PART,    /* the key covers objects of the cluster that are not read here */
    VERDICT_REVISION /* another revision than the cluster's is explained */
};

static enum explain_verdict explain_judge(const struct explain_verb *verb)
{
    const char *told = json_string_path(verb->object, "status.renderKey");
    if (json_first(verb->objects)) {
        return VERDICT_PART;
    }
    if (verb->revision) {
        return text_equal(told, verb->key) ? VERDICT_SAME : VERDICT_REVISION;
    }
    return text_equal(told, verb->key) ? VERDICT_SAME : VERDICT_OTHER;
}

static void explain_print_key(const struct explain_verb *verb, enum explain_verdict verdict)
{
    const char *told = json_string_path(verb->object, "status.renderKey");
    printf("Render key: %s\n", told ? told : "<none yet>");
    switch (verdict) {
    case VERDICT_SAME:
        printf("            what is listed here makes the same key: nothing is rendered again\n");
        break;
    case VERDICT_PART:
        printf("            it also covers what the objects below hold, which is not read here\n");
        break;
    case VERDICT_REVISION:
        printf("            that revision has another, and would be rendered: %s\n", verb->key);
        break;
    case VERDICT_OTHER:
        printf("            what is listed here makes another key: %s\n", verb->key);
        printf("            The spec or the cluster has changed since, or this gitmoor is of "
               "another version than the differ\n");
    }
}

static void explain_print_paths(const char *title, const cJSON *list)
{
    AUTO_TABLE struct table table;
    table_init(&table, 2);
    table_add(&table, title);
    table_add(&table, "ID");
    for (const cJSON *item = json_first(list); item; item = item->next) {
        const char *id = text_or_empty(json_string(item, "id"));
        AUTO_FREE char *shown =
            *id ? mem_string_n(id, strnlen(id, SHOWN_ID)) : mem_string("<absent>");
        table_add(&table, json_string(item, "path"));
        table_add(&table, shown);
    }
    printf("\n");
    table_print(&table, stdout);
}

static void explain_print_rest(const struct explain_verb *verb)
{
    AUTO_TABLE struct table table;
    table_init(&table, 2);
    table_add(&table, "BESIDES");
    table_add(&table, "VALUE");
    for (const cJSON *item = json_first(verb->settings); item; item = item->next) {
        table_add(&table, json_string(item, "what"));
        table_add(&table, json_string(item, "value"));
    }
    for (const cJSON *item = json_first(verb->objects); item; item = item->next) {
        const char *version = json_string(item, "resourceVersion");
        AUTO_FREE char *what =
            mem_format("%s of %s", json_string(item, "kind"), json_string(item, "for"));
        AUTO_FREE char *value =
            mem_format("%s, %s%s", json_string(item, "name"), version ? "version " : "",
                       version ? version : text_or_empty(json_string(item, "problem")));
        table_add(&table, what);
        table_add(&table, value);
    }
    printf("\n");
    table_print(&table, stdout);
}

static void explain_print_json(const struct explain_verb *verb, enum explain_verdict verdict)
{
    static const char *const verdicts[] = {"same", "other", "part", "revision"};
    AUTO_BUF struct buf text;
    AUTO_JSON cJSON *out = json_new_object();
    json_add_string(out, "commit", verb->commit);
    json_add_string(out, "renderKey", json_string_path(verb->object, "status.renderKey"));
    json_add_string(out, "computedKey", json_first(verb->objects) ? NULL : verb->key);
    json_add_string(out, "verdict", verdicts[verdict]);
    json_add(out, "files", json_copy(verb->files));
    json_add(out, "paths", json_copy(verb->beside));
    json_add(out, "settings", json_copy(verb->settings));
    json_add(out, "objects", json_copy(verb->objects));
    buf_init(&text, json_default_limits.bytes);
    json_write_pretty(out, &text);
    printf("%s\n", text.data);
}

static void explain_print(const struct explain_verb *verb, enum explain_verdict verdict)
{
    const char *told = json_string_path(verb->object, "status.lastAttemptedRevision");
    printf("Application: %s/%s\n", verb->cluster.namespace_,
           text_or_empty(json_string_path(verb->object, "metadata.name")));
    printf("Revision:   %s\n", verb->revision ? verb->commit : text_or_empty(told));
    explain_print_key(verb, verdict);
    explain_print_paths("FILES READ", verb->files);
    if (json_first(verb->beside)) {
        explain_print_paths("ALSO LOOKED AT", verb->beside);
    }
    explain_print_rest(verb);
}

/* ---- The verb ---- */

static bool explain_open_chart(struct explain_verb *verb, const char *told, struct error *error)
{
    struct pull *pull = &verb->pull;
    if (!pull_chart(&verb->cluster, &verb->spec, verb->revision ? verb->revision : told, pull,
                    error)) {
        return false;
    }
    verb->source = pull->source;
    pull->source = NULL;
    snprintf(verb->commit, sizeof verb->commit, "%s", strrchr(pull->revision, ':') + 1);
    return true;
}

static bool explain_open(struct explain_verb *verb, struct error *error)
{
    const char *told = json_string_path(verb->object, "status.lastAttemptedRevision");
    if (verb->generators_file &&
        !generators_read(verb->generators_file, &verb->generators, error)) {
        return error_prefix(error, "--generators");
    }
    if (pull_is_needed(&verb->spec)) {
        return explain_open_chart(verb, told, error);
    }
    const char *colon = told ? strrchr(told, ':') : NULL;
    const char *revision = verb->revision ? verb->revision : colon ? colon + 1 : NULL;
    if (!revision) {
        return error_set(error, ERROR_NOT_FOUND,
                         "the application has no revision yet: name one with --revision");
    }
    return source_open_revision(verb->repository, revision, &verb->source, verb->commit, error) ||
           error_prefix(error,
                        "%s is not to be had here (--repository says where a clone is, and git "
                        "fetch brings it up to date)",
                        verb->revision ? verb->revision : told);
}

static int explain_run(struct explain_verb *verb, const char *name)
{
    struct error error = {0};
    AUTO_JSON cJSON *object = NULL;
    int status = cluster_open_application("explain", &verb->cluster, name, &object);
    if (status != CLI_OK) {
        return CLI_USAGE;
    }
    verb->object = object;
    application_spec_read(object, &verb->spec);
    if (!explain_open(verb, &error) || !explain_find_files(verb, &error)) {
        return cli_fail("explain", CLI_USAGE, &error);
    }
    explain_all_objects(verb);
    enum explain_verdict verdict = explain_judge(verb);
    if (verb->as_json) {
        explain_print_json(verb, verdict);
    } else {
        explain_print(verb, verdict);
    }
    return verdict == VERDICT_OTHER || verdict == VERDICT_REVISION ? CLI_NO : CLI_OK;
}

static void explain_release(struct explain_verb *verb)
{
    application_spec_release(&verb->spec);
    source_free(verb->source);
    pull_release(&verb->pull);
    free(verb->kube_version);
    free(verb->api_versions);
    json_free(verb->generators);
    json_free(verb->files);
    json_free(verb->beside);
    json_free(verb->settings);
    json_free(verb->objects);
    map_release(&verb->read, NULL);
    cluster_close(&verb->cluster);
}

int cli_explain(int argc, char **argv)
{
    struct explain_verb verb = {.repository = "."};
    const struct option table[] = {
        {"revision", 0, OPTION_TEXT, &verb.revision, "REVISION",
         "A commit, branch or tag of the clone; of a HelmRepository's chart, a version. Default: "
         "the "
         "one that the application is at."},
        {"repository", 0, OPTION_TEXT, &verb.repository, "DIR",
         "A clone of the repository. Default: the one around the current directory."},
        {"generators", 0, OPTION_TEXT, &verb.generators_file, "FILE", GENERATORS_HELP},
        {"output", 'o', OPTION_CHOICE, &verb.as_json, "text|json",
         "json: commit, renderKey, computedKey, verdict, files, paths, settings, objects."},
        CLUSTER_OPTIONS(verb.cluster),
        {0},
    };
    const struct option_set set = {
        "explain APPLICATION [OPTIONS]",
        "Tells which files an application is rendered from, what else decides about it, and the\n"
        "render key over all of that: while it stays the same, nothing is rendered again.",
        "0: the key is that of the cluster, as far as it can be told; 1: it is another;\n"
        "2: it cannot be told.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    const char *name;
    struct error error = {0};
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    if (!cluster_parse_application(operands[0], &name, &error)) {
        return cli_fail("explain", CLI_USAGE, &error);
    }
    verb.files = json_new_array();
    verb.objects = json_new_array();
    map_init(&verb.read);
    status = explain_run(&verb, name);
    explain_release(&verb);
    return status;
}
