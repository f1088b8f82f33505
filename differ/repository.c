#include "differ/repository.h"

#include "common/base/clock.h"
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/child.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/answer.h"
#include "differ/application.h"
#include "differ/charts.h"
#include "differ/pack.h"
#include "differ/rollback.h"
#include "differ/start.h"

#include <event2/event.h>
#include <string.h>

#define RETRY_MINIMUM_MS 1000
#define RETRY_MAXIMUM_MS 60000

static const double worker_bounds[] = {0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 0};
static struct metric worker_seconds = {
    .name = "gitmoor_differ_worker_seconds",
    .help = "Time of one worker run: unpack a pack and render what changed.",
    .type = METRIC_HISTOGRAM,
    .bounds = worker_bounds,
};

/* ---- Life ---- */

/* For what is decrypted; to be freed; NULL: there is none. */
static char *repository_memory(const struct repository *repository)
{
    const char *above = repository->differ->memory;
    return above ? mem_format("%s/%s", above, repository->uid) : NULL;
}

/* A worker that was ended has left it. */
static void clear_memory(const struct repository *repository)
{
    AUTO_FREE char *memory = repository->uid ? repository_memory(repository) : NULL;
    if (memory) {
        directory_remove(memory, NULL);
    }
}

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

void repository_free(void *value)
{
    struct repository *repository = value;
    child_cancel(repository->worker);
    clear_memory(repository);
    bus_blob_cancel(repository->differ->bus, repository);
    event_free(repository->timer);
    pack_drop(repository);
    free(repository->key);
    free(repository->uid);
    free(repository->commit);
    free(repository->revision);
    free(repository->rendered);
    free(repository->pack_wanted);
    free(repository->worker_commit);
    free(repository->worker_revision);
    free(repository->trouble);
    free(repository);
}

/* Whether the application renders from it, and may. */
static bool is_of(const struct repository *repository, const struct application *application)
{
    const char *namespace_ = application->spec.source_namespace;
    size_t size = strlen(namespace_);
    return !application->source_denied && strncmp(repository->key, namespace_, size) == 0 &&
           repository->key[size] == '/' &&
           text_equal(repository->key + size + 1, application->spec.repository);
}

