#include "differ/repository.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/child.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/application.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PACK_TIMEOUT_MS 300000
#define RETRY_MINIMUM_MS 1000
#define RETRY_MAXIMUM_MS 60000
#define HAVES_MAXIMUM 16 /* commits named to the fetcher; the newest are what matters */
#define KEPT_REFS "refs/gitmoor"

static struct metric renders = {
    .name = "gitmoor_differ_renders_total",
    .help = "Applications rendered, by result: rendered, unchanged or failed.",
    .type = METRIC_COUNTER,
    .label = "result",
};
static const double worker_bounds[] = {0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 0};
static struct metric worker_seconds = {
    .name = "gitmoor_differ_worker_seconds",
    .help = "Time of one worker run: unpack a pack and render what changed.",
    .type = METRIC_HISTOGRAM,
    .bounds = worker_bounds,
};

/* ---- Life ---- */

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    repository_step(context);
}

struct repository *repository_get(struct differ *differ, const char *key)
{
    struct repository *repository = map_get(&differ->repositories, key);
    if (!repository) {
        repository = NEW(struct repository);
        repository->differ = differ;
        repository->key = mem_string(key);
        repository->timer = evtimer_new(differ->loop, on_timer, repository);
        map_set(&differ->repositories, key, repository);
    }
    return repository;
}

static void drop_pack(struct repository *repository)
{
    if (repository->pack_path) {
        unlink(repository->pack_path);
        free(repository->pack_path);
        repository->pack_path = NULL;
    }
}

void repository_free(void *value)
{
    struct repository *repository = value;
    child_cancel(repository->worker);
    bus_blob_cancel(repository->differ->bus, repository);
    event_free(repository->timer);
    drop_pack(repository);
    free(repository->key);
    free(repository->uid);
    free(repository->commit);
    free(repository->revision);
    free(repository->rendered);
    free(repository->worker_commit);
    free(repository->worker_revision);
    free(repository->trouble);
    free(repository);
}

static void each_application(struct repository *repository,
                             void (*visit)(struct application *application, void *context),
                             void *context)
{
    struct differ *differ = repository->differ;
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        const char *slash = strchr(repository->key, '/');
        if (text_equal(application->spec.repository, slash + 1) &&
            strncmp(application->namespace_, repository->key, (size_t)(slash - repository->key)) ==
                0 &&
            strlen(application->namespace_) == (size_t)(slash - repository->key)) {
            visit(application, context);
        }
    }
}

static void wake_one(struct application *application, void *context)
{
    (void)context;
    application_wake(application);
}

/* ---- Trouble ---- */

static void set_trouble(struct repository *repository, const char *message)
{
    free(repository->trouble);
    repository->trouble = mem_string(message);
    if (!message) {
        repository->failures = 0;
        return;
    }
    log_warn("repository cannot be rendered", "repository", repository->key, "error", message);
    int64_t wait = RETRY_MINIMUM_MS << (repository->failures < 6 ? repository->failures : 6);
    repository->failures++;
    wait = wait < RETRY_MAXIMUM_MS ? wait : RETRY_MAXIMUM_MS;
    struct timeval after = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    evtimer_add(repository->timer, &after);
    each_application(repository, wake_one, NULL);
}

bool repository_is_backing_off(const struct repository *repository)
{
    return repository->trouble && evtimer_pending(repository->timer, NULL);
}

/* ---- Packs ---- */

static char *database_path(const struct repository *repository)
{
    return mem_format("%s/%s.git", repository->differ->settings->data_dir, repository->uid);
}

/* The commits whose objects are complete here: the worker keeps a ref for each. */
static cJSON *list_haves(const struct repository *repository)
{
    cJSON *haves = json_new_array();
    AUTO_FREE char *database = database_path(repository);
    AUTO_FREE char *path = mem_format("%s/" KEPT_REFS, database);
    DIR *directory = repository->objects_missing ? NULL : opendir(path);
    if (!directory) {
        return haves;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) && json_size(haves) < HAVES_MAXIMUM) {
        size_t length = strlen(entry->d_name);
        if (length == 40 || length == 64) {
            json_append(haves, json_new_string(entry->d_name));
        }
    }
    closedir(directory);
    return haves;
}

static bool has_commit(const struct repository *repository)
{
    AUTO_FREE char *database = database_path(repository);
    AUTO_FREE char *path = mem_format("%s/" KEPT_REFS "/%s", database, repository->commit);
    return !repository->objects_missing && access(path, F_OK) == 0;
}

