/* Charts. Helm gets the chart's directory, the values files, and what the Application says; it
 * renders as for an installation (`helm template`), and answers documents that name the template
 * that each is from, which is how objects and errors get their file.
 *
 * Hooks are objects that Helm would run at a moment of its own choosing. They are handed on like
 * all others, and run by the differ (hook.h), unless the Application says that they be left out or
 * refused. Tests are never part of an installation. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"
#include "differ/render/internal.h"

#include <stdio.h>
#include <string.h>

/* With the version that scripts/setup builds. */
#define HELM_KEY_VERSION "helm/3.22"
/* The longest single argument that Linux takes is 128 KiB. */
#define API_VERSIONS_SIZE ((size_t)100 << 10)
#define ARGUMENTS_MAXIMUM 300
#define VALUES_MAXIMUM 100
#define HELM_HOOK_ANNOTATION "helm.sh/hook"

static const cJSON *helm_spec(const struct render_scan *scan)
{
    return json_object(scan->options.spec, "helm");
}

static const char *helm_release(const struct render_scan *scan)
{
    const char *name = json_string(helm_spec(scan), "releaseName");
    name = text_is_empty(name) ? scan->options.name : name;
    return text_is_empty(name) ? "release" : name;
}

static const char *helm_namespace(const struct render_scan *scan)
{
    const char *asked = json_string(helm_spec(scan), "namespace");
    if (!text_is_empty(scan->options.target_namespace)) {
        return scan->options.target_namespace;
    }
    asked = text_is_empty(asked) ? scan->options.namespace_ : asked;
    return text_is_empty(asked) ? "default" : asked;
}

/* ---- The scan ---- */

static bool helm_take_name(cJSON *tree, unsigned line, void *context, struct error *error)
{
    struct render_scan *scan = context;
    AUTO_JSON cJSON *owned = tree;
    (void)line;
    (void)error;
    scan->chart = arena_string(&scan->arena, json_string(tree, "name"));
    return true;
}

static bool helm_read_chart(struct render_scan *scan, struct error *error)
{
    const char *path = source_join(&scan->arena, scan->path, "Chart.yaml");
    const char *found;
    enum source_type type;
    AUTO_BUF struct buf text;
    buf_init(&text, RENDER_FILE_MAXIMUM);
    if (!render_tree_find(scan, path, &found, &type, error)) {
        return false;
    }
    if (type != SOURCE_FILE) {
        return error_set(error, ERROR_NOT_FOUND, "the directory has no Chart.yaml");
    }
    return source_read(scan->source, found, &text, error) &&
           yaml_parse(text.data, text.size, path, NULL, helm_take_name, scan, error);
}

static bool helm_find_values(struct render_scan *scan, const char *value, struct error *error)
{
    const char *path = render_tree_join(&scan->arena, scan->path, value);
    const char *found;
    enum source_type type;
    if (!path) {
        return error_set(error, ERROR_DENIED, "valuesFiles: %s leads out of the repository", value);
    }
    if (!render_tree_find(scan, path, &found, &type, error)) {
        return false;
    }
    if (type != SOURCE_FILE) {
        return error_set(error, ERROR_NOT_FOUND, "valuesFiles: %s %s", value,
                         type == SOURCE_NONE ? "does not exist in the repository"
                                             : "is not a file");
    }
    render_tree_add(scan, found);
    map_set(&scan->values_files, found, scan);
    return true;
}

bool render_helm_is_values(const struct render_scan *scan, const char *path)
{
    AUTO_FREE char *own =
        *scan->path ? mem_format("%s/values.yaml", scan->path) : mem_string("values.yaml");
    return text_equal(path, own) || map_has(&scan->values_files, path);
}

/* What is wrong with files is told; false for the rest. */
static bool helm_tell(struct render_scan *scan, const char *file, const struct error *why)
{
    if (render_is_result(why)) {
        render_add_problem(scan, file, 0, why->message);
        return true;
    }
    return false;
}

