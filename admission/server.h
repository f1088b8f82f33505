/* The HTTPS server of the webhook: HTTP/1.1 over OpenSSL on libevent, in the process's loop.
 *
 * It is our own rather than evhttp because evhttp answers in two TLS records, has no limit on
 * connections and none on how long a request may trickle in. Here each request is read whole,
 * answered in one record where it fits, and nobody can hold a connection or memory for long: the
 * handshake, a request and an answer have deadlines; when there are too many connections the one
 * idle for longest goes, but those that have not asked anything yet have half of the places only;
 * when too much is buffered the largest unfinished request goes. */
#ifndef GITMOOR_ADMISSION_SERVER_H
#define GITMOOR_ADMISSION_SERVER_H

#include "common/base/buf.h"
#include "common/base/error.h"

#include <stdint.h>

struct event_base;
struct server;

#define SERVER_BEGINNING ((size_t)512)

struct server_options {
    const char *listen;      /* HOST:PORT; port 0: any */
    unsigned connections;    /* at most that many at once */
    size_t body_maximum;     /* of one request */
    size_t buffered_maximum; /* of all requests that are not complete */
    int64_t
        request_timeout_ms;  /* for the handshake, for a request to arrive, for an answer to go */
    int64_t idle_timeout_ms; /* before and between requests; longer than the 90 s of Go's clients */
    /* A connection older than that, give or take a quarter, ends with its next answer: an API
     * server keeps its connections, so that a replica that joins would never be asked. 0: never. */
    int64_t age_maximum_ms;
    /* Answers the POST: fills the body (JSON) and returns the status. */
    int (*handle)(const char *path, const char *body, size_t size, struct buf *ret_body,
                  void *context);
    /* Answers a POST that is larger than body_maximum by the first SERVER_BEGINNING bytes of its
     * body: fills the answer's and returns its status. The connection ends after it. */
    int (*handle_too_large)(const char *path, const char *beginning, size_t size,
                            struct buf *ret_body, void *context);
    void *context;
};

struct server_stats {
    uint64_t accepted;
    uint64_t requests;
    uint64_t refused; /* malformed or too large */
    uint64_t handshakes_failed;
    uint64_t timeouts;    /* slow clients cut */
    uint64_t evicted;     /* for want of room */
    unsigned connections; /* now */
};

/* Binds and listens. Nothing is answered until there is a certificate. */
struct server *server_new(struct event_base *base, const struct server_options *options,
                          struct error *error);
void server_free(struct server *server);
unsigned server_port(const struct server *server);

/* Serves this certificate (a PEM chain) from the next connection on; those open go on. */
bool server_set_certificate(struct server *server, const char *certificate_pem, const char *key_pem,
                            struct error *error);

/* Ends each connection with its next answer, and those that stay idle after half a second: to close
 * one at once is to lose the request that is being written to it. Accepts no more from then on, and
 * lets requests under way end. Runs the loop until no connection is left, or for `timeout_ms`. */
void server_drain(struct server *server, int64_t timeout_ms);

const struct server_stats *server_stats(const struct server *server);

#endif
