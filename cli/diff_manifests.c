#include "cli/diff.h"

#include "cli/manifests.h"
#include "cli/pull.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OBJECT_MAXIMUM (8 * RENDER_FILE_MAXIMUM)

/* Rendered objects as texts, which is what desired_build takes. */
struct diff_rendering {
    struct arena arena;
    struct desired_input *inputs;
    size_t count, capacity;
    bool failed;
};

static void diff_take_object(cJSON *object, const char *file, unsigned line, void *context)
{
    struct diff_rendering *rendering = context;
    AUTO_JSON cJSON *owned = object;
    AUTO_BUF struct buf text;
    buf_init(&text, OBJECT_MAXIMUM);
    json_write(owned, &text);
    if (rendering->count == rendering->capacity) {
        rendering->capacity = rendering->capacity ? rendering->capacity * 2 : 64;
        rendering->inputs =
            mem_resize(rendering->inputs, rendering->capacity, sizeof *rendering->inputs);
    }
    rendering->inputs[rendering->count++] = (struct desired_input){
        .text = arena_string_n(&rendering->arena, text.data, text.size),
        .size = text.size,
        .file = arena_string(&rendering->arena, file),
        .line = line,
    };
}

static void diff_take_error(const char *file, unsigned line, const char *message, void *context)
{
    struct diff_rendering *rendering = context;
    rendering->failed = true;
    fprintf(stderr, "%s:%u: %s\n", file, line, message);
}

/* The commit of "main@sha1:4f2a91c…". */
static const char *diff_commit_of(const char *revision)
{
    const char *colon = revision ? strrchr(revision, ':') : NULL;
    return colon ? colon + 1 : revision;
}

/* ---- Where they are ---- */

static bool diff_open_directory(struct diff_verb *verb, struct source **ret,
                                char ret_path[PATH_MAX], struct error *error)
{
    char directory[PATH_MAX], root[PATH_MAX];
    if (!realpath(verb->path, directory)) {
        return error_set_errno(error, errno, "cannot open the directory %s", verb->path);
    }
    if (!manifests_find_root(NULL, directory, root, error)) {
        return false;
    }
    snprintf(ret_path, PATH_MAX, "%s", manifests_below(root, directory));
    return source_open_directory(root, ret, error);
}

static bool diff_open_revision(struct diff_application *application, struct source **ret,
                               struct error *error)
{
    struct diff_verb *verb = application->verb;
    char commit[SOURCE_COMMIT_SIZE];
    const char *told = diff_told_revision(application);
    const char *revision = verb->revision ? verb->revision : diff_commit_of(told);
    if (!revision) {
        return error_set(error, ERROR_NOT_FOUND,
                         "the application has no revision yet: name one with --revision, or a "
                         "directory with --path");
    }
    if (!source_open_revision(verb->repository, revision, ret, commit, error)) {
        return error_prefix(error,
                            "%s is not to be had here (--repository says where a clone is, and git "
                            "fetch brings it up to date; --path DIR takes a directory instead)",
                            verb->revision ? verb->revision : told);
    }
    application->revision =
        verb->revision ? mem_format("%s (%.12s)", revision, commit) : mem_string(told);
    return true;
}

/* ---- What the cluster holds ---- */

/* As whoever asks; without it the diff would be wrong, and look right. */
static bool diff_read_source(struct diff_application *application, struct values_source *source,
                             struct error *error)
{
    struct cluster *cluster = &application->verb->cluster;
    const struct kube_resource resource = {.group = "",
                                           .version = "v1",
                                           .kind = values_kind(source),
                                           .plural = source->secret ? "secrets" : "configmaps",
                                           .namespaced = true};
    AUTO_JSON cJSON *object = NULL;
    if (source->wanted == VALUES_KEYS && application->verb->decryption) {
        return true; /* those of the command line count */
    }
    if (!cluster_read(cluster, &resource, application->namespace_, source->name, &object, error) &&
        error->code != ERROR_NOT_FOUND) {
        return error_prefix(
            error, "%s: you cannot read the %s %s%s", values_field(source), resource.kind,
            source->name,
            source->wanted == VALUES_KEYS ? " (--decrypt-key gives the keys from files)" : "");
    }
    values_take(source, object);
    AUTO_FREE char *lack = values_describe_lack(source, application->namespace_);
    return !lack || error_set(error, ERROR_INVALID, "%s: %s", values_field(source), lack);
}