static void ask_for_pack(struct repository *repository)
{
    AUTO_JSON cJSON *body = json_new_object();
    json_add_string(body, "repository", repository->key);
    json_add_string(body, "want", repository->commit);
    json_add(body, "have", list_haves(repository));
    AUTO_BUF struct buf text;
    buf_init(&text, BUS_HINT_MAXIMUM);
    json_write(body, &text);
    struct error error;
    repository->pack_hint =
        bus_send(repository->differ->fetcher, "pack-wanted", text.data, text.size, &error);
    if (!repository->pack_hint) {
        set_trouble(repository, error.message);
        return;
    }
    repository->pack_asked = true;
    struct timeval again = {.tv_sec = PACK_TIMEOUT_MS / 1000};
    evtimer_add(repository->timer, &again);
}

static bool write_file(const char *path, const char *data, size_t size, struct error *error)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot write %s", path);
    }
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return error_set_errno(error, errno, "cannot write %s", path);
        }
        data += written;
        size -= (size_t)written;
    }
    return true;
}

static void on_pack(char *data, size_t size, const struct error *error, void *context)
{
    struct repository *repository = context;
    repository->pack_fetching = false;
    if (!data) {
        set_trouble(repository, error->message);
        return;
    }
    struct error failure;
    drop_pack(repository);
    repository->pack_path =
        mem_format("%s/incoming-%s.pack", repository->differ->settings->data_dir, repository->uid);
    bool written = write_file(repository->pack_path, data, size, &failure);
    free(data);
    if (!written) {
        drop_pack(repository);
        set_trouble(repository, failure.message);
        return;
    }
    repository_step(repository);
}

bool repository_pack_offered(struct differ *differ, const cJSON *body)
{
    const char *key = json_string(body, "repository");
    const char *want = json_string(body, "want");
    struct repository *repository = key ? map_get(&differ->repositories, key) : NULL;
    if (!key || !want) {
        return false;
    }
    if (!repository || !repository->pack_asked || !text_equal(want, repository->commit)) {
        return true; /* an answer to a question of before */
    }
    repository->pack_asked = false;
    const char *problem = json_string(body, "error");
    struct digest digest;
    if (problem) {
        set_trouble(repository, problem);
        return true;
    }
    int64_t size = json_int(body, "size", -1);
    if (!digest_from_hex(json_string(body, "digest"), &digest) || size < 0) {
        return false;
    }
    repository->pack_fetching = true;
    bus_blob_fetch(differ->fetcher, &digest, (size_t)size, PACK_TIMEOUT_MS, on_pack, repository);
    return true;
}

/* ---- Announcements ---- */

bool repository_announced(struct differ *differ, const cJSON *body)
{
    const char *key = json_string(body, "repository");
    const char *uid = json_string(body, "uid");
    const char *commit = json_string(body, "commit");
    const char *revision = json_string(body, "revision");
    if (!key || !uid || !commit || !revision || !strchr(key, '/') || strchr(uid, '/') ||
        strchr(commit, '/') || *uid == '.' || *commit == '.') {
        return false; /* uid and commit become file names */
    }
    struct repository *repository = repository_get(differ, key);
    if (text_equal(repository->commit, commit) && text_equal(repository->uid, uid)) {
        return true;
    }
    log_info("revision announced", "repository", key, "revision", revision);
    free(repository->uid);
    free(repository->commit);
    free(repository->revision);
    repository->uid = mem_string(uid);
    repository->commit = mem_string(commit);
    repository->revision = mem_string(revision);
    if (repository->pack_asked) {
        bus_unsend(differ->fetcher, repository->pack_hint);
        repository->pack_asked = false;
    }
    repository_step(repository);
    return true;
}

void repository_fetcher_restarted(struct repository *repository)
{
    repository->pack_asked = false;
    repository_step(repository);
}

/* ---- The worker ---- */

struct request {
    cJSON *applications;
    bool all; /* the whole repository is looked at: a new commit */
    size_t count;
};

static void request_one(struct application *application, void *context)
{
    struct request *request = context;
    if (!request->all && !application->needs_render) {
        return;
    }
    cJSON *item = json_append(request->applications, json_new_object());
    json_add_string(item, "key", application->key);
    json_add_string(item, "path", application->spec.path);
    bool known = application->render_key && !application->needs_render;
    json_add_string(item, "renderKey", known ? application->render_key : "");
    request->count++;
    application->needs_render = false; /* set again if this run fails */
}

static void count_one(struct application *application, void *context)
{
    (void)application;
    ++*(size_t *)context;
}

