#include "cli/pull.h"

#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "fetcher/pool.h"
#include "fetcher/secret.h"
#include "fetcher/spec.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

/* The directory is new and goes again: what the archive may have is what bounds it. */
#define MIRROR_MAXIMUM ((int64_t)1 << 30)

/* As the fetcher has them. */
#define ANSWER_MAXIMUM ((size_t)64 << 10)
#define KILL_DELAY_MS 3000 /* beyond the timeout, which the worker keeps to by itself */
#ifdef __SANITIZE_ADDRESS__
#define WORKER_MEMORY 0 /* a sanitizer maps more than any limit */
#else
#define WORKER_MEMORY (3 * MIRROR_MAXIMUM)
#endif

struct pulling {
    struct cluster *cluster;
    const char *namespace_, *name; /* of the HelmRepository */
    cJSON *object;
    struct repository_spec spec;
    cJSON *request; /* as the fetcher's worker has it */
};

bool pull_is_needed(const struct application_spec *spec)
{
    return text_has_prefix(spec->repository, OBJECT_SOURCE_HELM);
}

/* Adds what to do about it. Returns false. */
static bool fail(const struct pulling *pulling, struct error *error)
{
    AUTO_FREE char *why = mem_string(error->message);
    return error_set(error, error->code,
                     "the chart of the HelmRepository %s/%s cannot be fetched from here: %s. A "
                     "chart that you have unpacked yourself (helm pull --untar) is taken by --path "
                     "DIR",
                     pulling->namespace_, pulling->name, why);
}

/* ---- What is asked for ---- */

static const struct kube_resource secrets = {
    .group = "", .version = "v1", .kind = "Secret", .plural = "secrets", .namespaced = true};

/* What `take` makes of a Secret; NULL for `name`: the spec names none. */
static bool add_secret(struct pulling *pulling, const char *name, const char *field,
                       bool (*take)(const cJSON *, cJSON *, struct error *), struct error *error)
{
    AUTO_JSON cJSON *secret = NULL;
    if (name &&
        !cluster_read(pulling->cluster, &secrets, pulling->namespace_, name, &secret, error)) {
        error_prefix(error, "you cannot read the Secret %s/%s, which its %s names",
                     pulling->namespace_, name, field);
        return fail(pulling, error);
    }
    return !name || take(secret, pulling->request, error) || fail(pulling, error);
}

/* "=1.4.2" of "1.4.2@sha1:…", a version or range as it stands; to be freed. */
static char *version_of(const char *wanted)
{
    const char *at = strchr(wanted, '@');
    return at ? mem_format("=%.*s", (int)(at - wanted), wanted) : mem_string(wanted);
}

static bool make_request(struct pulling *pulling, const char *wanted, struct error *error)
{
    struct repository_spec *spec = &pulling->spec;
    cJSON *request = pulling->request = json_new_object();
    free(spec->version);
    spec->version = version_of(wanted);
    if (!strchr(wanted, '@')) { /* which the digest of the spec is not of */
        free(spec->digest);
        spec->digest = NULL;
    }
    repository_spec_describe(spec, request);
    json_add_string(request, "previous", strchr(wanted, '@') ? wanted : NULL);
    json_add_int(request, "sizeMaximum", MIRROR_MAXIMUM);
    return add_secret(pulling, spec->secret, "spec.secretRef", secret_add_to, error) &&
           add_secret(pulling, spec->proxy_secret, "spec.proxySecretRef", secret_add_proxy_to,
                      error);
}

/* ---- Fetching ---- */

static bool make_directory(struct pull *pull, struct error *error)
{
    const char *temporary = getenv("TMPDIR");
    pull->directory =
        mem_format("%s/gitmoor-chart-XXXXXX", text_is_empty(temporary) ? "/tmp" : temporary);
    if (!mkdtemp(pull->directory)) {
        error_set_errno(error, errno, "cannot make the directory %s", pull->directory);
        free(pull->directory);
        pull->directory = NULL;
        return false;
    }
    return true;
}

struct fetching {
    bool done;
    cJSON *answer; /* of the worker, or NULL */
    struct error error;
};