static void helm_add_key(struct render_scan *scan)
{
    const struct render_options *options = &scan->options;
    render_key_add_setting(scan, RENDER_SETTING_PROGRAM, HELM_KEY_VERSION);
    render_key_add_setting(scan, RENDER_SETTING_RELEASE, helm_release(scan));
    render_key_add_setting(scan, RENDER_SETTING_NAMESPACE, helm_namespace(scan));
    render_key_add_setting(scan, RENDER_SETTING_KUBERNETES, text_or_empty(options->kube_version));
    render_key_add_setting(scan, RENDER_SETTING_APIS, text_or_empty(options->api_versions));
    for (const cJSON *item = json_first(scan->options.values); item; item = item->next) {
        render_key_add_setting(scan, "values", text_or_empty(json_string(item, "text")));
    }
}

bool render_helm_scan(struct render_scan *scan, struct error *error)
{
    helm_add_key(scan);
    render_key_add(scan, scan->path);
    if (!*scan->builder_file || !text_has_suffix(scan->builder_file, "Chart.yaml")) {
        scan->builder_file = source_join(&scan->arena, scan->path, "Chart.yaml");
    }
    if (!helm_read_chart(scan, error) && !helm_tell(scan, scan->builder_file, error)) {
        return false;
    }
    if (!render_tree_add_all(scan, scan->path, error)) {
        return false;
    }
    const cJSON *files = json_array(helm_spec(scan), "valuesFiles");
    if (json_size(files) + json_size(scan->options.values) > VALUES_MAXIMUM) {
        render_add_problem(
            scan, "spec.render.helm", 0,
            arena_format(&scan->arena, "more than %d sources of values", VALUES_MAXIMUM));
        return true;
    }
    for (const cJSON *item = json_first(files); item; item = item->next) {
        if (cJSON_IsString(item) && !helm_find_values(scan, item->valuestring, error) &&
            !helm_tell(scan, "spec.render.helm", error)) {
            return false;
        }
    }
    return true;
}

/* ---- The answer ---- */

/* Where the documents of the answer are from: "# Source: shop/templates/web.yaml". */
struct helm_origin {
    unsigned line;
    char *file; /* as the repository names it */
};

struct helm_answer {
    const struct render_job *job;
    struct helm_origin *origins;
    size_t count;
    size_t next; /* the first origin after the line asked for last */
};

/* "shop/templates/web.yaml" is below the chart's directory; other names stay. */
static char *helm_name_file(const struct render_scan *scan, const char *name, size_t length)
{
    size_t chart = scan->chart ? strlen(scan->chart) : 0;
    if (!chart || length <= chart || strncmp(name, scan->chart, chart) != 0 || name[chart] != '/') {
        return mem_string_n(name, length);
    }
    name += chart + 1;
    length -= chart + 1;
    return *scan->path ? mem_format("%s/%.*s", scan->path, (int)length, name)
                       : mem_string_n(name, length);
}

static void helm_find_origins(struct helm_answer *answer, const char *text, size_t size)
{
    static const char mark[] = "# Source: ";
    size_t capacity = 0;
    unsigned line = 1;
    for (const char *end = text + size; text < end; line++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        stop = stop ? stop : end;
        if ((size_t)(stop - text) > strlen(mark) && memcmp(text, mark, strlen(mark)) == 0) {
            if (answer->count == capacity) {
                capacity = capacity ? capacity * 2 : 32;
                answer->origins = mem_resize(answer->origins, capacity, sizeof(*answer->origins));
            }
            const char *name = text + strlen(mark);
            answer->origins[answer->count++] = (struct helm_origin){
                line, helm_name_file(answer->job->scan, name, (size_t)(stop - name))};
        }
        text = stop + 1;
    }
}

