#include "fetcher/pool.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/run/child.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#define REQUEST_MAXIMUM ((size_t)4 << 20)
#define ENVIRONMENT_MAXIMUM 16

struct job {
    TAILQ_ENTRY(job) link;
    struct pool *pool;
    struct buf request;
    size_t output_maximum;
    int64_t timeout_ms;
    bool urgent;
    struct child *child; /* NULL: waits */
    job_fn done;
    void *context;
};
TAILQ_HEAD(jobs, job);

struct pool {
    struct event_base *base;
    struct pool_options options;
    struct jobs waiting;
    struct jobs running;
    unsigned waiting_count, running_count;
    struct event *starter; /* starts what may start, from the loop */
    char *variables[ENVIRONMENT_MAXIMUM + 1];
};

/* libcurl in the worker takes its proxy from these, as git does. The others are for sanitizers. */
static const char *const inherited[] = {
    "PATH",     "LANG",      "https_proxy", "HTTPS_PROXY",  "no_proxy",
    "NO_PROXY", "all_proxy", "ALL_PROXY",   "ASAN_OPTIONS", "UBSAN_OPTIONS"};

static void collect_environment(struct pool *pool)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof inherited / sizeof inherited[0]; i++) {
        const char *value = getenv(inherited[i]);
        if (value) {
            pool->variables[count++] = mem_format("%s=%s", inherited[i], value);
        }
    }
}

static void job_free(struct job *job)
{
    explicit_bzero(job->request.data, job->request.capacity);
    buf_release(&job->request);
    free(job);
}

static void leave(struct job *job)
{
    struct pool *pool = job->pool;
    if (job->child) {
        TAILQ_REMOVE(&pool->running, job, link);
        pool->running_count--;
    } else {
        TAILQ_REMOVE(&pool->waiting, job, link);
        pool->waiting_count--;
    }
    event_active(pool->starter, EV_TIMEOUT, 0);
}

/* Splits what the worker wrote: the last line is the answer, what stands before it the pack. */
static bool split_output(const char *output, size_t size, cJSON **ret_answer, size_t *ret_pack,
                         struct error *error)
{
    if (size == 0 || output[size - 1] != '\n') {
        return error_set(error, ERROR_INTERNAL, "the worker gave no answer");
    }
    const char *newline = memrchr(output, '\n', size - 1);
    const char *line = newline ? newline + 1 : output;
    size_t length = (size_t)(output + size - 1 - line);
    if (!json_parse(line, length, NULL, ret_answer, error)) {
        return error_prefix(error, "the worker's answer cannot be read");
    }
    *ret_pack = newline ? (size_t)(newline - output) : 0;
    return true;
}

static void on_child_done(const char *output, size_t size, int exit_code, const struct error *error,
                          void *context)
{
    (void)exit_code;
    struct job *job = context;
    struct error problem;
    cJSON *answer AUTO_JSON = NULL;
    size_t pack_size = 0;
    leave(job);
    if (!error && !split_output(output, size, &answer, &pack_size, &problem)) {
        error = &problem;
    }
    job->done(answer, output, pack_size, error, job->context);
    job_free(job);
}

static void start(struct job *job)
{
    struct pool *pool = job->pool;
    static const char *const ourselves[] = {"/proc/self/exe", "worker", NULL};
    struct child_options options = {
        .argv = pool->options.command ? pool->options.command : ourselves,
        .environment = (const char *const *)pool->variables,
        .input = job->request.data,
        .input_size = job->request.size,
        .output_maximum = job->output_maximum,
        .timeout_ms = job->timeout_ms,
        .memory_maximum = pool->options.memory_maximum,
    };
    struct error error;
    struct child *child = child_start(pool->base, &options, on_child_done, job, &error);
    if (!child) {
        leave(job);
        job->done(NULL, NULL, 0, &error, job->context);
        job_free(job);
        return;
    }
    explicit_bzero(job->request.data, job->request.capacity);
    TAILQ_REMOVE(&pool->waiting, job, link);
    pool->waiting_count--;
    job->child = child;
    TAILQ_INSERT_TAIL(&pool->running, job, link);
    pool->running_count++;
}

static void start_waiting(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct pool *pool = context;
    while (pool->running_count < pool->options.children && !TAILQ_EMPTY(&pool->waiting)) {
        start(TAILQ_FIRST(&pool->waiting));
    }
}

struct pool *pool_new(struct event_base *base, const struct pool_options *options)
{
    struct pool *pool = NEW(struct pool);
    pool->base = base;
    pool->options = *options;
    TAILQ_INIT(&pool->waiting);
    TAILQ_INIT(&pool->running);
    pool->starter = event_new(base, -1, 0, start_waiting, pool);
    collect_environment(pool);
    return pool;
}

static void enqueue(struct pool *pool, struct job *job)
{
    struct job *other;
    pool->waiting_count++;
    if (job->urgent) {
        TAILQ_FOREACH(other, &pool->waiting, link)
        {
            if (!other->urgent) {
                TAILQ_INSERT_BEFORE(other, job, link);
                return;
            }
        }
    }
    TAILQ_INSERT_TAIL(&pool->waiting, job, link);
}

struct job *pool_add(struct pool *pool, const struct job_options *options, job_fn done,
                     void *context)
{
    struct job *job = NEW(struct job);
    job->pool = pool;
    job->output_maximum = options->output_maximum;
    job->timeout_ms = options->timeout_ms;
    job->urgent = options->urgent;
    job->done = done;
    job->context = context;
    buf_init(&job->request, REQUEST_MAXIMUM); /* an overflow makes the worker refuse it */
    json_write(options->request, &job->request);
    enqueue(pool, job);
    event_active(pool->starter, EV_TIMEOUT, 0);
    return job;
}

void job_cancel(struct job *job)
{
    if (!job) {
        return;
    }
    struct child *child = job->child;
    leave(job);
    child_cancel(child);
    job_free(job);
}

void pool_free(struct pool *pool)
{
    if (!pool) {
        return;
    }
    while (!TAILQ_EMPTY(&pool->running)) {
        job_cancel(TAILQ_FIRST(&pool->running));
    }
    while (!TAILQ_EMPTY(&pool->waiting)) {
        job_cancel(TAILQ_FIRST(&pool->waiting));
    }
    event_free(pool->starter);
    for (size_t i = 0; pool->variables[i]; i++) {
        free(pool->variables[i]);
    }
    free(pool);
}

unsigned pool_running(const struct pool *pool)
{
    return pool->running_count;
}

unsigned pool_waiting(const struct pool *pool)
{
    return pool->waiting_count;
}