static void on_fetched(const cJSON *answer, const char *pack, size_t pack_size,
                       const struct error *error, void *context)
{
    struct fetching *fetching = context;
    (void)pack;
    (void)pack_size;
    fetching->done = true;
    fetching->answer = json_copy(answer);
    if (!json_bool(answer, "ok", false)) {
        error_set(&fetching->error, ERROR_UNAVAILABLE, "%s",
                  error ? error->message : text_or_empty(json_string(answer, "message")));
    }
}

/* Until the worker has answered. */
static void fetch_wait(const struct pulling *pulling, struct fetching *ret)
{
    static const char *const ourselves[] = {"/proc/self/exe", PULL_WORKER, NULL};
    const struct pool_options options = {
        .children = 1, .memory_maximum = WORKER_MEMORY, .command = ourselves};
    const struct job_options job = {.request = pulling->request,
                                    .output_maximum = ANSWER_MAXIMUM,
                                    .timeout_ms = pulling->spec.timeout_ms + KILL_DELAY_MS};
    struct event_base *loop = event_base_new();
    struct pool *pool = pool_new(loop, &options);
    pool_add(pool, &job, on_fetched, ret);
    while (!ret->done) {
        event_base_loop(loop, EVLOOP_ONCE);
    }
    pool_free(pool);
    event_base_free(loop);
}

static bool fetch_take(struct pulling *pulling, const cJSON *answer, struct pull *pull,
                       struct error *error)
{
    const cJSON *request = pulling->request;
    char commit[SOURCE_COMMIT_SIZE];
    const char *revision = text_or_empty(json_string(answer, "revision"));
    if (json_bool(answer, "forced", false)) {
        return error_set(
            error, ERROR_CONFLICT,
            "%s has another chart of that version now (%s) than the one in force (%s). "
            "gitmoor reconcile chart/%s has it fetched; --revision VERSION shows "
            "another one",
            json_string(request, "url"), revision, json_string(request, "previous"), pulling->name);
    }
    pull->revision = mem_string(revision);
    return source_open_revision(pull->directory, text_or_empty(json_string(answer, "commit")),
                                &pull->source, commit, error);
}

static bool fetch(struct pulling *pulling, struct pull *pull, struct error *error)
{
    struct fetching fetching = {0};
    json_add_string(pulling->request, "operation", "fetch");
    json_add_string(pulling->request, "directory", pull->directory);
    fetch_wait(pulling, &fetching);
    AUTO_JSON cJSON *answer = fetching.answer;
    if (fetching.error.code) {
        *error = fetching.error;
        return fail(pulling, error);
    }
    return fetch_take(pulling, answer, pull, error);
}

/* ---- The whole ---- */

static bool find_repository(struct pulling *pulling, struct error *error)
{
    struct error ignored;
    if (!cluster_get(pulling->cluster, &cluster_charts, pulling->namespace_, pulling->name,
                     &pulling->object, error)) {
        return false;
    }
    repository_spec_read(pulling->object, &pulling->spec, &ignored); /* of durations only */
    return true;
}

static bool run(struct pulling *pulling, const char *wanted, struct pull *ret, struct error *error)
{
    if (!find_repository(pulling, error)) {
        return false;
    }
    wanted = wanted ? wanted : json_string_path(pulling->object, "status.revision");
    if (!wanted) {
        return error_set(error, ERROR_NOT_FOUND,
                         "the HelmRepository %s/%s has no chart yet (gitmoor status chart/%s tells "
                         "why): name a version by --revision, or a directory by --path",
                         pulling->namespace_, pulling->name, pulling->name);
    }
    return make_request(pulling, wanted, error) && make_directory(ret, error) &&
           fetch(pulling, ret, error);
}

bool pull_chart(struct cluster *cluster, const struct application_spec *spec, const char *wanted,
                struct pull *ret, struct error *error)
{
    struct pulling pulling = {.cluster = cluster,
                              .namespace_ = spec->source_namespace,
                              .name = spec->repository + strlen(OBJECT_SOURCE_HELM)};
    bool pulled = run(&pulling, wanted, ret, error);
    repository_spec_release(&pulling.spec);
    json_free(pulling.request);
    json_free(pulling.object);
    return pulled;
}

void pull_release(struct pull *pull)
{
    source_free(pull->source);
    if (pull->directory) {
        directory_remove(pull->directory, NULL);
    }
    free(pull->directory);
    free(pull->revision);
    *pull = (struct pull){0};
}
