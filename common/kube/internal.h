/* Internal to common/kube: the client, its calls, and the header lists that calls share. */
#ifndef GITMOOR_KUBE_INTERNAL_H
#define GITMOOR_KUBE_INTERNAL_H

#include "common/base/map.h"
#include "common/kube/client.h"
#include "common/kube/http.h"

/* The request headers of one (content type, accept, identity): made once, shared by every call
 * that says the same, since a list per call costs more than the call. */
struct kube_header_set {
    struct curl_slist *list;
    struct curl_slist *authorization; /* the node in `list` that holds the token, or NULL */
    unsigned users;                   /* calls that point at it now */
};

struct kube_headers {
    struct map sets;
    char *token;            /* the bearer token in use, or NULL */
    const char *token_file; /* re-read; NULL: the token never changes */
    int64_t token_checked;  /* monotonic ms */
};

/* Reads the token. The config must outlive the headers. */
bool kube_headers_init(struct kube_headers *headers, const struct kube_config *config,
                       struct error *error);
void kube_headers_release(struct kube_headers *headers);
/* The set for a request; false if the impersonation is not one that can be sent as it is meant.
 * It is used until kube_headers_put. */
bool kube_headers_get(struct kube_headers *headers, const struct kube_request *request,
                      struct kube_header_set **ret, struct error *error);
void kube_headers_put(struct kube_header_set *set);
/* Looks whether the token file holds another token, at most every ten seconds unless `now`. True
 * if it did; all sets then carry it. */
bool kube_headers_refresh(struct kube_headers *headers, bool now);

TAILQ_HEAD(kube_call_list, kube_call);

struct kube_client {
    struct event_base *base;
    struct kube_config *config;
    char *user_agent;
    char *origin;                  /* "https://host:port", what paths are appended to */
    struct curl_slist *connect_to; /* or NULL: see set_origin */
    size_t response_maximum;
    struct kube_http *calls;
    struct kube_http *watches;
    struct kube_headers headers;
    struct kube_client_stats stats;
    struct kube_call_list active;
    struct kube_call_list idle; /* kept with their easy handles, for the next call */
    unsigned idle_count;
    unsigned holds; /* stack frames of ours that still use it */
    bool closed;    /* kube_client_free was called; freed when the last hold goes */
    bool many;      /* the server speaks HTTP/1.1: more connections are allowed */
};

/* Ends all active calls without callbacks. */
void kube_calls_abandon(struct kube_client *client);
/* Frees the idle ones. */
void kube_calls_forget(struct kube_client *client);
/* Empties the buffer; one that has grown large gives its memory back. */
void kube_buf_trim(struct buf *buf);

/* So that kube_client_free may be called from within a callback. */
void kube_client_hold(struct kube_client *client);
void kube_client_release(struct kube_client *client);

/* Appends origin and path. */
void kube_client_url(const struct kube_client *client, const char *path, struct buf *out);

/* `abandoned` gets the call's context when the client is freed under it, to free what it holds. */
void kube_call_on_abandon(struct kube_call *call, void (*abandoned)(void *context));

/* The size of the text, at most `maximum`, without a character cut in two. */
size_t kube_text_cut(const char *text, size_t maximum);

/* Whether `left` comes before `right` among the candidates for `key` (rendezvous hashing). */
bool kube_rendezvous_before(const char *key, const char *left, const char *right);

struct kube_watch;
/* Within its `event` callback: takes over the object instead of copying it. */
cJSON *kube_watch_take(struct kube_watch *watch);

/* What went wrong with a transfer that got no answer. */
bool kube_transfer_error(const struct kube_client *client, const char *method, const char *path,
                         CURLcode result, const char *detail, struct error *error);

#endif
