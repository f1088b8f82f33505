#include "fetcher/repository.h"

#include "common/base/clock.h"
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "fetcher/announce.h"
#include "fetcher/chart.h"
#include "fetcher/request.h"
#include "fetcher/status.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Each interval is longer or shorter by up to this part, so that repositories made together do not
 * stay together. */
#define JITTER_DIVISOR 20
/* The worker keeps spec.timeout itself and then says so; it is killed if it does not. */
#define KILL_DELAY_MS 3000
#define ANSWER_MAXIMUM ((size_t)128 << 10)

static struct metric fetches = {.name = "gitmoor_fetcher_fetches_total",
                                .help = "Fetches by result.",
                                .type = METRIC_COUNTER,
                                .label = "result"};
static const double seconds_bounds[] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 0};
static struct metric seconds = {.name = "gitmoor_fetcher_fetch_seconds",
                                .help = "Time of a fetch, its Secret and waiting included.",
                                .type = METRIC_HISTOGRAM,
                                .bounds = seconds_bounds};
static struct metric received = {.name = "gitmoor_fetcher_received_bytes_total",
                                 .help = "Bytes of packs and charts received.",
                                 .type = METRIC_COUNTER};
static struct metric revisions = {.name = "gitmoor_fetcher_revisions_total",
                                  .help = "New revisions found.",
                                  .type = METRIC_COUNTER};

static void begin_fetch(struct repository *repository);

/* ---- When ---- */

static void cancel_fetch(struct repository *repository)
{
    repository_request_cancel(repository);
    if (repository->job && repository->job_is_fetch) {
        job_cancel(repository->job);
        repository->job = NULL;
    }
}

static bool is_fetching(const struct repository *repository)
{
    return repository->gathering || (repository->job && repository->job_is_fetch);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct repository *repository = context;
    repository->fetch_due = true;
    repository_step(repository);
}

static void schedule(struct repository *repository, int64_t delay_ms)
{
    int64_t jitter = delay_ms / JITTER_DIVISOR;
    if (jitter > 0) {
        uint64_t random;
        evutil_secure_rng_get_bytes(&random, sizeof random);
        delay_ms += (int64_t)(random % (uint64_t)(2 * jitter)) - jitter;
    }
    const struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
    event_add(repository->timer, &delay);
}

void repository_step(struct repository *repository)
{
    if (repository->job || repository->gathering) {
        return;
    }
    if (!TAILQ_EMPTY(&repository->packs)) {
        announce_start_pack(repository);
    } else if (repository->fetch_due && !repository->spec.suspend) {
        begin_fetch(repository);
    }
}

void repository_fetch_now(struct repository *repository, bool fresh)
{
    repository->fresh = repository->fresh || fresh;
    if (is_fetching(repository)) {
        repository->fetch_again = true;
        return;
    }
    repository->fetch_due = true;
    repository_step(repository);
}

/* ---- What came of it ---- */

static void end_fetch(struct repository *repository, enum fetch_reason reason)
{
    repository->ended_ms = clock_monotonic_ms();
    metric_add(&fetches, fetch_reason_name(reason), 1);
    metric_observe(&seconds, NULL, (double)(repository->ended_ms - repository->began_ms) / 1000);
    bool again = repository->fetch_again;
    repository->fetch_again = false;
    if (again) {
        repository->fetch_due = true;
    } else if (reason == FETCH_SUCCEEDED) {
        repository->failures = 0;
        schedule(repository, repository->spec.interval_ms);
    } else if (!fetch_reason_is_stalled(reason)) {
        repository->failures++;
        schedule(repository,
                 fetch_reason_backoff(reason, repository->failures, repository->spec.interval_ms,
                                      repository->retry_after_ms));
    }
    repository->retry_after_ms = 0;
    repository_step(repository);
}

static void fail(struct repository *repository, enum fetch_reason reason, const char *message)
{
    log_warn("fetch failed", "repository", repository->key, "reason", fetch_reason_name(reason),
             "error", message);
    kube_event_record(repository->fetcher->events, repository->object, "Warning",
                      fetch_reason_name(reason), "Fetch", message);
    repository_status_failed(repository, reason, message);
    end_fetch(repository, reason);
}

