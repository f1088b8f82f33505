/* Objects that another program builds. It gets a private copy of the files that the scan noted, an
 * almost empty environment, and the sandbox of child.h: it can read the copy and nothing else,
 * write nothing but its answer, reach nobody, start nothing; and its time, its memory and the
 * length of its answer are bounded.
 *
 * Cost: the files are written once (to a directory that is removed at the end), the start of the
 * program, its output. What it says in an error is told with the names that the files have in the
 * repository. */
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/child.h"
#include "common/run/sandbox.h"
#include "differ/render_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void build_problem(const struct render_build *build, const char *message)
{
    build->sink->error(build->scan->builder_file, 0, message, build->sink->context);
}

/* ---- Words ---- */

/* Removes each `what` from the text. */
static void build_remove_all(char *text, const char *what)
{
    size_t length = strlen(what);
    for (char *found = strstr(text, what); found; found = strstr(found, what)) {
        memmove(found, found + length, strlen(found + length) + 1);
    }
}

/* Go says that memory is out in one of these ways, and then prints its stacks. */
static bool build_is_out_of_memory(const char *text)
{
    return strstr(text, "out of memory") || strstr(text, "cannot allocate memory") ||
           strstr(text, "failed to create new OS thread");
}

static void build_tell_failure(const struct render_build *build, const struct error *why)
{
    AUTO_FREE char *inside = mem_format("%s/", build->tree);
    AUTO_FREE char *text = mem_string(why->message);
    char *start = text;
    if (build_is_out_of_memory(text)) {
        free(text);
        text = start = mem_format("%s needed more than %lld MiB of memory and was ended",
                                  build->name, (long long)(build->builder->memory_maximum >> 20));
    }
    build_remove_all(start, inside);
    build_remove_all(start, build->tree);
    build_remove_all(start, build->builder->scratch);
    char *advice = strstr(start, "\n\nUse --debug flag");
    if (advice) {
        *advice = '\0'; /* of Helm's, which cannot be taken */
    }
    while (text_has_prefix(start, "Error: ")) {
        start += strlen("Error: ");
    }
    AUTO_FREE char *message = text_has_prefix(start, build->name)
                                  ? mem_string(start)
                                  : mem_format("%s: %s", build->name, start);
    if (build->fail) {
        build->fail(build, message);
    } else {
        build_problem(build, message);
    }
}

/* ---- The program ---- */

const char *const render_programs[] = {"kustomize", "helm", NULL};

static void build_end(const char *output, size_t size, int exit_code, const struct error *why,
                      void *context)
{
    const struct render_build *build = context;
    (void)exit_code;
    if (why) {
        build_tell_failure(build, why);
    } else if (build->take) {
        build->take(build, output, size);
    } else {
        render_text(output, size, build->scan->builder_file, build->sink);
    }
}

/* argv[0] is replaced by the program's path. */
static void build_execute(struct render_build *build, const char **argv)
{
    AUTO_FREE char *found = child_find_program(build->name);
    AUTO_FREE char *program = found ? realpath(found, NULL) : NULL; /* it starts elsewhere */
    if (!program) {
        AUTO_FREE char *message = mem_format("%s builds this directory, and there is no program of "
                                             "that name on the PATH",
                                             build->name);
        build_problem(build, message);
        return;
    }
    const int64_t memory = build->builder->memory_maximum;
    const int64_t timeout = build->builder->timeout_ms;
    AUTO_FREE char *soft = mem_format("GOMEMLIMIT=%lld", (long long)(memory / 4 * 3));
    const char *const environment[] = {"GOTRACEBACK=none",
                                       "GOMAXPROCS=2",
                                       "HELM_CACHE_HOME=/none",
                                       "HELM_CONFIG_HOME=/none",
                                       "HELM_DATA_HOME=/none",
                                       memory ? soft : NULL,
                                       NULL};
    const char *const read_only[] = {build->builder->scratch, NULL};
    const char *const execute[] = {program, NULL};
    const struct sandbox_options sandbox = {.read_only = read_only, .execute = execute};
    argv[0] = program;
    const struct child_options options = {
        .argv = argv,
        .environment = environment,
        .input = build->input.data,
        .input_size = build->input.size,
        .output_maximum = RENDER_TOTAL_MAXIMUM,
        .timeout_ms = timeout,
        .memory_maximum = memory,
        .cpu_seconds = timeout / 1000 * 2 + 1,
        .directory = build->tree,
        .sandbox = &sandbox,
    };
    struct error error;
    struct event_base *loop = event_base_new();
    if (child_start(loop, &options, build_end, build, &error)) {
        event_base_dispatch(loop); /* until the child's events are gone */
    } else {
        build_problem(build, error.message);
    }
    event_base_free(loop);
}

/* ---- The copy ---- */

static bool build_open(struct render_build *build, struct error *error)
{
    build->tree = mem_format("%s/" RENDER_TREE, build->builder->scratch);
    return directory_remove(build->builder->scratch, error) && directory_make(build->tree, error) &&
           render_tree_write(build->scan, build->tree, error) &&
           (!build->prepare || build->prepare(build, error));
}

bool render_build_run(struct render_build *build, const char **argv, struct error *error)
{
    struct error why = {0};
    bool ok = build_open(build, &why);
    if (ok) {
        build_execute(build, argv);
    } else if (render_is_result(&why)) {
        build_problem(build, why.message);
        ok = true;
    }
    free(build->tree);
    if (!ok) {
        directory_remove(build->builder->scratch, NULL);
        if (error) {
            *error = why;
        }
        return false;
    }
    return directory_remove(build->builder->scratch, error);
}

/* ---- Kustomize ---- */

static bool build_write_overlay(struct render_build *build, struct error *error)
{
    AUTO_FREE char *path = mem_format("%s/kustomization.yaml", build->builder->scratch);
    AUTO_BUF struct buf text;
    buf_init(&text, RENDER_FILE_MAXIMUM);
    return render_overlay_write(build->scan, &text)
               ? render_tree_write_file(path, &text, error)
               : error_set(error, ERROR_LIMIT, "the application has too many files to build");
}

static bool build_kustomize(struct render_scan *scan, const struct render_builder *builder,
                            const struct render_sink *sink, struct error *error)
{
    struct render_build build = {
        .scan = scan, .builder = builder, .sink = sink, .name = "kustomize"};
    bool overlay = render_overlay_is_wanted(scan);
    build.prepare = overlay ? build_write_overlay : NULL;
    AUTO_FREE char *path = overlay ? mem_string("..") : mem_format("./%s", scan->path);
    const char *argv[] = {NULL, "build", path, NULL};
    return render_build_run(&build, argv, error);
}

/* ---- All of them ---- */

/* Nothing is built of files of which something is wrong already. */
static bool build_tell_problems(const struct render_scan *scan, const struct render_sink *sink)
{
    for (size_t i = 0; i < scan->count; i++) {
        const struct render_item *item = &scan->items[i];
        if (item->problem) {
            sink->error(item->file, item->line, item->problem, sink->context);
        }
    }
    return scan->problems > 0;
}

bool render_run(struct source *source, struct render_scan *scan,
                const struct render_builder *builder, const struct render_sink *sink,
                struct error *error)
{
    if (scan->type == RENDER_PLAIN && !render_overlay_is_wanted(scan)) {
        return render_plain(source, scan, sink, error);
    }
    if (build_tell_problems(scan, sink)) {
        return true;
    }
    return scan->type == RENDER_HELM ? render_helm_build(scan, builder, sink, error)
                                     : build_kustomize(scan, builder, sink, error);
}