/* Lines are asked for in ascending order. */
static const char *helm_origin_of(struct helm_answer *answer, unsigned line)
{
    while (answer->next < answer->count && answer->origins[answer->next].line <= line) {
        answer->next++;
    }
    return answer->next ? answer->origins[answer->next - 1].file : answer->job->scan->builder_file;
}

enum helm_hook { HOOK_NONE, HOOK_OF_INSTALLATION, HOOK_OF_OTHER_MOMENTS, HOOK_TEST };

static enum helm_hook helm_hook_of(const char *events)
{
    static const char *const installs[] = {"pre-install", "post-install", "pre-upgrade",
                                           "post-upgrade"};
    if (!events || strstr(events, "crd-install")) {
        return HOOK_NONE; /* the latter is how Helm 2 marked definitions */
    }
    for (size_t i = 0; i < sizeof(installs) / sizeof(installs[0]); i++) {
        if (strstr(events, installs[i])) {
            return HOOK_OF_INSTALLATION;
        }
    }
    return strstr(events, "test") ? HOOK_TEST : HOOK_OF_OTHER_MOMENTS;
}

static void helm_refuse_hook(const struct helm_answer *answer, const cJSON *object,
                             const char *file, const char *events)
{
    const struct render_sink *sink = answer->job->sink;
    AUTO_FREE char *message =
        mem_format("%s %s is a Helm hook (%s), and spec.render.helm.hooks is Refuse: Run runs "
                   "them, Omit leaves them out",
                   text_or_empty(json_string(object, "kind")),
                   text_or_empty(json_string_path(object, "metadata.name")), events);
    sink->error(file, 0, message, sink->context);
}

static void helm_take_object(cJSON *object, const char *file, unsigned line, void *context)
{
    struct helm_answer *answer = context;
    const struct render_sink *sink = answer->job->sink;
    const cJSON *metadata = json_object(object, "metadata");
    const char *events = json_string(json_object(metadata, "annotations"), HELM_HOOK_ANNOTATION);
    enum helm_hook hook = helm_hook_of(events);
    const char *wish = json_string(helm_spec(answer->job->scan), "hooks");
    bool refuse = text_equal(wish, "Refuse"), omit = text_equal(wish, "Omit");
    file = helm_origin_of(answer, line);
    if (hook == HOOK_NONE || (hook != HOOK_TEST && !refuse && !omit)) {
        sink->object(object, file, 0, sink->context);
        return;
    }
    if (hook == HOOK_OF_INSTALLATION && refuse) {
        helm_refuse_hook(answer, object, file, events);
    }
    json_free(object);
}

static void helm_take_error(const char *file, unsigned line, const char *message, void *context)
{
    struct helm_answer *answer = context;
    const struct render_sink *sink = answer->job->sink;
    (void)file;
    sink->error(helm_origin_of(answer, line), 0, message, sink->context);
}

static void helm_take(const struct render_job *job, const char *output, size_t size)
{
    struct helm_answer answer = {.job = job};
    const struct render_sink sink = {helm_take_object, helm_take_error, &answer};
    helm_find_origins(&answer, output, size);
    render_text(output, size, job->scan->builder_file, job->scan, &sink);
    for (size_t i = 0; i < answer.count; i++) {
        free(answer.origins[i].file);
    }
    free(answer.origins);
}

/* Where the chart's name begins a path; a name such as "s" ends many a word. NULL: nowhere. */
static const char *helm_find_path(const char *message, const char *chart)
{
    AUTO_FREE char *start = mem_format("%s/", chart);
    const char *found = *chart ? strstr(message, start) : NULL;
    while (found && found > message && !strchr(" \n\"'(:", found[-1])) {
        found = strstr(found + 1, start);
    }
    return found;
}

