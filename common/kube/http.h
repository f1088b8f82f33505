/* Internal to common/kube: libcurl's multi interface in a libevent loop.
 *
 * A `kube_http` is one multi handle with its connections; a `kube_transfer` is one easy handle on
 * it. Nothing of ours runs inside libcurl's callbacks but the copying of bytes: a transfer that has
 * got data marks itself, and `data` and `done` are called when libcurl has returned, so that they
 * may start, stop and free transfers as they like. */
#ifndef GITMOOR_KUBE_HTTP_H
#define GITMOOR_KUBE_HTTP_H

#include "common/base/error.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <sys/queue.h>

struct event_base;
struct kube_client;
struct kube_http;

struct kube_transfer {
    CURL *easy;
    bool running;
    bool marked;
    TAILQ_ENTRY(kube_transfer) entry;
    /* The transfer is over and taken out of the multi handle. */
    void (*done)(struct kube_transfer *transfer, CURLcode result);
    /* It has marked itself since the last time. May be NULL. */
    void (*data)(struct kube_transfer *transfer);
};

/* `client` is held while anything of ours runs. */
struct kube_http *kube_http_new(struct event_base *base, struct kube_client *client);
/* All transfers are stopped before. */
void kube_http_free(struct kube_http *http);

/* At most so many connections; 0: as many as it takes. */
void kube_http_limit(struct kube_http *http, unsigned connections);

void kube_http_start(struct kube_http *http, struct kube_transfer *transfer);
/* Neither `data` nor `done` will be called. Harmless if it does not run. */
void kube_http_stop(struct kube_http *http, struct kube_transfer *transfer);
/* From within libcurl's write callback: calls `data` soon. */
void kube_http_mark(struct kube_http *http, struct kube_transfer *transfer);

/* An easy handle set up for the server and credentials of the client's config. */
CURL *kube_http_easy(const struct kube_client *client);

#endif