static void tell_revision(struct repository *repository, const char *before, bool forced)
{
    AUTO_FREE char *note =
        forced ? mem_format("%s; %s: %s", repository->revision, repository->kind->replaced_note,
                            before)
               : mem_format("%s%s%s", repository->revision, before[0] ? ", was " : "", before);
    log_info("new revision", "repository", repository->key, "revision", repository->revision,
             "before", before, "forced", forced ? "true" : NULL);
    kube_event_record(repository->fetcher->events, repository->object, "Normal",
                      forced ? repository->kind->replaced : "NewRevision", "Fetch", note);
    metric_add(&revisions, NULL, 1);
}

char *repository_source(const struct repository *repository)
{
    const struct repository_spec *spec = &repository->spec;
    return mem_format("%s %s", spec->url, text_or_empty(spec->chart));
}

static void succeed(struct repository *repository, const cJSON *answer)
{
    const char *commit = text_or_empty(json_string(answer, "commit"));
    const char *revision = text_or_empty(json_string(answer, "revision"));
    if (strlen(commit) != FETCH_COMMIT_SIZE - 1 || strlen(revision) >= FETCH_REVISION_SIZE) {
        fail(repository, FETCH_FAILED, "the worker's answer has no commit");
        return;
    }
    metric_add(&received, NULL, (double)json_int(answer, "receivedBytes", 0));
    repository->fresh = false;
    free(repository->fetched_url);
    repository->fetched_url = repository_source(repository);
    /* Anew compared with the status, so that a restart makes no Event. */
    AUTO_FREE char *before = mem_string(text_or_empty(json_string(repository->status, "revision")));
    bool is_new = !text_equal(before, revision);
    bool is_news = !text_equal(repository->revision, revision);
    memcpy(repository->commit, commit, FETCH_COMMIT_SIZE);
    memcpy(repository->revision, revision, strlen(revision) + 1);
    snprintf(repository->digest, sizeof repository->digest, "%s",
             text_or_empty(json_string(answer, "digest")));
    if (is_new || is_news) {
        announce_revision(repository);
    }
    if (is_new) {
        tell_revision(repository, before, json_bool(answer, "forced", false));
    }
    repository_status_succeeded(repository, json_string(answer, "signer"));
    end_fetch(repository, FETCH_SUCCEEDED);
}

static void on_fetched(const cJSON *answer, const char *pack, size_t pack_size,
                       const struct error *error, void *context)
{
    (void)pack;
    (void)pack_size;
    struct repository *repository = context;
    repository->job = NULL;
    if (answer && json_bool(answer, "ok", false)) {
        succeed(repository, answer);
    } else if (answer) {
        const char *message = json_string(answer, "message");
        enum fetch_reason reason = fetch_reason_from_name(json_string(answer, "reason"));
        repository->retry_after_ms = json_int(answer, "retryAfterMs", 0);
        repository->not_allowed = reason == FETCH_NOT_ALLOWED; /* where an index leads to */
        fail(repository, reason, message ? message : "the worker gave no reason");
    } else {
        AUTO_FREE char *message =
            mem_format("cannot fetch %s: %s", repository->spec.url, error->message);
        fail(repository, error->code == ERROR_TIMEOUT ? FETCH_TIMEOUT : FETCH_FAILED, message);
    }
}

/* ---- The fetch ---- */

static void start_worker(struct repository *repository, const cJSON *request)
{
    if (mkdir(repository->directory, 0700) != 0 && errno != EEXIST) {
        AUTO_FREE char *message =
            mem_format("cannot make %s: %s", repository->directory, strerror(errno));
        fail(repository, FETCH_FAILED, message);
        return;
    }
    const struct job_options options = {.request = request,
                                        .output_maximum = ANSWER_MAXIMUM,
                                        .timeout_ms = repository->spec.timeout_ms + KILL_DELAY_MS};
    repository->job_is_fetch = true;
    repository->job = pool_add(repository->fetcher->pool, &options, on_fetched, repository);
}

