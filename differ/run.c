#include "differ/run.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/child.h"
#include "common/run/metrics.h"
#include "differ/answer.h"
#include "differ/application.h"
#include "differ/charts.h"
#include "differ/pack.h"

/* After which a build begins with no further application. What is built in less time than a
 * repository's turn shares the start of one worker, and no repository has a turn for much longer
 * than one slow build takes. */
#define SLICE_MS 500

static const double worker_bounds[] = {0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 0};
static struct metric worker_seconds = {
    .name = "gitmoor_differ_worker_seconds",
    .help = "Time of one worker run: unpack a pack and render what changed, or build a few.",
    .type = METRIC_HISTOGRAM,
    .bounds = worker_bounds,
};

/* ---- The request ---- */

void run_add_application(cJSON *applications, struct application *application,
                         const char *render_key)
{
    cJSON *item = json_append(applications, json_new_object());
    json_add_string(item, "key", application->key);
    json_add_string(item, "path", application->spec.path);
    json_add_string(item, "renderKey", text_or_empty(render_key));
    json_add(item, "render", json_copy(application->spec.render));
    json_add_string(item, "targetNamespace", application->spec.target_namespace);
    json_add_string(item, "name", application->name);
    json_add_string(item, "namespace", application->namespace_);
    charts_add_values(application, item);
}

static void add_limits(cJSON *body, const struct differ_settings *settings, bool is_build)
{
    cJSON *limits = json_add_object(body, "limits");
    json_add_int(limits, "slice", is_build ? SLICE_MS : 0);
    json_add_int(limits, "buildTimeout", settings->build_timeout);
    json_add_int(limits, "memory", settings->build_memory);
}

static void write_request(const struct run *run, const struct run_options *options, struct buf *out)
{
    const struct differ *differ = run->repository->differ;
    AUTO_FREE char *database = pack_database(run->repository);
    AUTO_JSON cJSON *body = json_new_object();
    json_add_string(body, "repository", database);
    json_add_string(body, "pack", options->pack);
    json_add_string(body, "build", options->build);
    json_add_bool(body, "tidy", options->tidy);
    json_add_string(body, "commit", run->commit);
    json_add_string(body, "revision", run->revision);
    json_add(body, "applications", json_copy(run->applications));
    add_limits(body, differ->settings, run->is_build);
    charts_describe(differ, body);
    json_add_string(body, "memory", options->memory);
    json_add(body, "generators", json_copy(differ->generators));
    json_write(body, out);
}

/* ---- The child ---- */

static size_t on_part(const char *output, size_t size, void *context)
{
    return answer_take(context, output, size);
}

static void on_done(const char *output, size_t size, int exit_code, const struct error *error,
                    void *context)
{
    struct run *run = context;
    (void)output;
    (void)exit_code;
    metric_observe(&worker_seconds, NULL, (double)(clock_monotonic_ms() - run->started) / 1000);
    run->child = NULL;
    if (error) {
        run->failure = *error;
        error_prefix(&run->failure, "rendering %s", run->revision);
    } else if (!run->failure.code && (!run->begun || size > 0)) {
        error_set(&run->failure, ERROR_INTERNAL, "the render worker's answer ends early");
    }
    run->ended(run);
}

#ifndef __SANITIZE_ADDRESS__
/* What the worker may take is the most that a build, its child, can be given. 0: no limit. */
static int64_t worker_memory(const struct differ_settings *settings)
{
    bool unlimited = settings->render_memory == 0 || settings->build_memory == 0;
    int64_t larger = settings->render_memory > settings->build_memory ? settings->render_memory
                                                                      : settings->build_memory;
    return unlimited ? 0 : larger;
}
#endif

static struct child *start_child(struct run *run, const struct run_options *options,
                                 struct error *error)
{
    const struct differ *differ = run->repository->differ;
    const struct differ_settings *settings = differ->settings;
    AUTO_BUF struct buf input;
    buf_init(&input, (size_t)64 << 20);
    write_request(run, options, &input);
    const char *const argv[] = {child_self_path(), "worker", NULL};
    const struct child_options child = {
        .argv = argv,
        .input = input.data,
        .input_size = input.size,
        .output_maximum = (size_t)settings->render_output,
        .part = on_part,
        .timeout_ms = settings->render_timeout,
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes of address space */
        .memory_maximum = worker_memory(settings),
#endif
        .cpu_seconds = settings->render_timeout / 1000 + 1,
    };
    return child_start(differ->loop, &child, on_done, run, error);
}

/* ---- Life ---- */

struct run *run_start(const struct run_options *options, struct error *error)
{
    struct run *run = NEW(struct run);
    run->repository = options->repository;
    run->commit = mem_string(options->commit);
    run->revision = mem_string(options->revision);
    run->sequence = options->sequence;
    run->is_build = options->build != NULL;
    run->is_newest = options->is_newest;
    run->applications = options->applications;
    run->ended = options->ended;
    run->started = clock_monotonic_ms();
    run->child = start_child(run, options, error);
    if (!run->child) {
        run_free(run);
        return NULL;
    }
    return run;
}

void run_free(struct run *run)
{
    if (run) {
        child_cancel(run->child);
        json_free(run->applications);
        free(run->commit);
        free(run->revision);
        free(run);
    }
}

bool run_is_for(const struct run *run, const struct application *application)
{
    return run->is_build ? application->build.run == run
                         : application->looking && application_repository(application)->look == run;
}
