/* The worker. Everything that can turn out to be missing is looked for before the first line of the
 * answer is written: so a negative answer is the only line, and a positive one holds to its end.
 *
 * Cost: one look at the names of each application (a few tree lookups); only those whose key
 * changed are parsed. Memory: the text of one application at a time. */
#include "differ/worker.h"

#include "common/base/clock.h"
#include "common/base/directory.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/child.h"
#include "common/run/sandbox.h"
#include "differ/render/generators.h"
#include "differ/render/odb.h"
#include "differ/render/render.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORKER_REQUEST_MAXIMUM ((size_t)64 << 20)
#define WORKER_REQUEST_DEPTH                                                                       \
    100 /* that of default limits: a spec is no deeper in it than in a list */
#define WORKER_SCRATCH                                                                             \
    "build" /* below the repository, and nothing of Git's: has one of each run                     \
             */
/* An application's objects, canonical: not much more than its files. */
#define WORKER_OUTPUT_MAXIMUM (2 * RENDER_TOTAL_MAXIMUM)

/* A hundred errors, each with a message, a path, and every byte of them escaped. */
#define WORKER_LINE_MAXIMUM ((size_t)8 << 20)

/* What is rendered of one application. */
struct worker_output {
    struct render_sink sink;
    struct buf lines;
    cJSON *errors;
    size_t objects;
};

struct worker_application {
    const char *key;
    const char *path;
    const char *known; /* render key of the caller, "" if none */
    const cJSON *spec; /* spec.render, or NULL */
    const char *target_namespace;
    const char *name, *namespace_; /* NULL: unknown */
    const cJSON *values;           /* texts, or NULL */
    const cJSON *variables;        /* strings, or NULL */
    const cJSON *decryption;       /* keys, or NULL */
    char render_key[DIGEST_HEX_SIZE];
    bool is_chart;
    struct render_scan *scan;     /* NULL: unchanged */
    struct worker_output *output; /* NULL: not begun */
    struct render_job *job;       /* NULL: not, or no longer, being built */
    struct error failure;         /* which is not the files' doing */
};

struct worker {
    cJSON *request;
    const char *repository;
    const char *pack;   /* or NULL */
    char *scratch;      /* of what is built; NULL: nothing is */
    const char *memory; /* a directory that is in memory, or NULL */
    struct error memory_problem;
    const char *commit;
    const char *revision;
    int64_t build_timeout_ms; /* of one application that another program builds */
    int64_t build_memory;     /* bytes; 0: no limit */
    int64_t begin_until;      /* monotonic ms: no application is begun afterwards; 0: no limit */
    bool tidies;
    struct worker_application *applications;
    size_t count;
    struct event_base *loop;
    struct odb *odb;
    struct source *source;
};

static void worker_end_application(struct worker_application *application)
{
    render_job_free(application->job);
    application->job = NULL;
    if (application->output) {
        buf_release(&application->output->lines);
        json_free(application->output->errors);
        free(application->output);
        application->output = NULL;
    }
    render_scan_free(application->scan);
    application->scan = NULL;
}

static void worker_release(struct worker *worker)
{
    for (size_t i = 0; i < worker->count; i++) {
        worker_end_application(&worker->applications[i]);
    }
    if (worker->loop) {
        event_base_free(worker->loop);
    }
    free(worker->applications);
    free(worker->scratch);
    source_free(worker->source);
    odb_close(worker->odb);
    json_free(worker->request);
}
#define AUTO_WORKER __attribute__((cleanup(worker_release)))

/* ---- The request ---- */

static bool worker_read_application(const cJSON *item, struct worker_application *application)
{
    application->key = json_string(item, "key");
    application->path = json_string(item, "path");
    application->known = text_or_empty(json_string(item, "renderKey"));
    application->spec = json_object(item, "render");
    application->target_namespace = json_string(item, "targetNamespace");
    application->name = json_string(item, "name");
    application->namespace_ = json_string(item, "namespace");
    application->values = json_array(item, "values");
    application->variables = json_object(item, "variables");
    application->decryption = json_object(item, "decryption");
    return application->key && application->path;
}

static void worker_read_limits(struct worker *worker)
{
    const cJSON *limits = json_object(worker->request, "limits");
    int64_t slice = json_int(limits, "slice", 0);
    worker->build_timeout_ms = json_int(limits, "buildTimeout", RENDER_TIMEOUT_MS);
    worker->build_memory = json_int(limits, "memory", RENDER_MEMORY_MAXIMUM);
    worker->begin_until = slice > 0 ? clock_monotonic_ms() + slice : 0;
}