static void each_application(struct repository *repository,
                             void (*visit)(struct application *application, void *context),
                             void *context)
{
    struct differ *differ = repository->differ;
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        if (is_of(repository, application)) {
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

void repository_set_trouble(struct repository *repository, const char *message)
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

void repository_try_at_once(struct repository *repository)
{
    if (repository_is_backing_off(repository)) {
        evtimer_del(repository->timer);
        repository_step(repository);
    }
}

const char *repository_trouble(const struct repository *repository, bool is_waited_for)
{
    bool is_behind = !text_equal(repository->rendered, repository->commit);
    /* One failure passes by itself more often than not: a process restarted, a blob was lost. */
    return is_waited_for || (is_behind && repository->failures > 1) ? repository->trouble : NULL;
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
    if (!text_equal(repository->uid, uid)) {
        free(repository->rendered);
        repository->rendered = NULL;
        repository->objects_missing = false;
    }
    pack_forget(repository);
    free(repository->uid);
    free(repository->commit);
    free(repository->revision);
    repository->uid = mem_string(uid);
    repository->commit = mem_string(commit);
    repository->revision = mem_string(revision);
    repository_step(repository);
    return true;
}

void repository_gone(struct differ *differ, const char *key, const char *uid)
{
    struct repository *repository = map_get(&differ->repositories, key);
    if (!repository || !text_equal(repository->uid, uid)) {
        return; /* one of the same name has been announced already */
    }
    pack_forget(repository);
    repository_set_trouble(repository, NULL);
    char **const names[] = {&repository->uid, &repository->commit, &repository->revision,
                            &repository->rendered};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        free(*names[i]);
        *names[i] = NULL;
    }
}

void repository_fetcher_restarted(struct repository *repository)
{
    pack_unask(repository);
    repository_step(repository);
}

void repository_fetchers_changed(struct repository *repository)
{
    bool moved = repository->fetcher !=
                 members_owner(repository->differ->members, "fetcher", repository->key);
    if (moved && (repository->pack_asked || repository_is_backing_off(repository))) {
        pack_unask(repository);
        evtimer_del(repository->timer);
        repository_step(repository);
    }
}

void repository_peer_gone(struct repository *repository, const struct bus_peer *peer)
{
    if (repository->fetcher == peer) {
        repository->fetcher = NULL;
        repository->pack_asked = false; /* a pack under way ends with an error of its own */
        repository_step(repository);
    }
}

/* ---- The worker ---- */

struct request {
    cJSON *applications;
    const char *revision;
    bool all; /* the whole repository is looked at: a new commit */
    size_t count;
};

static void add_request(struct request *request, struct application *application,
                        const char *render_key)
{
    cJSON *item = json_append(request->applications, json_new_object());
    json_add_string(item, "key", application->key);
    json_add_string(item, "path", application->spec.path);
    json_add_string(item, "renderKey", text_or_empty(render_key));
    json_add(item, "render", json_copy(application->spec.render));
    json_add_string(item, "targetNamespace", application->spec.target_namespace);
    json_add_string(item, "name", application->name);
    json_add_string(item, "namespace", application->namespace_);
    charts_add_values(application, item);
    request->count++;
    application->rendering = true;
}

/* What a chart takes from the cluster is there. Else that is told, or waited for. */
static bool has_values(const struct request *request, struct application *application)
{
    enum charts_values_state values = charts_values_state(application);
    if (values == CHARTS_VALUES_WRONG) {
        charts_tell_problem(application, request->revision);
    }
    application->needs_render |= values != CHARTS_VALUES_HERE; /* when they come */
    return values == CHARTS_VALUES_HERE;
}

static void request_one(struct application *application, void *context)
{
    struct request *request = context;
    if ((request->all || application->needs_render) && has_values(request, application)) {
        add_request(request, application,
                    application->needs_render ? NULL : application->render_key);
        application->forced = application->needs_render;
        application->needs_render = false;
    }
}

static void count_one(struct application *application, void *context)
{
    (void)application;
    ++*(size_t *)context;
}

/* Who was not answered is to be asked for again, and as firmly. */
static void end_rendering(struct application *application, void *context)
{
    (void)context;
    application->needs_render |= application->rendering && application->forced;
    application->rendering = false;
}

/* True: all is done. */
static bool take_output(struct repository *repository, char *output, size_t size,
                        const struct error *error, bool *ret_objects_missing,
                        struct error *ret_failure)
{
    *ret_objects_missing = false;
    if (error) {
        *ret_failure = *error;
        return error_prefix(ret_failure, "rendering %s", repository->worker_revision);
    }
    return answer_take(repository, output, size, ret_objects_missing, ret_failure);
}

static void on_worker(const char *output, size_t size, int exit_code, const struct error *error,
                      void *context)
{
    struct repository *repository = context;
    (void)exit_code;
    metric_observe(&worker_seconds, NULL,
                   (double)(clock_monotonic_ms() - repository->worker_started) / 1000);
    repository->worker = NULL;
    clear_memory(repository);
    pack_drop(repository);
    struct error failure;
    bool missing;
    bool taken = take_output(repository, (char *)output, size, error, &missing, &failure);
    bool missing_again = missing && repository->objects_missing;
    each_application(repository, end_rendering, NULL);
    repository->objects_missing = missing;
    if (taken && !repository->worker_rolls_back) {
        free(repository->rendered);
        repository->rendered = mem_string(repository->worker_commit);
    }
    if (taken) {
        repository_set_trouble(repository, NULL);
    } else if (missing && !missing_again) {
        log_info("objects are missing, asking for all of them", "repository", repository->key,
                 "error", failure.message);
    } else {
        repository_set_trouble(repository, failure.message);
    }
    start_check(repository->differ);
    if (!repository_is_backing_off(repository)) {
        repository_step(repository);
    }
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

static void start_worker(struct repository *repository, const cJSON *request)
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
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes of address space */
        .memory_maximum = worker_memory(settings),
#endif
        .cpu_seconds = settings->render_timeout / 1000 + 1,
    };
    repository->worker_started = clock_monotonic_ms();
    struct error error;
    repository->worker =
        child_start(repository->differ->loop, &options, on_worker, repository, &error);
    if (!repository->worker) {
        each_application(repository, end_rendering, NULL);
        repository_set_trouble(repository, error.message);
    }
}

