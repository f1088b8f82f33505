/* What the files of the bus share: the structs, and who does what.
 *   bus.c         opening, closing, draining; the public calls
 *   socket.c      nanomsg sockets and their events
 *   session.c     greeting: who is there, since when; the keys to seal with
 *   peer.c        sending to a peer: its socket, its timer, its outbox
 *   inbox.c       receiving: opening messages, judging them, handing them out
 *   blob_server.c, blob_fetch.c   the two ends of a blob */
#ifndef GITMOOR_BUS_INTERNAL_H
#define GITMOOR_BUS_INTERNAL_H

#include "common/bus/address.h"
#include "common/bus/blob_store.h"
#include "common/bus/frame.h"
#include "common/bus/keyring.h"
#include "common/bus/outbox.h"
#include "common/bus/socket.h"
#include "common/bus/window.h"

#define HEARTBEAT_MS 5000
#define SILENCE_MS 15000         /* three heartbeats, and the duration of a Lease */
#define STALE_MS (5 * 60 * 1000) /* how far clocks may differ, as Kerberos has it */
#define KEY_LOOK_MS 2000         /* how often key files are looked at */
#define MESSAGES_PER_TURN 256    /* so that other events of the loop get their turn */

struct fetch;
TAILQ_HEAD(fetch_list, fetch);
TAILQ_HEAD(peer_list, bus_peer);

struct bus_peer {
    TAILQ_ENTRY(bus_peer) entry;
    struct bus *bus;
    enum bus_link link;
    struct address address;
    bool removed;

    /* Session. `own_epoch` is ours towards this peer, `epoch` the peer's; 0: not greeted yet. */
    uint64_t own_epoch;
    char instance[FRAME_INSTANCE_SIZE];
    uint64_t epoch;
    uint64_t challenge; /* ours to it; a hello that repeats it makes the session */
    uint64_t echo;      /* its challenge, to be repeated in the next hello; 0: none */
    bool wanting;       /* a newer life of it seems to be there: ask it for a session */
    uint32_t keys[2];   /* which it can open */
    bool keys_known;
    int64_t heard_ms;   /* monotonic */
    int64_t reached_ms; /* when it last showed that it hears us: its hello repeated our challenge */
    struct window sequences; /* seen: against replay */
    struct window hints;     /* taken: against duplicates */

    /* Sending. */
    int push;
    struct event *writable;
    bool blocked;         /* the socket takes nothing; `writable` is added */
    int64_t blocked_ms;   /* since when */
    int64_t connected_ms; /* when `push` was made */
    struct event *timer;
    int64_t timer_ms; /* when it fires; INT64_MAX: not set */
    int64_t hello_ms; /* when the next hello is due */
    unsigned hellos;  /* sent without a session, for the backoff */
    struct outbox outbox;
    uint64_t *acks; /* ids to acknowledge */
    size_t ack_count, ack_capacity;
    bool dirty; /* to be flushed at the end of this turn */

    /* Fetching. */
    int request;
    struct event *answered;
    struct event *retry;
    struct fetch *asking; /* whose chunk is asked for, or NULL */
    uint64_t asking_sequence;
};

struct bus {
    struct event_base *base;
    struct bus_handlers handlers;
    char instance[FRAME_INSTANCE_SIZE];
    char advertise[FRAME_ADDRESS_SIZE];
    struct address address;
    uint64_t sequence;
    struct keyring *keys;
    int64_t keys_looked_ms;
    struct event *key_timer;
    int inbox, server;
    struct event *inbox_readable, *server_readable;
    struct blob_store blobs;
    struct peer_list peers, removed; /* removed: freed when no handler is running */
    struct fetch_list fetches;
    unsigned depth; /* of handlers */
    struct bus_stats stats;
};

/* bus.c */
void bus_enter(struct bus *bus); /* around whatever may call a handler */
void bus_leave(struct bus *bus);
void bus_look_at_keys(struct bus *bus, int64_t now_ms);
/* `link` is what the message claims; BUS_LINKS: it does not get as far. */
void bus_drop(struct bus *bus, enum bus_link link, enum bus_drop reason);

/* session.c */
/* Fills in what identifies us and seals; returns the sequence. */
uint64_t session_seal(struct bus_peer *peer, enum frame_type type, uint8_t *message,
                      size_t body_size);
bool session_send_hello(struct bus_peer *peer, int64_t now_ms);
void session_take_hello(struct bus *bus, const struct frame_header *header, const uint8_t *body,
                        size_t size);
/* The peer whose session the message belongs to; NULL: dropped and counted. */
struct bus_peer *session_admit(struct bus *bus, const struct frame_header *header);
uint64_t session_random(void); /* never 0 */
bool session_is_up(const struct bus_peer *peer, int64_t now_ms);

/* peer.c */
struct bus_peer *bus_peer_new(struct bus *bus, enum bus_link link, const struct address *address,
                              struct error *error);
void bus_peer_close(struct bus_peer *peer); /* sockets and events */
void bus_peer_free(struct bus_peer *peer);
void bus_peer_flush(struct bus_peer *peer); /* sends what can be sent, and sets the timer */
void bus_peer_acknowledge(struct bus_peer *peer, uint64_t id);

/* inbox.c */
void inbox_on_readable(evutil_socket_t fd, short events, void *context);
/* Opens a message in place. False: dropped and counted. */
bool inbox_open(struct bus *bus, uint8_t *message, size_t size, size_t maximum,
                struct frame_header *ret);

/* blob_server.c, blob_fetch.c */
void blob_server_on_readable(evutil_socket_t fd, short events, void *context);
void blob_fetch_pump(struct bus_peer *peer);      /* asks for the next chunk if none is asked for */
void blob_fetch_reconnect(struct bus_peer *peer); /* it is lost, or has restarted: ask again */
void blob_fetch_abandon(struct bus_peer *peer);   /* the peer is removed */
void blob_fetch_free_all(struct bus *bus);

#endif