/* Values for a chart, variables and keys, by the names of values_add. */
static bool diff_read_values(struct diff_application *application, cJSON *ret, struct error *error)
{
    struct values_source *sources;
    size_t count = values_list(&application->spec, &sources);
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        ok = diff_read_source(application, &sources[i], error);
    }
    if (ok) {
        values_add(sources, count, &application->spec, ret);
    }
    values_free(sources, count);
    return ok;
}

/* ---- Rendering ---- */

static bool diff_render(struct diff_application *application, struct source *source,
                        const char *path, struct diff_rendering *rendering, struct error *error)
{
    const struct diff_verb *verb = application->verb;
    const struct application_spec *spec = &application->spec;
    AUTO_JSON cJSON *values = json_new_object();
    if (!diff_read_values(application, values, error)) {
        return false;
    }
    const cJSON *keys = verb->decryption ? verb->decryption : json_object(values, "decryption");
    const struct render_options options = {.path = path,
                                           .revision = application->revision,
                                           .spec = spec->render,
                                           .target_namespace = spec->target_namespace,
                                           .kube_version = verb->kube_version,
                                           .api_versions = verb->api_versions,
                                           .generators = verb->generators,
                                           .values = json_array(values, "values"),
                                           .variables = json_object(values, "variables"),
                                           .decryption = spec->decryption_secret ? keys : NULL,
                                           .plaintext = application->plaintext,
                                           .name = application->name,
                                           .namespace_ = application->namespace_};
    const struct render_sink sink = {diff_take_object, diff_take_error, rendering};
    return manifests_render(source, &options, &sink, error);
}

/* Renders as the differ does, and makes of it what would be applied. */
static bool diff_build(struct diff_application *application, struct source *source,
                       const char *path, struct diff_rendering *rendering, struct error *error)
{
    const struct application_spec *spec = &application->spec;
    if (!diff_render(application, source, path, rendering, error)) {
        return false;
    }
    const struct desired_options shape = {
        .namespace_ = application->namespace_,
        .application = application->name,
        .target_namespace = spec->target_namespace,
        .default_namespace = json_string(json_object(spec->render, "helm"), "namespace"),
        .ignore = &spec->ignore,
        .discovery = application->verb->discovery};
    struct map unknown;
    struct problems problems;
    map_init(&unknown);
    problems_init(&problems);
    application->desired =
        desired_build(&shape, rendering->inputs, rendering->count, &problems, &unknown);
    for (size_t i = 0; i < problems.count; i++) {
        fprintf(stderr, "%s:%u: %s: %s\n", problems.list[i].file, problems.list[i].line,
                problems.list[i].object, problems.list[i].message);
    }
    bool valid = problems.total == 0 && !rendering->failed;
    map_release(&unknown, NULL);
    problems_release(&problems);
    return valid || error_set(error, ERROR_INVALID, "the manifests are not valid");
}

/* ---- The whole ---- */

/* Where they are: a directory, a chart of a HelmRepository, or a commit of a clone. */
static bool diff_open(struct diff_application *application, struct pull *pull, struct source **ret,
                      char ret_path[PATH_MAX], struct error *error)
{
    struct diff_verb *verb = application->verb;
    if (verb->path) {
        return diff_open_directory(verb, ret, ret_path, error);
    }
    snprintf(ret_path, PATH_MAX, "%s", application->spec.path);
    if (!pull_is_needed(&application->spec)) {
        return diff_open_revision(application, ret, error);
    }
    /* What may be taken over is a revision of the Application; what a reconcile brings, the newest.
     */
    const char *told = diff_told_revision(application);
    const char *wanted = verb->revision ? verb->revision : verb->adopts ? told : NULL;
    if (!pull_chart(&verb->cluster, &application->spec, wanted, pull, error)) {
        return false;
    }
    application->revision = mem_string(pull->revision);
    *ret = pull->source;
    pull->source = NULL;
    return true;
}

bool diff_read_manifests(struct diff_application *application, struct error *error)
{
    AUTO_SOURCE struct source *source = NULL;
    struct pull pull = {0};
    char path[PATH_MAX] = "";
    struct diff_rendering rendering = {0};
    arena_init(&rendering.arena);
    bool built = diff_open(application, &pull, &source, path, error) &&
                 diff_build(application, source, path, &rendering, error);
    free(rendering.inputs);
    arena_release(&rendering.arena);
    pull_release(&pull);
    return built;
}