static void on_request(struct repository *repository, const cJSON *request, const char *problem)
{
    if (request) {
        start_worker(repository, request);
    } else {
        fail(repository, FETCH_SECRET_INVALID, problem);
    }
}

static bool is_allowed(const struct repository *repository, struct error *error)
{
    return tenancy_check_url(tenancy_file_get(repository->fetcher->tenancy), repository->namespace_,
                             repository->spec.url, error);
}

void repository_tenancy_changed(struct repository *repository)
{
    struct error error;
    if (!repository->spec.suspend && repository->spec_error.code == ERROR_NONE &&
        (repository->not_allowed || !is_allowed(repository, &error))) {
        cancel_fetch(repository);
        repository_fetch_now(repository, false);
    }
}

static bool check_url(const struct repository *repository, enum fetch_reason *ret_reason,
                      struct error *error)
{
    const char *url = repository->spec.url;
    bool allow_file_urls = repository->fetcher->settings->allow_file_urls;
    return repository->kind == &source_kinds[SOURCE_HELM]
               ? chart_check_url(url, ret_reason, error)
               : fetch_check_url(url, allow_file_urls, ret_reason, error);
}

static void begin_fetch(struct repository *repository)
{
    repository->fetch_due = false;
    repository->began_ms = clock_monotonic_ms();
    event_del(repository->timer);
    if (repository->spec_error.code != ERROR_NONE) {
        fail(repository, FETCH_INVALID_SPEC, repository->spec_error.message);
        return;
    }
    enum fetch_reason reason;
    struct error error;
    repository->not_allowed = !is_allowed(repository, &error);
    if (repository->not_allowed) {
        fail(repository, FETCH_NOT_ALLOWED, error.message);
        return;
    }
    if (!check_url(repository, &reason, &error)) {
        fail(repository, reason, error.message);
        return;
    }
    repository_status_begin(repository);
    repository_request_gather(repository, on_request);
}

/* ---- The object ---- */

static cJSON *new_reference(const struct source_kind *kind, const cJSON *object)
{
    cJSON *reference = json_new_object();
    json_add_string(reference, "apiVersion", GITMOOR_API_VERSION);
    json_add_string(reference, "kind", kind->kind);
    cJSON *metadata = json_add_object(reference, "metadata");
    json_add_string(metadata, "namespace", json_string_path(object, "metadata.namespace"));
    json_add_string(metadata, "name", json_string_path(object, "metadata.name"));
    json_add_string(metadata, "uid", json_string_path(object, "metadata.uid"));
    return reference;
}

static struct repository *new_repository(struct fetcher *fetcher, const struct source_kind *kind,
                                         const cJSON *object)
{
    struct repository *repository = NEW(struct repository);
    repository->fetcher = fetcher;
    repository->kind = kind;
    repository->namespace_ = mem_string(json_string_path(object, "metadata.namespace"));
    repository->name = mem_string(json_string_path(object, "metadata.name"));
    repository->uid = mem_string(json_string_path(object, "metadata.uid"));
    repository->key = mem_format("%s/%s%s", repository->namespace_, kind->prefix, repository->name);
    repository->directory = mem_format("%s/%s.git", fetcher->settings->data_dir, repository->uid);
    repository->object = new_reference(kind, object);
    repository->timer = event_new(fetcher->base, -1, 0, on_timer, repository);
    TAILQ_INIT(&repository->packs);
    map_init(&repository->told);
    map_set(&fetcher->repositories, repository->key, repository);
    return repository;
}

/* Names of branches may hold anything. */
static const char *find_last(const char *text, const char *part)
{
    const char *last = NULL;
    for (const char *found = strstr(text, part); found; found = strstr(found + 1, part)) {
        last = found;
    }
    return last;
}

/* After a restart: the mirror holds what the status says, or else the differ is told otherwise when
 * it asks. So a Git server that is down hinders nobody who needs only what is here. */