static bool worker_read_request(struct worker *worker, const char *text, size_t size,
                                struct error *error)
{
    /* In it stand specs that the API server and its watch (kube/stream.h) have let pass, values of
     * charts among them. */
    const struct json_limits limits = {WORKER_REQUEST_MAXIMUM, WORKER_REQUEST_DEPTH, 2000000};
    if (!json_parse(text, size, &limits, &worker->request, error)) {
        return error_prefix(error, "the request");
    }
    worker->repository = json_string(worker->request, "repository");
    worker->pack = json_string(worker->request, "pack");
    worker->memory = json_string(worker->request, "memory");
    worker->commit = json_string(worker->request, "commit");
    worker->revision = json_string(worker->request, "revision");
    const char *build = json_string(worker->request, "build");
    worker->scratch =
        build ? mem_format("%s/" WORKER_SCRATCH "/%s", worker->repository, build) : NULL;
    worker->tidies = json_bool(worker->request, "tidy", false);
    worker_read_limits(worker);
    const cJSON *list = json_array(worker->request, "applications");
    if (text_is_empty(worker->repository) || text_is_empty(worker->commit) || !list) {
        return error_set(error, ERROR_INVALID,
                         "the request needs repository, commit and applications");
    }
    worker->applications = mem_new(json_size(list), sizeof(*worker->applications));
    for (const cJSON *item = json_first(list); item; item = item->next) {
        if (!worker_read_application(item, &worker->applications[worker->count++])) {
            return error_set(error, ERROR_INVALID,
                             "application %zu of the request lacks its key "
                             "or path",
                             worker->count - 1);
        }
    }
    return true;
}

/* ---- The answer ---- */

static bool worker_print(FILE *out, const cJSON *line, struct error *error)
{
    AUTO_BUF struct buf text;
    buf_init(&text, WORKER_LINE_MAXIMUM);
    if (!json_write(line, &text) || !buf_append_char(&text, '\n')) {
        return error_set(error, ERROR_LIMIT, "a line of the answer is too long");
    }
    if (fwrite(text.data, 1, text.size, out) != text.size) {
        return error_set_errno(error, errno, "cannot write the answer");
    }
    return true;
}

static bool worker_refuse(FILE *out, const char *reason, const struct error *why,
                          struct error *error)
{
    AUTO_JSON cJSON *line = json_new_object();
    json_add_bool(line, "ok", false);
    json_add_string(line, "reason", reason);
    json_add_string(line, "message", why->message);
    return worker_print(out, line, error);
}

/* What is wrong with the repository, in the words of worker.h; and what follows from it. */
static const char *worker_judge(struct worker *worker, const struct error *why)
{
    switch (why->code) {
    case ERROR_SYSTEM:
        return "system";
    case ERROR_UNAVAILABLE:
        /* A commit that was never sent says nothing about those that were. */
        if (worker->pack || odb_has(worker->odb, worker->commit)) {
            odb_forget(worker->odb, NULL);
        }
        return "missing-objects";
    case ERROR_INTERNAL:
        if (worker->scratch) {
            odb_forget(worker->odb, NULL); /* others may read it: whoever may will empty it */
        } else {
            odb_empty(worker->odb, NULL);
        }
        return "missing-objects";
    default:
        return "invalid-request";
    }
}

/* ---- One application ---- */

static void worker_add_error(const char *file, unsigned line, const char *message, void *context)
{
    struct worker_output *output = context;
    cJSON *item = json_append(output->errors, json_new_object());
    json_add_string(item, "file", file);
    json_add_int(item, "line", line);
    json_add_string(item, "message", message);
}

static void worker_add_object(cJSON *object, const char *file, unsigned line, void *context)
{
    struct worker_output *output = context;
    AUTO_JSON cJSON *owned = object;
    AUTO_JSON cJSON *place = json_new_object();
    json_add_string(place, "file", file);
    json_add_int(place, "line", line);
    json_write(place, &output->lines);
    buf_append_char(&output->lines, '\n');
    json_write(object, &output->lines);
    buf_append_char(&output->lines, '\n');
    output->objects++;
}