/* "template: shop/templates/web.yaml:3:12: executing …": file and line are the template's. */
static void helm_fail(const struct render_job *job, const char *message)
{
    const struct render_scan *scan = job->scan;
    const char *found = helm_find_path(message, text_or_empty(scan->chart));
    size_t length = found ? strcspn(found, ": \n'\"") : 0;
    unsigned line = 0;
    AUTO_FREE char *file =
        found ? helm_name_file(scan, found, length) : mem_string(scan->builder_file);
    if (found && sscanf(found + length, ":%u", &line) != 1) {
        line = 0;
    }
    job->sink->error(file, line, message, job->sink->context);
}

/* ---- The build ---- */

struct helm_arguments {
    struct arena arena;
    const char *argv[ARGUMENTS_MAXIMUM + 1];
    size_t count;
};

static void helm_argument(struct helm_arguments *arguments, const char *argument)
{
    if (arguments->count < ARGUMENTS_MAXIMUM) {
        arguments->argv[arguments->count++] = argument;
    }
}

static void helm_option(struct helm_arguments *arguments, const char *option, const char *value)
{
    helm_argument(arguments, option);
    helm_argument(arguments, value);
}

/* In pieces that Linux takes as arguments. */
static void helm_add_api_versions(struct helm_arguments *arguments, const char *list)
{
    while (!text_is_empty(list)) {
        size_t length = strlen(list);
        if (length > API_VERSIONS_SIZE) {
            length = API_VERSIONS_SIZE;
            while (length && list[length] != ',') {
                length--;
            }
        }
        helm_option(arguments, "--api-versions", arena_string_n(&arguments->arena, list, length));
        list += length;
        list += *list == ',';
    }
}

/* The later overrides the earlier: files of the repository, then what the cluster holds, then what
 * the Application says itself. */
static void helm_add_values(struct helm_arguments *arguments, const struct render_scan *scan)
{
    const cJSON *files = json_array(helm_spec(scan), "valuesFiles");
    for (const cJSON *item = json_first(files); item; item = item->next) {
        const char *path = cJSON_IsString(item)
                               ? render_tree_join(&arguments->arena, scan->path, item->valuestring)
                               : NULL;
        if (path) {
            helm_option(arguments, "--values", arena_format(&arguments->arena, "./%s", path));
        }
    }
    helm_option(arguments, "--values", "-");
}

/* False: that something is wrong with them is told. */
static bool helm_give_values(struct render_job *job)
{
    struct error why = {0};
    AUTO_JSON cJSON *values = render_values_merge(job->scan, &why);
    buf_init(&job->input, RENDER_FILE_MAXIMUM);
    if (values && !json_write(values, &job->input)) {
        error_set(&why, ERROR_LIMIT, "the values have more than %zu MiB together",
                  RENDER_FILE_MAXIMUM >> 20);
    }
    if (why.code) {
        job->sink->error("spec.render.helm", 0, why.message, job->sink->context);
    }
    return !why.code;
}

bool render_helm_begin(struct render_job *job, struct event_base *loop, struct error *error)
{
    struct render_scan *scan = job->scan;
    struct helm_arguments arguments = {.count = 1};
    AUTO_FREE char *chart = mem_format("./%s", scan->path);
    job->name = "helm";
    job->take = helm_take;
    job->fail = helm_fail;
    arena_init(&arguments.arena);
    helm_argument(&arguments, "template");
    helm_argument(&arguments, "--include-crds");
    helm_argument(&arguments, "--skip-tests");
    helm_option(&arguments, "--namespace", helm_namespace(scan));
    if (scan->options.kube_version) {
        helm_option(&arguments, "--kube-version", scan->options.kube_version);
    }
    helm_add_api_versions(&arguments, scan->options.api_versions);
    helm_add_values(&arguments, scan);
    helm_argument(&arguments, "--");
    helm_option(&arguments, helm_release(scan), chart);
    job->done = !helm_give_values(job);
    bool ok = job->done || render_job_begin(job, arguments.argv, loop, error);
    arena_release(&arguments.arena);
    return ok;
}
