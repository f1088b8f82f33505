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
#include "differ/render/internal.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void build_problem(const struct render_job *job, const char *message)
{
    job->sink->error(job->scan->builder_file, 0, message, job->sink->context);
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

static void build_tell_failure(const struct render_job *job, const struct error *why)
{
    AUTO_FREE char *inside = mem_format("%s/", job->tree);
    AUTO_FREE char *text = mem_string(why->message);
    char *start = text;
    if (build_is_out_of_memory(text)) {
        free(text);
        text = start = mem_format("%s needed more than %lld MiB of memory and was ended", job->name,
                                  (long long)(job->memory_maximum >> 20));
    }
    build_remove_all(start, inside);
    build_remove_all(start, job->tree);
    build_remove_all(start, job->scratch);
    char *advice = strstr(start, "\n\nUse --debug flag");
    if (advice) {
        *advice = '\0'; /* of Helm's, which cannot be taken */
    }
    while (text_has_prefix(start, "Error: ")) {
        start += strlen("Error: ");
    }
    AUTO_FREE char *message = text_has_prefix(start, job->name)
                                  ? mem_string(start)
                                  : mem_format("%s: %s", job->name, start);
    if (job->fail) {
        job->fail(job, message);
    } else {
        build_problem(job, message);
    }
}

/* ---- The program ---- */

const char *const render_programs[] = {"kustomize", "helm", "sops", NULL};

/* The lines of the answer are in no file of the repository. */
static void build_take_object(cJSON *object, const char *file, unsigned line, void *context)
{
    const struct render_sink *sink = context;
    (void)line;
    sink->object(object, file, 0, sink->context);
}

static void build_take_error(const char *file, unsigned line, const char *message, void *context)
{
    const struct render_sink *sink = context;
    (void)line;
    sink->error(file, 0, message, sink->context);
}

static void build_take(const struct render_job *job, const char *output, size_t size)
{
    const struct render_sink sink = {build_take_object, build_take_error, (void *)job->sink};
    render_text(output, size, job->scan->builder_file, job->scan, &sink);
}

static void build_end(const char *output, size_t size, int exit_code, const struct error *why,
                      void *context)
{
    struct render_job *job = context;
    (void)exit_code;
    job->child = NULL;
    job->done = true;
    if (why) {
        build_tell_failure(job, why);
    } else if (job->take) {
        job->take(job, output, size);
    } else {
        build_take(job, output, size);
    }
}

/* Both lists in one, to be freed. */
static const char **build_join(const char *const *left, const char *const *right)
{
    const char *const *const lists[] = {left, right};
    const char **joined = mem_new(1, sizeof *joined);
    size_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        for (const char *const *it = lists[i]; it && *it; it++) {
            joined = mem_resize(joined, count + 2, sizeof *joined);
            joined[count++] = *it;
            joined[count] = NULL;
        }
    }
    return joined;
}

/* argv[0] is replaced by the program's path. */
static void build_execute(struct render_job *job, const char **argv, struct event_base *loop)
{
    AUTO_FREE char *found = job->program ? mem_string(job->program) : child_find_program(job->name);
    AUTO_FREE char *program = found ? realpath(found, NULL) : NULL; /* it starts elsewhere */
    if (!program) {
        AUTO_FREE char *message =
            job->program ? mem_format("the generator %s cannot be run: there is no %s", job->name,
                                      job->program)
                         : mem_format("%s builds this directory, and there is no program of "
                                      "that name on the PATH, nor beside this one",
                                      job->name);
        build_problem(job, message);
        return;
    }
    const int64_t memory = job->memory_maximum;
    const int64_t timeout = job->timeout_ms;
    AUTO_FREE char *soft = mem_format("GOMEMLIMIT=%lld", (long long)(memory / 4 * 3));
    const char *const basis[] = {"GOTRACEBACK=none",
                                 "GOMAXPROCS=2",
                                 "GOGC=400", /* most builds end before the first collection */
                                 "HELM_CACHE_HOME=/none",
                                 "HELM_CONFIG_HOME=/none",
                                 "HELM_DATA_HOME=/none",
                                 memory ? soft : NULL,
                                 NULL};
    const char *const own[] = {program, NULL};
    const char *const read_only[] = {job->scratch, NULL};
    AUTO_FREE const char **environment = build_join(basis, job->environment);
    AUTO_FREE const char **execute = build_join(own, job->paths);
    const struct sandbox_options sandbox = {.read_only = read_only, .execute = execute};
    argv[0] = program;
    const struct child_options options = {
        .argv = argv,
        .environment = environment,
        .input = job->input.data,
        .input_size = job->input.size,
        .output_maximum = RENDER_TOTAL_MAXIMUM,
        .timeout_ms = timeout,
        .memory_maximum = memory,
        .cpu_seconds = timeout / 1000 * 2 + 1,
        .directory = job->directory ? job->directory : job->tree,
        .sandbox = &sandbox,
    };
    struct error error;
    job->child = child_start(loop, &options, build_end, job, &error);
    if (!job->child) {
        build_problem(job, error.message);
    }
}