static void mark_unrendered(struct application *application, void *context)
{
    (void)context;
    application->needs_render = true;
}

/* One application's part of the answer: the head line, then pairs of lines for its objects. */
struct part {
    cJSON *head;
    struct desired_input *inputs;
    size_t count;
};

static bool take_line(char **cursor, char *end, char **ret_line, size_t *ret_size)
{
    if (*cursor >= end) {
        return false;
    }
    char *stop = memchr(*cursor, '\n', (size_t)(end - *cursor));
    *ret_line = *cursor;
    *ret_size = (size_t)((stop ? stop : end) - *cursor);
    *cursor = stop ? stop + 1 : end;
    return true;
}

static bool take_json_line(char **cursor, char *end, cJSON **ret, struct error *error)
{
    char *line;
    size_t size;
    if (!take_line(cursor, end, &line, &size)) {
        return error_set(error, ERROR_INTERNAL, "the render worker's answer ends early");
    }
    return json_parse(line, size, NULL, ret, error);
}

static void take_render_problems(struct application *application, const cJSON *errors)
{
    for (const cJSON *item = json_first(errors); item; item = item->next) {
        problems_add(&application->render_problems, "", json_string(item, "file"),
                     (unsigned)json_int(item, "line", 0), "%s",
                     text_or_empty(json_string(item, "message")));
    }
}

static void build_desired(struct application *application, const struct part *part,
                          const char *revision)
{
    const char *render_key = json_string(part->head, "renderKey");
    problems_clear(&application->render_problems);
    application->unknown_kind = false;
    take_render_problems(application, json_get(part->head, "errors"));
    struct desired_options options = {
        .namespace_ = application->namespace_,
        .application = application->name,
        .target_namespace = application->spec.target_namespace,
        .discovery = application->differ->discovery,
        .before = application->desired,
    };
    struct desired_set *set =
        desired_build(&options, part->inputs, part->count, &application->render_problems,
                      &application->unknown_kind);
    if (application->render_problems.total > 0) {
        desired_free(set);
        set = NULL;
    }
    metric_add(&renders, set ? "rendered" : "failed", 1);
    application_set_desired(application, set, render_key, revision);
}

/* Reads the pairs of lines that follow a head. */
static bool take_objects(char **cursor, char *end, struct part *part, struct arena *arena,
                         struct error *error)
{
    int64_t count = json_int(part->head, "objects", 0);
    if (count < 0 || count > end - *cursor) {
        return error_set(error, ERROR_INTERNAL, "the render worker's answer counts wrongly");
    }
    part->inputs = mem_new((size_t)count, sizeof *part->inputs);
    for (; part->count < (size_t)count; part->count++) {
        struct desired_input *input = &part->inputs[part->count];
        AUTO_JSON cJSON *place = NULL;
        char *line;
        if (!take_json_line(cursor, end, &place, error)) {
            return false;
        }
        if (!take_line(cursor, end, &line, &input->size)) {
            return error_set(error, ERROR_INTERNAL, "the render worker's answer ends early");
        }
        input->text = line;
        input->file = arena_string(arena, text_or_empty(json_string(place, "file")));
        input->line = (unsigned)json_int(place, "line", 0);
    }
    return true;
}

static bool take_part(struct repository *repository, char **cursor, char *end, struct error *error)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_JSON cJSON *head = NULL;
    if (!take_json_line(cursor, end, &head, error)) {
        return false;
    }
    struct part part = {.head = head};
    bool taken = take_objects(cursor, end, &part, &arena, error);
    AUTO_FREE struct desired_input *inputs = part.inputs;
    (void)inputs;
    if (!taken) {
        return false;
    }
    const char *key = text_or_empty(json_string(head, "application"));
    struct application *application = map_get(&repository->differ->applications, key);
    if (!application) {
        return true; /* it was deleted meanwhile */
    }
    application->rendered = true;
    if (text_equal(json_string(head, "renderKey"), "")) {
        application->needs_render = true; /* the failure was not of the files: after a while */
        return error_set(
            error, ERROR_UNAVAILABLE, "%s: %s", key,
            text_or_empty(json_string(json_first(json_array(head, "errors")), "message")));
    }
    if (json_bool(head, "unchanged", false)) {
        metric_add(&renders, "unchanged", 1);
        application_wake(application);
    } else {
        build_desired(application, &part, repository->worker_revision);
    }
    return true;
}