/* Aliases can make more of a file than it is. Then nothing is handed out but the reason. */
static void worker_check_output(const struct worker_application *application,
                                struct worker_output *output)
{
    if (output->lines.overflowed) {
        buf_clear(&output->lines);
        output->objects = 0;
        AUTO_FREE char *message = mem_format("the application's objects have more than %zu MiB "
                                             "together",
                                             WORKER_OUTPUT_MAXIMUM >> 20);
        worker_add_error(application->path, 0, message, output);
    }
}

static bool worker_print_application(FILE *out, const struct worker_application *application,
                                     struct worker_output *output, struct error *error)
{
    AUTO_JSON cJSON *head = json_new_object();
    json_add_string(head, "application", application->key);
    json_add_string(head, "renderKey", application->render_key);
    json_add_bool(head, "chart", application->is_chart);
    json_add_int(head, "objects", (int64_t)output->objects);
    json_add_int(head, "bytes", (int64_t)output->lines.size);
    json_add(head, "errors", output->errors);
    output->errors = NULL;
    if (!worker_print(out, head, error)) {
        return false;
    }
    if (fwrite(output->lines.data, 1, output->lines.size, out) != output->lines.size) {
        return error_set_errno(error, errno, "cannot write the answer");
    }
    return true;
}

/* Whether another program is run for it. */
static bool worker_needs_programs(const struct worker_application *application)
{
    return application->decryption || render_scan_is_built(application->scan);
}

/* Begins a build, in a directory of its own. False: not the files' doing. */
static bool worker_build(struct worker *worker, struct worker_application *application,
                         const struct render_builder *builder, struct error *error)
{
    application->job = render_job_start(application->scan, builder, &application->output->sink,
                                        worker->loop, error);
    return application->job != NULL;
}

/* In directories of its own. False: not the files' doing. */
static bool worker_produce(struct worker *worker, struct worker_application *application,
                           struct error *error)
{
    const struct render_sink *sink = &application->output->sink;
    size_t number = (size_t)(application - worker->applications);
    AUTO_FREE char *scratch = mem_format("%s/%zu", worker->scratch, number);
    AUTO_FREE char *memory = worker->memory ? mem_format("%s/%zu", worker->memory, number) : NULL;
    const struct render_builder builder = {.scratch = scratch,
                                           .timeout_ms = worker->build_timeout_ms,
                                           .memory_maximum = worker->build_memory,
                                           .memory = memory,
                                           .memory_problem = worker->memory_problem.message};
    worker->loop = worker->loop ? worker->loop : event_base_new();
    if (!render_decrypt(application->scan, &builder, sink, worker->loop, error)) {
        return false;
    }
    return render_scan_is_built(application->scan)
               ? worker_build(worker, application, &builder, error)
               : render_plain(worker->source, application->scan, sink, error);
}

static void worker_begin(struct worker *worker, struct worker_application *application)
{
    struct worker_output *output = NEW(struct worker_output);
    output->sink = (struct render_sink){worker_add_object, worker_add_error, output};
    output->errors = json_new_array();
    buf_init(&output->lines, WORKER_OUTPUT_MAXIMUM);
    application->output = output;
    if (worker_produce(worker, application, &application->failure)) {
        error_clear(&application->failure);
    }
}

static bool worker_render(struct worker *worker, struct worker_application *application, FILE *out,
                          struct error *error)
{
    worker_begin(worker, application);
    while (application->job && !render_job_is_done(application->job)) {
        event_base_loop(worker->loop, EVLOOP_ONCE);
    }
    const struct error *why = &application->failure;
    if (why->code) {
        /* This application is asked for again, the others are answered. */
        application->render_key[0] = '\0';
        worker_add_error(application->path, 0, why->message, application->output);
        if (why->code == ERROR_UNAVAILABLE || why->code == ERROR_INTERNAL) {
            odb_forget(worker->odb, NULL); /* damage that the existence of the blobs did not show */
        }
    }
    worker_check_output(application, application->output);
    return worker_print_application(out, application, application->output, error);
}

/* One of which there is nothing to be said but why nothing follows. */
static bool worker_print_word(const struct worker_application *application, const char *word,
                              FILE *out, struct error *error)
{
    AUTO_JSON cJSON *head = json_new_object();
    json_add_string(head, "application", application->key);
    json_add_string(head, "renderKey", application->render_key);
    json_add_bool(head, "chart", application->is_chart);
    json_add_bool(head, word, true);
    return worker_print(out, head, error);
}

/* ---- All of it ---- */

