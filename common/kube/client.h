/* A client for the Kubernetes API on libcurl's multi interface and libevent: HTTP/2, every call a
 * stream on one connection, nothing blocks. Callbacks run in the event loop, never from within the
 * function that started the call. One client per identity and process.
 *
 * Retries: a call that may be repeated (everything but POST) and fails with a broken connection,
 * 429, 502, 503 or 504 is sent again with backoff, or after Retry-After, until its deadline; after
 * a 500 (a starting server, or a failing webhook) twice. A POST is repeated only if the server has
 * not looked at it: no connection, or 429. A 401 makes the token file be read again.
 * `kube_client_stats` counts the answers of a busy server, so that a sender can adapt. */
#ifndef GITMOOR_KUBE_CLIENT_H
#define GITMOOR_KUBE_CLIENT_H

#include "common/base/buf.h"
#include "common/base/error.h"
#include "common/data/json.h"
#include "common/kube/config.h"

#include <stdint.h>

struct event_base;
struct kube_client;
struct kube_call;

struct kube_client_options {
    const char *user_agent;  /* "gitmoor-applier/0.1.0" */
    unsigned connections;    /* for calls; 0: 1. Watches have one of their own each way */
    size_t response_maximum; /* bytes of one response; 0: 64 MiB */
};

/* Takes the config, whether it succeeds or not. */
struct kube_client *kube_client_new(struct event_base *base, struct kube_config *config,
                                    const struct kube_client_options *options, struct error *error);
/* Cancels everything under way, without callbacks; allowed from within one. Watches, stores, event
 * recorders, leases and peers of it are freed before. */
void kube_client_free(struct kube_client *client);

const struct kube_config *kube_client_config(const struct kube_client *client);

/* Whom to act as. `service_account` and `namespace_` are both set; never empty strings. */
struct kube_impersonation {
    const char *namespace_;
    const char *service_account;
    const char *extra_key; /* an Impersonate-Extra header, or NULL */
    const char *extra_value;
    /* Instead of the service account: a person, and the groups they are in, ended by NULL. */
    const char *user;
    const char *const *groups;
};

enum kube_method { KUBE_GET, KUBE_POST, KUBE_PUT, KUBE_PATCH, KUBE_DELETE };

struct kube_request {
    enum kube_method method;
    const char *path;         /* "/api/v1/namespaces/a/configmaps/b?dryRun=All"; copied */
    const char *content_type; /* NULL: application/json. A literal */
    const char *accept;       /* NULL: application/json. A literal */
    const void *body;         /* copied, unless body_is_static */
    size_t body_size;
    bool body_is_static;                 /* the body outlives the call */
    const struct kube_impersonation *as; /* NULL: the client's own identity; copied */
    int64_t timeout_ms;                  /* of the call with its retries; 0: 30 s */
    bool no_retry;
};

#define KUBE_APPLY_TYPE "application/apply-patch+yaml" /* its body may be JSON */
#define KUBE_MERGE_TYPE "application/merge-patch+json"
#define KUBE_JSON_PATCH_TYPE "application/json-patch+json"

struct kube_response {
    int status;       /* HTTP status, 0 if there was no answer */
    const char *body; /* valid during the callback */
    size_t size;
    /* What went wrong, if anything did: transport, or the Status object as one readable message.
     * error.code: 404 NOT_FOUND, 401/403 DENIED, 409 CONFLICT, 400/422 INVALID, 413 LIMIT, 408 and
     * a passed deadline TIMEOUT, 429/5xx/transport UNAVAILABLE. */
    bool ok; /* a 2xx answer */
    struct error error;
    int64_t retry_after_ms; /* what the server asked for with a refusal, or 0 */
    const char *reason;     /* Status.reason ("AlreadyExists", "Conflict", …) or "" */
};

typedef void (*kube_response_fn)(const struct kube_response *response, void *context);

/* Starts a call. The callback is called exactly once, unless it is cancelled. Never NULL. */
struct kube_call *kube_client_call(struct kube_client *client, const struct kube_request *request,
                                   kube_response_fn done, void *context);
/* No callback will come. The call may still reach the server. */
void kube_call_cancel(struct kube_call *call);

/* For programs without a loop of their own (the CLI, start-up), never from within a callback: runs
 * the loop until the answer is there. On success hands out the parsed body (NULL if it was empty).
 */
bool kube_client_call_wait(struct kube_client *client, const struct kube_request *request,
                           cJSON **ret, struct error *error);

struct kube_client_stats {
    uint64_t requests;  /* sent, retries included */
    uint64_t congested; /* answers 429 and 503, and timeouts */
    uint64_t retries;
    unsigned in_flight;
};
const struct kube_client_stats *kube_client_stats(const struct kube_client *client);

/* Makes one message of a Status object: its message, and the causes with their fields. */
void kube_status_to_error(int http_status, const cJSON *status, struct error *ret,
                          char ret_reason[64]);

#endif
