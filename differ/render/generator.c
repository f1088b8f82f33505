/* Languages that others know: a program of the operator's (generators.h) writes the objects, as
 * YAML or JSON, to its standard output. It works in the application's directory of a private copy
 * of that directory's files, and of those that the Application includes; in the same sandbox as
 * Kustomize and Helm, so it reads no more than these, and what the operator says. */
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/render/generators.h"
#include "differ/render/internal.h"

#include <string.h>

#define GENERATOR_KEY_VERSION "generator 1"
#define DEFINITION_MAXIMUM ((size_t)1 << 20)
#define FIELD "spec.render.generator"

static const cJSON *generator_spec(const struct render_scan *scan)
{
    return json_object(scan->options.spec, "generator");
}

static const cJSON *generator_of(const struct render_scan *scan)
{
    return generators_find(scan->options.generators, json_string(generator_spec(scan), "name"));
}

/* ---- The scan ---- */

static void generator_add_key(struct render_scan *scan, const cJSON *generator)
{
    AUTO_BUF struct buf text;
    buf_init(&text, DEFINITION_MAXIMUM);
    json_write(generator, &text);
    render_key_add_setting(scan, RENDER_SETTING_PROGRAM, GENERATOR_KEY_VERSION);
    render_key_add_setting(scan, RENDER_SETTING_GENERATOR, text.data);
    render_key_add_setting(scan, "name", text_or_empty(scan->options.name));
    render_key_add_setting(scan, "namespace", text_or_empty(scan->options.namespace_));
}

static bool generator_include(struct render_scan *scan, const char *value, struct error *error)
{
    const char *path = render_tree_join(&scan->arena, scan->path, value);
    enum source_type type = SOURCE_NONE;
    if (!path) {
        return error_set(error, ERROR_DENIED, "include: %s leads out of the repository", value);
    }
    if (!render_tree_find(scan, path, &path, &type, error)) {
        return error_prefix(error, "include: %s", value);
    }
    if (type == SOURCE_FILE) {
        render_tree_add(scan, path);
        return true;
    }
    if (type == SOURCE_DIRECTORY) {
        render_key_add(scan, path);
        return render_tree_add_all(scan, path, error);
    }
    return error_set(error, ERROR_NOT_FOUND, "include: %s does not exist in the repository", value);
}

bool render_generator_scan(struct render_scan *scan, struct error *error)
{
    const char *name = json_string(generator_spec(scan), "name");
    const cJSON *generator = generator_of(scan);
    if (!generator) {
        AUTO_FREE char *names = generators_names(scan->options.generators);
        AUTO_FREE char *problem =
            mem_format("there is no generator called %s here; the operator allows: %s",
                       text_or_empty(name), names);
        render_key_add_setting(scan, RENDER_SETTING_GENERATOR, names);
        render_add_problem(scan, FIELD, 0, problem);
        return true;
    }
    generator_add_key(scan, generator);
    render_key_add(scan, scan->path);
    if (!render_tree_add_all(scan, scan->path, error)) {
        return false;
    }
    const cJSON *list = json_array(generator_spec(scan), "include");
    for (const cJSON *it = json_first(list); it; it = it->next) {
        if (cJSON_IsString(it) && !generator_include(scan, it->valuestring, error)) {
            if (!render_is_result(error)) {
                return false;
            }
            render_add_problem(scan, FIELD, 0, error->message);
        }
    }
    return true;
}

/* ---- The build ---- */

/* An application of links alone has no directory otherwise. */
static bool generator_prepare(struct render_job *job, struct error *error)
{
    return directory_make(job->directory, error);
}

/* The strings are the list's; to be freed. */
static const char **generator_arguments(const cJSON *list)
{
    size_t count = 0;
    const char **argv = mem_new(json_size(list) + 1, sizeof *argv);
    for (const cJSON *it = json_first(list); it; it = it->next) {
        argv[count++] = it->valuestring;
    }
    return argv;
}

bool render_generator_begin(struct render_job *job, struct event_base *loop, struct error *error)
{
    struct render_scan *scan = job->scan;
    const cJSON *generator = generator_of(scan);
    AUTO_FREE const char **argv = generator_arguments(json_array(generator, "command"));
    AUTO_FREE const char **paths = generator_arguments(json_array(generator, "paths"));
    AUTO_FREE char *name = mem_format("GITMOOR_NAME=%s", text_or_empty(scan->options.name));
    AUTO_FREE char *namespace_ =
        mem_format("GITMOOR_NAMESPACE=%s", text_or_empty(scan->options.namespace_));
    const char *const environment[] = {name, namespace_, NULL};
    job->name = json_string(generator, "name");
    job->program = argv[0];
    job->paths = paths;
    job->environment = environment;
    job->directory =
        *scan->path ? mem_format("%s/%s", job->tree, scan->path) : mem_string(job->tree);
    job->prepare = generator_prepare;
    scan->builder_file = *scan->path ? scan->path : ".";
    bool begun = render_job_begin(job, argv, loop, error);
    job->paths = job->environment = NULL; /* which have been copied */
    return begun;
}