/* Every file that will be read must be here. */
static bool worker_check_files(struct worker *worker, const struct render_scan *scan,
                               struct error *error)
{
    AUTO_ARENA struct arena arena;
    size_t count;
    const struct render_item *items = render_scan_items(scan, &count);
    arena_init(&arena);
    for (size_t i = 0; i < count; i++) {
        const char *id = items[i].problem ? NULL : source_id(worker->source, items[i].path, &arena);
        if (id && !odb_has(worker->odb, id)) {
            return error_set(error, ERROR_UNAVAILABLE, "the content of %s is not here",
                             items[i].path);
        }
    }
    return true;
}

static bool worker_scan(struct worker *worker, struct worker_application *application,
                        struct error *error)
{
    struct digest key;
    const struct render_options options = {
        .path = application->path,
        .revision = worker->revision,
        .spec = application->spec,
        .target_namespace = application->target_namespace,
        .name = application->name,
        .namespace_ = application->namespace_,
        .kube_version = json_string(worker->request, "kubeVersion"),
        .api_versions = json_string(worker->request, "apiVersions"),
        .values = application->values,
        .variables = application->variables,
        .decryption = application->decryption,
        .generators = json_array(worker->request, "generators"),
    };
    AUTO_SCAN struct render_scan *scan = NULL;
    if (!render_scan(worker->source, &options, &scan, error)) {
        return false;
    }
    application->is_chart = render_scan_is_chart(scan);
    if (render_scan_key(scan, &key)) {
        digest_to_hex(&key, application->render_key);
    }
    if (application->render_key[0] && text_equal(application->render_key, application->known)) {
        return true;
    }
    if (!worker_check_files(worker, scan, error)) {
        return false;
    }
    application->scan = scan;
    scan = NULL;
    return true;
}

/* Everything before the first line. */
static bool worker_prepare(struct worker *worker, struct error *error)
{
    if (!odb_open_commit(worker->odb, worker->commit, &worker->source, error)) {
        return false;
    }
    for (size_t i = 0; i < worker->count; i++) {
        if (!worker_scan(worker, &worker->applications[i], error)) {
            return false;
        }
    }
    return worker->scratch || odb_hold(worker->odb, worker->commit, error);
}

static bool worker_has_time(const struct worker *worker)
{
    return worker->begin_until == 0 || clock_monotonic_ms() <= worker->begin_until;
}

/* The parent plans it while the next is rendered. */
static bool worker_answer_one(struct worker *worker, struct worker_application *application,
                              FILE *out, struct error *error)
{
    bool ok = !application->scan ? worker_print_word(application, "unchanged", out, error)
              : !worker->scratch && worker_needs_programs(application)
                  ? worker_print_word(application, "deferred", out, error)
                  : worker_render(worker, application, out, error);
    if (ok && fflush(out)) {
        return error_set_errno(error, errno, "cannot write the answer");
    }
    return ok;
}

static bool worker_print_all(struct worker *worker, FILE *out, struct error *error)
{
    AUTO_JSON cJSON *head = json_new_object();
    json_add_string(head, "commit", worker->commit);
    json_add_bool(head, "ok", true);
    if (!worker_print(out, head, error)) {
        return false;
    }
    for (size_t i = 0; i < worker->count && (i == 0 || worker_has_time(worker)); i++) {
        if (!worker_answer_one(worker, &worker->applications[i], out, error)) {
            return false;
        }
        worker_end_application(&worker->applications[i]);
    }
    return true;
}

/* What builds were made of; a killed worker has left it. */
static void worker_remove_scratch(const struct worker *worker)
{
    AUTO_FREE char *all = mem_format("%s/" WORKER_SCRATCH, worker->repository);
    if (worker->scratch || worker->tidies) {
        directory_remove(worker->scratch ? worker->scratch : all, NULL);
    }
    if (worker->memory) {
        directory_clear(worker->memory);
    }
}

/* Where what is decrypted may stand; without such a place, what needs it is refused. */
static void worker_open_memory(struct worker *worker)
{
    struct error *why = &worker->memory_problem;
    if (!worker->memory) {
        error_set(why, ERROR_INVALID, "no directory for it is set");
    } else if (!directory_make_private(worker->memory, why) ||
               !directory_is_in_memory(worker->memory, why)) {
        worker->memory = NULL;
    }
}