static void adopt_status(struct repository *repository)
{
    const char *revision = json_string(repository->status, "revision");
    const char *commit = revision ? find_last(revision, "sha1:") : NULL;
    if (!commit ||
        json_int(repository->status, "observedGeneration", 0) != repository->generation ||
        strlen(commit) != strlen("sha1:") + FETCH_COMMIT_SIZE - 1 ||
        strlen(revision) >= FETCH_REVISION_SIZE || !directory_exists(repository->directory)) {
        return;
    }
    memcpy(repository->commit, commit + strlen("sha1:"), FETCH_COMMIT_SIZE);
    memcpy(repository->revision, revision, strlen(revision) + 1);
    announce_revision(repository);
}

static void read_spec(struct repository *repository, const cJSON *object)
{
    cancel_fetch(repository);
    repository_spec_release(&repository->spec);
    error_clear(&repository->spec_error);
    repository_spec_read(object, &repository->spec, &repository->spec_error);
    repository->failures = 0;
    repository->fetch_again = false;
    event_del(repository->timer);
    if (repository->spec.suspend) {
        repository_status_suspended(repository);
    } else {
        repository->fetch_due = true;
    }
}

void repository_observe(struct fetcher *fetcher, const struct source_kind *kind,
                        const cJSON *object)
{
    const char *uid = json_string_path(object, "metadata.uid");
    AUTO_FREE char *key =
        mem_format("%s/%s%s", text_or_empty(json_string_path(object, "metadata.namespace")),
                   kind->prefix, text_or_empty(json_string_path(object, "metadata.name")));
    struct repository *repository = map_get(&fetcher->repositories, key);
    if (repository && !text_equal(repository->uid, uid)) {
        repository_remove(fetcher, key); /* deleted and made again between two events */
        repository = NULL;
    }
    if (!uid || !directory_is_name(uid)) {
        return; /* no API server makes such a uid; it would name a path */
    }
    bool first = !repository;
    repository = first ? new_repository(fetcher, kind, object) : repository;
    if (!repository->status_call && !repository->status_unsent) {
        json_free(repository->status);
        repository->status = json_copy(json_object(object, "status"));
    }
    const cJSON *annotations = json_get_path(object, "metadata.annotations");
    const char *requested = json_string(annotations, GITMOOR_RECONCILE_ANNOTATION);
    bool asked = requested && !text_equal(repository->requested_at, requested);
    free(repository->requested_at);
    repository->requested_at = mem_string(requested);
    int64_t generation = json_int(json_object(object, "metadata"), "generation", 0);
    if (first || generation != repository->generation) {
        repository->generation = generation;
        read_spec(repository, object);
        if (first) {
            adopt_status(repository);
        }
        repository_step(repository);
    } else if (asked && !repository->spec.suspend) {
        repository_fetch_now(repository, false);
    }
}

void repository_free(void *value)
{
    struct repository *repository = value;
    cancel_fetch(repository);
    job_cancel(repository->job);
    announce_drop_packs(repository);
    if (repository->status_call) {
        kube_call_cancel(repository->status_call);
    }
    if (repository->status_timer) {
        event_free(repository->status_timer);
    }
    event_free(repository->timer);
    repository_spec_release(&repository->spec);
    json_free(repository->object);
    json_free(repository->status);
    map_release(&repository->told, free);
    free(repository->namespace_);
    free(repository->name);
    free(repository->uid);
    free(repository->key);
    free(repository->directory);
    free(repository->requested_at);
    free(repository->fetched_url);
    free(repository);
}

void repository_remove(struct fetcher *fetcher, const char *key)
{
    struct repository *repository = map_remove(&fetcher->repositories, key);
    if (!repository) {
        return;
    }
    AUTO_FREE char *directory = mem_string(repository->directory);
    log_info("repository gone", "repository", repository->key);
    repository_free(repository);
    struct error error;
    if (!directory_remove(directory, &error)) {
        log_warn("cannot remove a mirror", "error", error.message);
    }
}
