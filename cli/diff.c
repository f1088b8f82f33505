/* gitmoor diff: what a reconcile would change, as a unified diff of live and declared objects. */
#include "cli/diff.h"

#include "cli/cli.h"
#include "cli/keys.h"
#include "cli/manifests.h"
#include "cli/options.h"
#include "cli/table.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OBJECT_MAXIMUM (8 * RENDER_FILE_MAXIMUM)

enum { DIFF_NONE = 0, DIFF_SOME = 1, DIFF_TROUBLE = 2 };

void diff_complain(struct diff_verb *verb, const char *what, const struct error *error)
{
    verb->trouble = true;
    fprintf(stderr, "gitmoor %s: %s: ", verb->word, what);
    table_print_text(error->message, 2, stderr);
    fputc('\n', stderr);
}

/* ---- The manifests ---- */

/* Rendered objects as texts, which is what desired_build takes. */
struct diff_rendering {
    struct diff_verb *verb;
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

static bool diff_open_revision(struct diff_application *application, struct arena *arena,
                               struct source **ret, struct error *error)
{
    struct diff_verb *verb = application->verb;
    char commit[SOURCE_COMMIT_SIZE];
    const char *told = json_string_path(application->object, "status.lastAttemptedRevision");
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
        verb->revision ? arena_format(arena, "%s (%.12s)", revision, commit) : told;
    return true;
}

/* What the differ reads of the cluster for rendering, people mostly may not. Without it the diff
 * would be wrong, and look right. */
static bool diff_check_sources(const struct diff_verb *verb, const struct application_spec *spec,
                               struct error *error)
{
    if (json_size(spec->substitute_from)) {
        return error_set(error, ERROR_INVALID,
                         "the Application has spec.substituteFrom, which diff does not read; "
                         "gitmoor render --substitute-from renders it");
    }
    if (spec->decryption_secret && !verb->decryption) {
        return error_set(error, ERROR_INVALID,
                         "the Application has spec.decryption, whose Secret diff does not read; "
                         "give the keys with --decrypt-key FILE");
    }
    if (json_size(json_array(json_object(spec->render, "helm"), "valuesFrom"))) {
        return error_set(error, ERROR_INVALID,
                         "the Application has spec.render.helm.valuesFrom, which diff does not "
                         "read; gitmoor render --values renders it");
    }
    return true;
}

/* Renders as the differ does, and makes of it what would be applied. */
static bool diff_build(struct diff_application *application, struct source *source,
                       const char *path, struct diff_rendering *rendering, struct error *error)
{
    const struct application_spec *spec = &application->spec;
    const struct render_options options = {
        .path = path,
        .revision = application->revision,
        .spec = spec->render,
        .target_namespace = spec->target_namespace,
        .variables = spec->substitute,
        .decryption = spec->decryption_secret ? application->verb->decryption : NULL,
        .plaintext = application->plaintext,
        .name = application->name,
        .namespace_ = application->namespace_};
    const struct render_sink sink = {diff_take_object, diff_take_error, rendering};
    if (!diff_check_sources(application->verb, spec, error)) {
        return false;
    }
    if (!manifests_render(source, &options, &sink, error)) {
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

static bool diff_read_manifests(struct diff_application *application, struct arena *arena,
                                struct error *error)
{
    struct diff_verb *verb = application->verb;
    AUTO_SOURCE struct source *source = NULL;
    char path[PATH_MAX] = "";
    struct diff_rendering rendering = {.verb = verb};
    if (!verb->path && json_string_path(application->object, "spec.source.helmRepository")) {
        return error_set(error, ERROR_INVALID,
                         "it renders a chart of a HelmRepository, which is in no clone. Unpack the "
                         "chart (helm pull --untar) and name its directory by --path");
    }
    bool opened = verb->path ? diff_open_directory(verb, &source, path, error)
                             : diff_open_revision(application, arena, &source, error);
    arena_init(&rendering.arena);
    bool built =
        opened && diff_build(application, source, verb->path ? path : application->spec.path,
                             &rendering, error);
    free(rendering.inputs);
    arena_release(&rendering.arena);
    return built;
}

/* ---- One application ---- */

static void diff_application(struct diff_verb *verb, const cJSON *object)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    struct diff_application application = {
        .verb = verb,
        .object = object,
        .namespace_ = text_or_empty(json_string_path(object, "metadata.namespace")),
        .name = text_or_empty(json_string_path(object, "metadata.name")),
        .plaintext = json_new_array(),
        .guarded = !text_equal(json_string_path(object, "spec.protection"), "Off"),
    };
    application_spec_read(object, &application.spec);
    if (diff_read_manifests(&application, &arena, &error)) {
        for (size_t i = 0; i < application.desired->count; i++) {
            diff_declared(&application, &application.desired->objects[i]);
        }
        if (!verb->adopts) {
            diff_pruned(&application);
        }
    } else {
        diff_complain(verb, arena_format(&arena, "application %s", application.name), &error);
    }
    desired_free(application.desired);
    json_free(application.plaintext);
    application_spec_release(&application.spec);
}

static int diff_sum_up(const struct diff_verb *verb)
{
    if (verb->foretold) {
        fprintf(stderr,
                "Some of it is foretold, not asked of the server: what that sets by default "
                "is not in it.\n");
    }
    size_t total = verb->made + verb->changed + verb->deleted;
    if (verb->adopts) {
        fprintf(stderr, "%zu objects exist already and are not the application's.\n",
                verb->foreign);
        total = verb->foreign;
    } else if (total > 0) {
        fprintf(stderr, "A reconcile would make %zu, change %zu and delete %zu objects.\n",
                verb->made, verb->changed, verb->deleted);
    }
    return verb->trouble ? DIFF_TROUBLE : total > 0 ? DIFF_SOME : DIFF_NONE;
}

static void diff_take_groups(struct diff_verb *verb)
{
    const cJSON *groups = json_array(verb->who, "groups");
    size_t count = 0;
    verb->groups = mem_new(json_size(groups) + 1, sizeof *verb->groups);
    for (const cJSON *item = json_first(groups); item; item = item->next) {
        /* The server adds that one by itself, and one need not be allowed to. */
        if (cJSON_IsString(item) && strcmp(item->valuestring, "system:authenticated") != 0) {
            verb->groups[count++] = item->valuestring;
        }
    }
}

int diff_run(struct diff_verb *verb, const char *name)
{
    struct error error = {0};
    AUTO_JSON cJSON *answer = NULL;
    managers_add(&verb->people, verb->take_over);
    if (!keys_read(&verb->decrypt_keys, &verb->decryption, &error) ||
        !cluster_open(&verb->cluster, &error) ||
        !cluster_get(&verb->cluster, &cluster_applications, verb->cluster.namespace_, name, &answer,
                     &error) ||
        !kube_discovery_load_wait(verb->cluster.client, &verb->discovery, &error)) {
        verb->trouble = true;
        return cli_fail(verb->word, DIFF_TROUBLE, &error);
    }
    verb->who = cluster_who(&verb->cluster);
    diff_take_groups(verb);
    const cJSON *object = name ? answer : json_first(json_get(answer, "items"));
    if (!object) {
        fprintf(stderr, "There are no applications in namespace %s.\n", verb->cluster.namespace_);
    }
    for (; object; object = name ? NULL : object->next) {
        diff_application(verb, object);
    }
    return diff_sum_up(verb);
}

void diff_close(struct diff_verb *verb)
{
    managers_release(&verb->people);
    kube_discovery_free(verb->discovery);
    json_free(verb->who);
    json_free(verb->decryption);
    free(verb->decrypt_keys.items);
    free(verb->groups);
    cluster_close(&verb->cluster);
}

/* ---- The verb ---- */

enum diff_colour { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

static bool diff_is_coloured(unsigned colour)
{
    return colour == COLOUR_ALWAYS ||
           (colour == COLOUR_AUTO && isatty(STDOUT_FILENO) && text_is_empty(getenv("NO_COLOR")));
}

static bool diff_check(struct diff_verb *verb, const char **operands, const char **ret_name,
                       struct error *error)
{
    struct cluster_target target = {0};
    if (operands[0] && !cluster_parse_target(operands[0], &target, error)) {
        return false;
    }
    if (operands[0] && target.kind != &cluster_applications) {
        return error_set(error, ERROR_INVALID, "%s is no application", operands[0]);
    }
    if (verb->path && (verb->revision || !operands[0])) {
        return error_set(error, ERROR_INVALID,
                         "--path is the directory of one application, and excludes --revision");
    }
    *ret_name = target.name;
    return true;
}

int cli_diff(int argc, char **argv)
{
    struct diff_verb verb = {.word = "diff", DIFF_DEFAULTS};
    unsigned colour = COLOUR_AUTO;
    const char *name = NULL;
    const struct option table[] = {
        {"revision", 0, OPTION_TEXT, &verb.revision, "REVISION",
         "A commit, branch or tag of the clone. Default: the one that the application is at."},
        {"color", 0, OPTION_CHOICE, &colour, "auto|always|never", "Default: auto."},
        DIFF_OPTIONS(verb),
        {0},
    };
    const struct option_set set = {
        "diff [APPLICATION] [OPTIONS]",
        "Shows what a reconcile would change in the cluster, as a unified diff; what it would\n"
        "delete is shown as deleted. Values of Secrets, and what was decrypted, are masked. "
        "Nothing\n"
        "is changed.",
        "0: nothing would change; 1: something would; 2: it cannot be told.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    struct error error = {0};
    int status;
    if (!options_start(&set, argc, argv, 0, 1, &operands, &status)) {
        return status;
    }
    verb.colour = diff_is_coloured(colour);
    status = diff_check(&verb, operands, &name, &error) ? diff_run(&verb, name)
                                                        : cli_fail("diff", DIFF_TROUBLE, &error);
    diff_close(&verb);
    return status;
}