static void add_limits(cJSON *body, const struct differ_settings *settings)
{
    cJSON *limits = json_add_object(body, "limits");
    json_add_int(limits, "timeout", settings->render_timeout);
    json_add_int(limits, "buildTimeout", settings->build_timeout);
    json_add_int(limits, "memory", settings->build_memory);
    json_add_int(limits, "builds", settings->builds);
}

static void run_worker(struct repository *repository, const struct request *request,
                       const char *commit, const char *revision)
{
    AUTO_FREE char *database = pack_database(repository);
    AUTO_JSON cJSON *body = json_new_object();
    json_add_string(body, "repository", database);
    json_add_string(body, "pack", repository->pack_path);
    json_add_string(body, "commit", commit);
    json_add_string(body, "revision", revision);
    json_add(body, "applications", json_copy(request->applications));
    add_limits(body, repository->differ->settings);
    charts_describe(repository->differ, body);
    AUTO_FREE char *memory = repository_memory(repository);
    json_add_string(body, "memory", memory);
    json_add(body, "generators", json_copy(repository->differ->generators));
    free(repository->worker_commit);
    free(repository->worker_revision);
    repository->worker_commit = mem_string(commit);
    repository->worker_revision = mem_string(revision);
    repository->worker_rolls_back = !text_equal(commit, repository->commit);
    start_worker(repository, body);
}

/* The newest commit, for all whose files have changed. False: nothing is due. */
static bool render_newest(struct repository *repository)
{
    if (!repository->pack_path && !pack_has_commit(repository, repository->commit)) {
        pack_ask(repository, repository->commit);
        return true;
    }
    AUTO_JSON cJSON *applications = json_new_array();
    struct request request = {
        .applications = applications,
        .revision = repository->revision,
        .all = !text_equal(repository->rendered, repository->commit),
    };
    each_application(repository, request_one, &request);
    if (request.count == 0 && !repository->pack_path) {
        return false;
    }
    run_worker(repository, &request, repository->commit, repository->revision);
    return true;
}

struct rolled_back {
    const char *commit;        /* if given, of that one */
    struct application *found; /* whose earlier revision has to be rendered, or NULL */
};

static void find_rolled_back(struct application *application, void *context)
{
    struct rolled_back *rolled_back = context;
    const struct rollback *rollback = application->rollback;
    if (!rolled_back->found && rollback && rollback->needs_render &&
        (!rolled_back->commit || text_equal(rolled_back->commit, rollback_commit(rollback)))) {
        rolled_back->found = application;
    }
}

/* An earlier commit, for one application that was rolled back to it. */
static void render_rolled_back(struct repository *repository)
{
    struct rolled_back rolled_back = {.commit =
                                          repository->pack_path ? repository->pack_wanted : NULL};
    each_application(repository, find_rolled_back, &rolled_back);
    struct application *application = rolled_back.found;
    if (!application) {
        pack_drop(repository); /* nobody wants it any more */
        return;
    }
    const char *commit = rollback_commit(application->rollback);
    if (!repository->pack_path && !pack_has_commit(repository, commit)) {
        pack_ask(repository, commit);
        return;
    }
    AUTO_JSON cJSON *applications = json_new_array();
    struct request request = {.applications = applications};
    add_request(&request, application, NULL);
    application->forced = false; /* what is to be done again is told by the rollback */
    run_worker(repository, &request, commit, application->rollback->to);
}

void repository_step(struct repository *repository)
{
    if (!repository->commit || repository->worker || repository->pack_fetching ||
        repository->pack_asked || !repository->differ->discovery) {
        if (repository->pack_asked && !evtimer_pending(repository->timer, NULL)) {
            repository->pack_asked = false; /* unanswered for too long: ask again */
            pack_ask(repository, repository->pack_wanted);
        }
        return;
    }
    size_t users = 0;
    each_application(repository, count_one, &users);
    if (users == 0) {
        return; /* nobody renders from it */
    }
    bool is_other_pack =
        repository->pack_path && !text_equal(repository->pack_wanted, repository->commit);
    if (is_other_pack || !render_newest(repository)) {
        render_rolled_back(repository);
    }
}