/* False with the reason if the worker could not work at all. */
static bool take_answer(struct repository *repository, char *output, size_t size,
                        struct error *error)
{
    char *cursor = output, *end = output + size;
    AUTO_JSON cJSON *head = NULL;
    if (!take_json_line(&cursor, end, &head, error)) {
        return false;
    }
    if (!json_bool(head, "ok", false)) {
        each_application(repository, mark_unrendered, NULL);
        const char *reason = text_or_empty(json_string(head, "reason"));
        repository->objects_missing =
            text_equal(reason, "missing-objects") || text_equal(reason, "invalid-pack");
        return error_set(error, ERROR_INVALID, "%s: %s", reason,
                         text_or_empty(json_string(head, "message")));
    }
    repository->objects_missing = false;
    bool taken = true;
    while (cursor < end) {
        char *before = cursor;
        if (!take_part(repository, &cursor, end, error)) {
            taken = false; /* the other applications have no part in it */
        }
        if (cursor == before) {
            break;
        }
    }
    return taken;
}

struct worker_run {
    struct repository *repository;
    int64_t started;
};

static void on_worker(const char *output, size_t size, int exit_code, const struct error *error,
                      void *context)
{
    struct worker_run *run = context;
    struct repository *repository = run->repository;
    (void)exit_code;
    metric_observe(&worker_seconds, NULL, (double)(clock_monotonic_ms() - run->started) / 1000);
    free(run);
    repository->worker = NULL;
    drop_pack(repository);
    struct error failure;
    bool taken = false;
    if (error) {
        failure = *error;
        error_prefix(&failure, "rendering %s", repository->worker_revision);
        each_application(repository, mark_unrendered, NULL);
    } else {
        taken = take_answer(repository, (char *)output, size, &failure);
    }
    if (taken) {
        free(repository->rendered);
        repository->rendered = mem_string(repository->worker_commit);
        set_trouble(repository, NULL);
    } else {
        set_trouble(repository, failure.message);
    }
    differ_check_started(repository->differ);
    if (taken) {
        repository_step(repository);
    }
}

static bool start_worker(struct repository *repository, const cJSON *request)
{
    const struct differ_settings *settings = repository->differ->settings;
    AUTO_BUF struct buf input;
    buf_init(&input, (size_t)64 << 20);
    json_write(request, &input);
    const char *const argv[] = {child_self_path(), "worker", NULL};
    struct child_options options = {
        .argv = argv,
        .input = input.data,
        .input_size = input.size,
        .output_maximum = (size_t)settings->render_output,
        .timeout_ms = settings->render_timeout,
        .memory_maximum = settings->render_memory,
        .cpu_seconds = settings->render_timeout / 1000 + 1,
    };
    struct worker_run *run = NEW(struct worker_run);
    run->repository = repository;
    run->started = clock_monotonic_ms();
    struct error error;
    repository->worker = child_start(repository->differ->loop, &options, on_worker, run, &error);
    if (!repository->worker) {
        free(run);
        set_trouble(repository, error.message);
        return false;
    }
    return true;
}

static void run_worker(struct repository *repository, const struct request *request)
{
    AUTO_FREE char *database = database_path(repository);
    AUTO_JSON cJSON *body = json_new_object();
    json_add_string(body, "repository", database);
    json_add_string(body, "pack", repository->pack_path);
    json_add_string(body, "commit", repository->commit);
    json_add_string(body, "revision", repository->revision);
    json_add(body, "applications", json_copy(request->applications));
    free(repository->worker_commit);
    free(repository->worker_revision);
    repository->worker_commit = mem_string(repository->commit);
    repository->worker_revision = mem_string(repository->revision);
    if (!start_worker(repository, body)) {
        each_application(repository, mark_unrendered, NULL);
    }
}

void repository_step(struct repository *repository)
{
    if (!repository->commit || repository->worker || repository->pack_fetching ||
        repository->pack_asked || !repository->differ->discovery) {
        if (repository->pack_asked && !evtimer_pending(repository->timer, NULL)) {
            repository->pack_asked = false; /* unanswered for too long: ask again */
            ask_for_pack(repository);
        }
        return;
    }
    size_t users = 0;
    each_application(repository, count_one, &users);
    if (users == 0) {
        return; /* nobody renders from it */
    }
    if (!repository->pack_path && !has_commit(repository)) {
        ask_for_pack(repository);
        return;
    }
    AUTO_JSON cJSON *applications = json_new_array();
    struct request request = {
        .applications = applications,
        .all = !text_equal(repository->rendered, repository->commit),
    };
    each_application(repository, request_one, &request);
    if (request.count > 0 || repository->pack_path) {
        run_worker(repository, &request);
    }
}
