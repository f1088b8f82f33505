#include "fetcher/request.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "fetcher/secret.h"

#define SECRET_TIMEOUT_MS 15000

struct gathering {
    struct repository *repository;
    cJSON *request;
    struct kube_call *call;
    enum { CREDENTIALS, KEYS, PROXY, ALL } next; /* the Secret that is asked for, or has to be */
    request_fn done;
};

static cJSON *new_request(const struct repository *repository)
{
    const struct repository_spec *spec = &repository->spec;
    const struct fetcher_settings *settings = repository->fetcher->settings;
    cJSON *request = json_new_object();
    json_add_string(request, "operation", "fetch");
    json_add_string(request, "directory", repository->directory);
    repository_spec_describe(spec, request);
    /* Where the operator lists the URLs, an index may not lead elsewhere. */
    json_add(request, "servers",
             tenancy_url_patterns(tenancy_file_get(repository->fetcher->tenancy),
                                  repository->namespace_));
    /* Another URL means another repository, whose history says nothing of a forced push. After a
     * restart it is not known where the revision in the status came from, only of which spec. */
    AUTO_FREE char *source = repository_source(repository);
    bool same = repository->fetched_url ? text_equal(repository->fetched_url, source)
                                        : json_int(repository->status, "observedGeneration", 0) ==
                                              repository->generation;
    if (same) {
        json_add_string(request, "previous", json_string(repository->status, "revision"));
    }
    json_add_int(request, "sizeMaximum", settings->max_repository_size);
    json_add_bool(request, "allowFileUrls", settings->allow_file_urls);
    json_add_bool(request, "fresh", repository->fresh);
    return request;
}

static void release(struct repository *repository)
{
    struct gathering *gathering = repository->gathering;
    repository->gathering = NULL;
    json_free(gathering->request);
    free(gathering);
}

static void finish(struct gathering *gathering, const char *problem)
{
    struct repository *repository = gathering->repository;
    request_fn done = gathering->done;
    cJSON *request AUTO_JSON = gathering->request;
    gathering->request = NULL;
    release(repository);
    done(repository, problem ? NULL : request, problem);
}

static const char *secret_name(const struct gathering *gathering)
{
    const struct repository_spec *spec = &gathering->repository->spec;
    return gathering->next == CREDENTIALS ? spec->secret
           : gathering->next == KEYS      ? spec->verify_secret
                                          : spec->proxy_secret;
}

static const char *secret_field(const struct gathering *gathering)
{
    return gathering->next == CREDENTIALS ? "spec.secretRef"
           : gathering->next == KEYS      ? "spec.verify.secretRef"
                                          : "spec.proxySecretRef";
}

static bool take_secret(const struct gathering *gathering, const cJSON *secret, struct error *error)
{
    cJSON *request = gathering->request;
    return gathering->next == CREDENTIALS ? secret_add_to(secret, request, error)
           : gathering->next == KEYS      ? secret_add_keys_to(secret, request, error)
                                          : secret_add_proxy_to(secret, request, error);
}

static void ask(struct gathering *gathering);

static void on_secret(const struct kube_response *response, void *context)
{
    struct gathering *gathering = context;
    gathering->call = NULL;
    struct error error = response->error;
    cJSON *secret AUTO_JSON = NULL;
    if (response->ok && json_parse(response->body, response->size, NULL, &secret, &error) &&
        take_secret(gathering, secret, &error)) {
        gathering->next++;
        ask(gathering);
        return;
    }
    const char *namespace_ = gathering->repository->namespace_;
    const char *name = secret_name(gathering);
    const char *field = secret_field(gathering);
    AUTO_FREE char *problem =
        response->status == 404
            ? mem_format("Secret %s/%s, which %s names, does not exist. Create it, or correct %s",
                         namespace_, name, field, field)
        : response->ok
            ? mem_string(error.message)
            : mem_format("cannot read Secret %s/%s: %s", namespace_, name, error.message);
    finish(gathering, problem);
}

/* Asks for the next Secret that the spec names; when there is none any more, it is done. */
static void ask(struct gathering *gathering)
{
    struct repository *repository = gathering->repository;
    while (gathering->next < ALL && !secret_name(gathering)) {
        gathering->next++;
    }
    if (gathering->next == ALL) {
        finish(gathering, NULL);
        return;
    }
    struct buf path AUTO_BUF;
    buf_init(&path, 4096);
    buf_append_string(&path, "/api/v1/namespaces/");
    buf_append_percent(&path, repository->namespace_);
    buf_append_string(&path, "/secrets/");
    buf_append_percent(&path, secret_name(gathering));
    const struct kube_request request = {
        .method = KUBE_GET, .path = path.data, .timeout_ms = SECRET_TIMEOUT_MS};
    gathering->call = kube_client_call(repository->fetcher->client, &request, on_secret, gathering);
}

void repository_request_gather(struct repository *repository, request_fn done)
{
    struct gathering *gathering = NEW(struct gathering);
    gathering->repository = repository;
    gathering->request = new_request(repository);
    gathering->done = done;
    repository->gathering = gathering;
    ask(gathering);
}

void repository_request_cancel(struct repository *repository)
{
    if (repository->gathering) {
        kube_call_cancel(repository->gathering->call);
        release(repository);
    }
}