/* ---- The copy ---- */

static bool build_open(struct render_job *job, struct error *error)
{
    return directory_remove(job->scratch, error) && directory_make(job->tree, error) &&
           render_tree_write(job->scan, job->tree, error) &&
           (!job->prepare || job->prepare(job, error));
}

bool render_job_begin(struct render_job *job, const char **argv, struct event_base *loop,
                      struct error *error)
{
    struct error why = {0};
    if (build_open(job, &why)) {
        build_execute(job, argv, loop);
    } else if (render_is_result(&why)) {
        build_problem(job, why.message);
    } else {
        if (error) {
            *error = why;
        }
        return false;
    }
    job->done = job->child == NULL;
    return true;
}

/* ---- Kustomize ---- */

static bool build_write_overlay(struct render_job *job, struct error *error)
{
    AUTO_FREE char *path = mem_format("%s/kustomization.yaml", job->scratch);
    AUTO_BUF struct buf text;
    buf_init(&text, RENDER_FILE_MAXIMUM);
    return render_overlay_write(job->scan, &text)
               ? render_tree_write_file(path, &text, error)
               : error_set(error, ERROR_LIMIT, "the application has too many files to build");
}

static bool build_kustomize(struct render_job *job, struct event_base *loop, struct error *error)
{
    bool overlay = render_overlay_is_wanted(job->scan);
    job->name = "kustomize";
    job->prepare = overlay ? build_write_overlay : NULL;
    AUTO_FREE char *path = overlay ? mem_string("..") : mem_format("./%s", job->scan->path);
    const char *argv[] = {NULL, "build", path, NULL};
    return render_job_begin(job, argv, loop, error);
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

void render_job_free(struct render_job *job)
{
    if (!job) {
        return;
    }
    child_cancel(job->child);
    if (job->scratch) {
        directory_remove(job->scratch, NULL); /* what may be left goes with the next build */
    }
    buf_release(&job->input);
    free(job->directory);
    free(job->scratch);
    free(job->tree);
    free(job);
}

/* What has been decrypted is copied in memory. False, and told: there is no such place. */
static bool build_choose_scratch(struct render_job *job, const struct render_builder *builder)
{
    if (!job->scan->decrypted.count) {
        job->scratch = mem_string(builder->scratch);
    } else if (builder->memory) {
        job->scratch = mem_format("%s/build", builder->memory);
    } else {
        AUTO_FREE char *message = mem_format("what is decrypted must not be written to a disk: %s",
                                             text_or_empty(builder->memory_problem));
        job->sink->error("spec.decryption", 0, message, job->sink->context);
        return false;
    }
    job->tree = mem_format("%s/" RENDER_TREE, job->scratch);
    return true;
}

struct render_job *render_job_start(struct render_scan *scan, const struct render_builder *builder,
                                    const struct render_sink *sink, struct event_base *loop,
                                    struct error *error)
{
    struct render_job *job = NEW(struct render_job);
    job->scan = scan;
    render_hiding_init(&job->hiding, scan, sink);
    job->sink = &job->hiding.sink;
    job->timeout_ms = builder->timeout_ms;
    job->memory_maximum = builder->memory_maximum;
    if (build_tell_problems(scan, sink) || scan->undecrypted ||
        !build_choose_scratch(job, builder)) {
        job->done = true;
        return job;
    }
    bool begun = scan->type == RENDER_HELM        ? render_helm_begin(job, loop, error)
                 : scan->type == RENDER_GENERATOR ? render_generator_begin(job, loop, error)
                                                  : build_kustomize(job, loop, error);
    if (!begun) {
        render_job_free(job);
        return NULL;
    }
    return job;
}

bool render_job_is_done(const struct render_job *job)
{
    return job->done;
}

bool render_run(struct source *source, struct render_scan *scan,
                const struct render_builder *builder, const struct render_sink *sink,
                struct error *error)
{
    struct event_base *loop = event_base_new();
    bool decrypted = render_decrypt(scan, builder, sink, loop, error);
    if (!decrypted || !render_scan_is_built(scan)) {
        event_base_free(loop);
        return decrypted && render_plain(source, scan, sink, error);
    }
    struct render_job *job = render_job_start(scan, builder, sink, loop, error);
    while (job && !job->done) {
        event_base_loop(loop, EVLOOP_ONCE);
    }
    bool ok = job != NULL;
    render_job_free(job);
    event_base_free(loop);
    return ok;
}
