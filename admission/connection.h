/* One connection of the webhook's server. Internal to server.c and connection.c. */
#ifndef GITMOOR_ADMISSION_CONNECTION_H
#define GITMOOR_ADMISSION_CONNECTION_H

#include "admission/server.h"

#include <event2/event.h>
#include <openssl/ssl.h>

#define SCRATCH_SIZE 16384 /* the largest TLS record */

struct connection;

/* The one that was served least recently first; of newcomers, the oldest. */
struct connection_list {
    struct connection *first, *last;
    unsigned count;
};

struct server {
    struct event_base *base;
    struct server_options options;
    struct evconnlistener *listener;
    struct event *sweep;
    struct event *resume; /* accepts again, after a turn for those that are connected */
    unsigned accepted_in_turn;
    SSL_CTX *tls;                     /* NULL until there is a certificate */
    struct connection_list newcomers; /* that have not been answered yet */
    struct connection_list served;
    size_t buffered; /* bytes of requests that wait for their rest */
    struct buf body; /* of the answer being made */
    char *scratch;
    unsigned port;
    bool draining;
    struct server_stats stats;
};

enum connection_phase { CONNECTION_HANDSHAKE, CONNECTION_OPEN, CONNECTION_LINGER };

struct connection {
    struct server *server;
    struct connection_list *list;
    struct connection *previous, *next;
    int fd;
    SSL *tls;
    struct event *readable;
    struct event *writable; /* armed only while TLS waits to write */
    struct buf in;
    struct buf out;
    size_t sent; /* of out */
    enum connection_phase phase;
    bool last_answer;   /* close after what is in out */
    bool continued;     /* "100 Continue" was sent for the request under way */
    int64_t deadline;   /* monotonic, as below */
    int64_t retires_at; /* its next answer is the last one from then on */
};

/* Takes the descriptor. */
void connection_new(struct server *server, int fd);
void connection_free(struct connection *connection);
/* Whether it waits for a request, with none begun. */
bool connection_is_idle(const struct connection *connection);
/* Bytes buffered of a request that is not complete. */
size_t connection_buffered(const struct connection *connection);

/* Makes sure that no more is buffered than may be, at the cost of the largest unfinished request.
 * False if that is the one of the connection that asks: it is to end. */
bool server_make_room(struct server *server, const struct connection *asking);

#endif
