#include "fetcher/status.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/run/log.h"

#include <event2/event.h>

/* After the kube client has given up, which it does after 30 s of its own tries. */
#define RETRY_SECONDS 5

static void send_status(struct repository *repository);

static void retry(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    send_status(context);
}

static void on_patched(const struct kube_response *response, void *context)
{
    struct repository *repository = context;
    repository->status_call = NULL;
    if (!response->ok && response->error.code != ERROR_NOT_FOUND) {
        log_warn("cannot write the status", "repository", repository->key, "error",
                 response->error.message);
        if (!repository->status_timer) {
            repository->status_timer =
                event_new(repository->fetcher->base, -1, 0, retry, repository);
        }
        const struct timeval delay = {.tv_sec = RETRY_SECONDS};
        event_add(repository->status_timer, &delay);
        repository->status_unsent = true;
        return;
    }
    if (repository->status_unsent) {
        send_status(repository); /* it changed meanwhile */
    }
}

static void send_status(struct repository *repository)
{
    if (repository->status_call) {
        repository->status_unsent = true;
        return;
    }
    repository->status_unsent = false;
    struct buf path AUTO_BUF;
    buf_init(&path, 4096);
    buf_append_string(&path, "/apis/" GITMOOR_API_VERSION "/namespaces/");
    buf_append_percent(&path, repository->namespace_);
    buf_append_format(&path, "/%s/", repository->kind->plural);
    buf_append_percent(&path, repository->name);
    repository->status_call = status_patch(repository->fetcher->client, path.data,
                                           json_copy(repository->status), on_patched, repository);
}

/* Takes `status`; writes it if it is not what is there. */
static void put_status(struct repository *repository, cJSON *status)
{
    if (json_equal(repository->status, status)) {
        json_free(status);
        return;
    }
    json_free(repository->status);
    repository->status = status;
    send_status(repository);
}

static cJSON *copy_status(const struct repository *repository, cJSON **ret_conditions)
{
    cJSON *status = repository->status ? json_copy(repository->status) : json_new_object();
    cJSON *conditions = json_array(status, "conditions");
    *ret_conditions = conditions ? conditions : json_add_array(status, "conditions");
    return status;
}

/* What was asked for has been dealt with. */
static void set_observed(const struct repository *repository, cJSON *status)
{
    json_set(status, "observedGeneration", json_new_int(repository->generation));
    if (repository->requested_at && !repository->fetch_again) {
        json_set(status, "lastHandledReconcileAt", json_new_string(repository->requested_at));
    }
}

static bool is_observed(const struct repository *repository)
{
    return json_int(repository->status, "observedGeneration", 0) == repository->generation;
}

void repository_status_begin(struct repository *repository)
{
    if (is_observed(repository)) {
        return;
    }
    cJSON *conditions;
    cJSON *status = copy_status(repository, &conditions);
    AUTO_FREE char *message = mem_format("fetching %s", repository->spec.url);
    status_set_condition(conditions, "Reconciling", "True", "Progressing", message,
                         repository->generation);
    status_set_condition(conditions, "Ready", "Unknown", "Progressing", message,
                         repository->generation);
    status_remove_condition(conditions, "Stalled");
    put_status(repository, status);
}

static void set_verified(const struct repository *repository, cJSON *conditions, bool verified,
                         const char *message)
{
    status_set_condition(conditions, "SourceVerified", verified ? "True" : "False",
                         fetch_reason_name(verified ? FETCH_SUCCEEDED : FETCH_VERIFICATION_FAILED),
                         message, repository->generation);
}

void repository_status_succeeded(struct repository *repository, const char *signer)
{
    const char *revision = repository->revision;
    cJSON *conditions;
    cJSON *status = copy_status(repository, &conditions);
    AUTO_FREE char *message = mem_format("fetched %s", revision);
    status_set_condition(conditions, "Ready", "True", "Succeeded", message, repository->generation);
    status_remove_condition(conditions, "Reconciling");
    status_remove_condition(conditions, "Stalled");
    if (text_is_empty(signer)) {
        status_remove_condition(conditions, "SourceVerified");
    } else {
        AUTO_FREE char *verified = mem_format("%s is signed by %s", revision, signer);
        set_verified(repository, conditions, true, verified);
    }
    json_set(status, "revision", json_new_string(revision));
    if (repository->digest[0]) {
        json_set(status, "digest", json_new_string(repository->digest));
    }
    set_observed(repository, status);
    put_status(repository, status);
}

void repository_status_failed(struct repository *repository, enum fetch_reason reason,
                              const char *message)
{
    const char *name = fetch_reason_name(reason);
    bool stalled = fetch_reason_is_stalled(reason);
    cJSON *conditions;
    cJSON *status = copy_status(repository, &conditions);
    status_set_condition(conditions, "Ready", "False", name, message, repository->generation);
    status_remove_condition(conditions, stalled ? "Reconciling" : "Stalled");
    if (stalled) {
        status_set_condition(conditions, "Stalled", "True", name, message, repository->generation);
    } else {
        status_set_condition(conditions, "Reconciling", "True", "Retrying", message,
                             repository->generation);
    }
    if (reason == FETCH_VERIFICATION_FAILED) {
        set_verified(repository, conditions, false, message);
    }
    set_observed(repository, status);
    put_status(repository, status);
}

void repository_status_suspended(struct repository *repository)
{
    cJSON *conditions;
    cJSON *status = copy_status(repository, &conditions);
    status_remove_condition(conditions, "Reconciling");
    if (!status_condition(conditions, "Ready") ||
        text_equal(json_string(status_condition(conditions, "Ready"), "status"), "Unknown")) {
        status_set_condition(conditions, "Ready", "Unknown", "Suspended",
                             "spec.suspend is true, and nothing was fetched before",
                             repository->generation);
    }
    json_set(status, "observedGeneration", json_new_int(repository->generation));
    put_status(repository, status);
}