static bool worker_answer(struct worker *worker, FILE *out, struct error *error)
{
    struct error why = {0};
    worker_remove_scratch(worker);
    if (!odb_open(worker->repository, &worker->odb, &why) ||
        (!worker->scratch && !odb_remove_leftovers(worker->odb, &why))) {
        return worker_refuse(out, "system", &why, error);
    }
    if (worker->pack && !odb_index_pack(worker->odb, worker->pack, &why)) {
        if (why.code == ERROR_SYSTEM) {
            return worker_refuse(out, "system", &why, error);
        }
        odb_forget(worker->odb, NULL);
        return worker_refuse(out, "invalid-pack", &why, error);
    }
    if (!worker_prepare(worker, &why)) {
        return worker_refuse(out, worker_judge(worker, &why), &why, error);
    }
    if (!worker_print_all(worker, out, error)) {
        return false;
    }
    worker_remove_scratch(worker);
    source_free(worker->source);
    worker->source = NULL;
    if (worker->tidies) {
        /* A merge that fails is tried again with the next pack; nothing is lost by it. */
        odb_compact(worker->odb, ODB_PACKS_MAXIMUM, NULL);
    }
    return true;
}

bool worker_run(const char *request, size_t size, FILE *out, struct error *error)
{
    AUTO_WORKER struct worker worker = {0};
    struct error why = {0};
    bool ok = worker_read_request(&worker, request, size, &why);
    if (ok) {
        worker_open_memory(&worker);
    }
    ok = ok ? worker_answer(&worker, out, error)
            : worker_refuse(out, "invalid-request", &why, error);
    if (ok && fflush(out)) {
        return error_set_errno(error, errno, "cannot write the answer");
    }
    return ok;
}

#ifdef __SANITIZE_ADDRESS__
#define SANITIZER_FILES "/proc" /* the leak check at the end reads its own threads and mappings */
#else
#define SANITIZER_FILES "/dev/null"
#endif

#define WORKER_PROGRAMS_MAXIMUM 8

/* Those that are there, ended by NULL. */
static void worker_find_programs(char *ret[WORKER_PROGRAMS_MAXIMUM + 1])
{
    size_t count = 0;
    for (size_t i = 0; render_programs[i] && count < WORKER_PROGRAMS_MAXIMUM; i++) {
        ret[count] = child_find_program(render_programs[i]);
        count += ret[count] != NULL;
    }
}

/* Only the repository can be written and only the pack be read from here on. */
static bool worker_enter_sandbox(const struct worker *worker, struct error *error)
{
    char *programs[WORKER_PROGRAMS_MAXIMUM + 1] = {0};
    worker_find_programs(programs);
    const char *const read_only[] = {SANITIZER_FILES, worker->pack, NULL};
    const char *const read_write[] = {worker->repository, worker->memory, NULL};
    AUTO_FREE const char **execute = generators_executables(
        json_array(worker->request, "generators"), (const char *const *)programs);
    const struct sandbox_options options = {
        .read_only = read_only, .read_write = read_write, .execute = execute};
    enum sandbox_strength strength;
    if (mkdir(worker->repository, 0700) && errno != EEXIST) {
        return error_set_errno(error, errno, "cannot make the directory %s", worker->repository);
    }
    bool ok = sandbox_enter(&options, &strength, error);
    odb_library_open(); /* in there: it cannot parse certificates that nobody here needs, for 3 ms
                         */
    for (size_t i = 0; i < WORKER_PROGRAMS_MAXIMUM; i++) {
        free(programs[i]);
    }
    return ok;
}

int worker_main(void)
{
    AUTO_WORKER struct worker worker = {0};
    AUTO_BUF struct buf request;
    struct error error = {0};
    buf_init(&request, WORKER_REQUEST_MAXIMUM);
    bool ok = buf_read_fd(&request, STDIN_FILENO, "standard input", &error);
    if (ok && worker_read_request(&worker, request.data, request.size, &error)) {
        worker_open_memory(&worker); /* the sandbox names it, so it must be there */
        ok = worker_enter_sandbox(&worker, &error) && worker_answer(&worker, stdout, &error);
    } else if (ok) {
        struct error why = error;
        ok = worker_refuse(stdout, "invalid-request", &why, &error);
    }
    if (ok && fflush(stdout)) {
        ok = error_set_errno(&error, errno, "cannot write the answer");
    }
    if (!ok) {
        fprintf(stderr, "%s\n", error.message);
    }
    return ok ? 0 : 1;
}
