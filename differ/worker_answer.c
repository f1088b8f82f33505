/* One application of the answer: what it is rendered from is looked for, its objects are rendered
 * or built, and printed. Memory: the text of one application at a time. */
#include "differ/worker_internal.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <errno.h>
#include <event2/event.h>

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

/* ---- Before the first line ---- */

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

bool worker_scan(struct worker *worker, struct worker_application *application, struct error *error)
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

/* ---- Rendering ---- */

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

/* ---- Printing ---- */

bool worker_print(FILE *out, const cJSON *line, struct error *error)
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

/* Whether another program is run for it. */
static bool worker_needs_programs(const struct worker_application *application)
{
    return application->decryption || render_scan_is_built(application->scan);
}

/* The parent plans it while the next is rendered. */
bool worker_answer_one(struct worker *worker, struct worker_application *application, FILE *out,
                       struct error *error)
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

void worker_end_application(struct worker_application *application)
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
