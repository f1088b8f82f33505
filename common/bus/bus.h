/* The bus: hints and blobs between the four processes, over nanomsg (DESIGN §2).
 *
 * A hint is a small message (≤ BUS_HINT_MAXIMUM bytes) to one peer. It is sealed, sent, and sent
 * again with backoff until the peer acknowledges it or it is dropped; the receiver hands each out
 * at least once and acknowledges after its handler has returned true. Handlers are idempotent.
 * Hints of one sender arrive in order unless one had to be sent again.
 * A blob is a byte string named by its SHA-256. The holder puts it into its store; a peer that was
 * told the digest fetches it in chunks and checks it.
 * Each process binds one PULL inbox and one REP socket for blobs, and connects to its peers'. Both
 * sides of a link add each other. Two processes greet each other before anything else is taken:
 * each proves that it is alive by repeating the other's random challenge (session.c), so that
 * nothing captured from an earlier life of either is ever accepted, and so that a peer which was
 * removed and added again is as new to the other side as one that has restarted.
 *
 * Handlers and callbacks may call everything here save bus_free and bus_drain. */
#ifndef GITMOOR_BUS_BUS_H
#define GITMOOR_BUS_BUS_H

#include "common/base/digest.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUS_HINT_MAXIMUM ((size_t)65536)
#define BUS_CHUNK_MAXIMUM ((size_t)262144)
#define BUS_BLOB_MAXIMUM ((size_t)1 << 30)

/* The links of DESIGN §2; each has a key of its own. */
enum bus_link { BUS_FETCHER_DIFFER, BUS_DIFFER_APPLIER, BUS_ADMISSION_DIFFER, BUS_LINKS };
const char *bus_link_name(enum bus_link link); /* "fetcher-differ", … */

struct event_base;
struct bus;
struct bus_peer;

struct bus_handlers {
    /* A hint of a peer. `kind` is a word such as "plan". True: taken (acknowledge it). False: not
     * now (the peer will send it again). May call bus_send and friends. */
    bool (*hint)(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                 void *context);
    /* The peer is reached for the first time, or has restarted, or had removed us and added us
     * again: what it had in memory of us is gone. May be NULL. */
    void (*peer_up)(struct bus_peer *peer, void *context);
    /* Something a person should read in the log, such as a key file that is no key. May be NULL. */
    void (*problem)(const struct error *error, void *context);
    void *context;
};

struct bus_options {
    const char *instance;      /* unique among all processes, e.g. "differ-0"; ≤ 63 bytes */
    const char *inbox;         /* "ipc:///run/gitmoor/differ" or "tcp://0.0.0.0:7001": bound.
                                * Blobs are served at the same with ".blobs", or port + 1. */
    const char *advertise;     /* the inbox as peers were given it, where that differs from what is
                                * bound (tcp://0.0.0.0, address translation). NULL: the inbox. It
                                * tells apart the peers of a link that has several */
    const char *key_directory; /* holds "<link name>.key" (64 hex digits) and optionally
                                * "<link name>.previous"; re-read on change. NULL: no key, which is
                                * refused unless every address is ipc:// */
    size_t blob_store_maximum; /* bytes; the least recently used go first. 0: 256 MiB */
    struct bus_handlers handlers;
};

/* Binds. ipc sockets are made in a directory of mode 0700, which is created; one that exists and is
 * open to others is refused. */
struct bus *bus_new(struct event_base *base, const struct bus_options *options,
                    struct error *error);
void bus_free(struct bus *bus);
/* Waits, at most `timeout_ms`, until everything sent has been acknowledged: nn_close would drop it.
 * Runs the loop. Does not wait for a peer that was there and has been silent for 15 s. Returns
 * whether all was acknowledged. */
bool bus_drain(struct bus *bus, int64_t timeout_ms);

/* Connects to a peer's inbox (and blobs), on the link whose key both hold. The peer need not be
 * there yet. Adding a peer that exists returns it. */
struct bus_peer *bus_peer_add(struct bus *bus, enum bus_link link, const char *inbox,
                              struct error *error);
/* What it was sent is forgotten; fetches from it end with ERROR_UNAVAILABLE. */
void bus_peer_remove(struct bus *bus, struct bus_peer *peer);
/* The first peer of the link, or NULL: where each side is one process, it is the only one. */
struct bus_peer *bus_peer_of_link(struct bus *bus, enum bus_link link);
enum bus_link bus_peer_link(const struct bus_peer *peer);
const char *bus_peer_instance(const struct bus_peer *peer); /* "" until it is first reached */
const char *bus_peer_inbox(const struct bus_peer *peer);
bool bus_peer_is_up(const struct bus_peer *peer); /* heard of within 15 s (heartbeats are 5 s) */

/* Sends a hint; `kind` is at most 63 letters, digits, '-', '_' or '.'. It is kept and resent until
 * acknowledged; the id names it for bus_unsend, 0 if it was refused (too large, or as many
 * unacknowledged hints or bytes as these wait for this peer). */
#define BUS_QUEUE_MAXIMUM 65536
#define BUS_QUEUE_BYTES ((size_t)64 << 20)
uint64_t bus_send(struct bus_peer *peer, const char *kind, const void *body, size_t size,
                  struct error *error);
/* No longer resend it. An id that is acknowledged already is fine. */
void bus_unsend(struct bus_peer *peer, uint64_t id);

/* Puts bytes into the store of this process and names them. `pinned` blobs are never evicted and
 * count towards the maximum: false with ERROR_LIMIT if they do not fit. Each pinned put of the same
 * bytes takes a drop of its own. */
bool bus_blob_put(struct bus *bus, const void *data, size_t size, bool pinned, struct digest *ret,
                  struct error *error);
void bus_blob_drop(struct bus *bus, const struct digest *digest);

/* Fetches a blob that the peer announced with its digest and size. `done` is called once, from the
 * loop; the data is the callback's to keep (free()) and matches the digest; NULL with an error
 * otherwise: ERROR_NOT_FOUND if the peer no longer holds it, ERROR_TIMEOUT, ERROR_LIMIT,
 * ERROR_UNAVAILABLE if the peer is removed, ERROR_INVALID. One byte more than `size` is allocated
 * and zero, as text wants. bus_free drops fetches without calling. */
typedef void (*bus_blob_fn)(char *data, size_t size, const struct error *error, void *context);
void bus_blob_fetch(struct bus_peer *peer, const struct digest *digest, size_t size,
                    int64_t timeout_ms, bus_blob_fn done, void *context);
/* Cancels every fetch with this context, without callbacks. */
void bus_blob_cancel(struct bus *bus, const void *context);

/* Why a message was dropped. */
enum bus_drop {
    BUS_DROP_MALFORMED,    /* not of this protocol, or nonsense inside */
    BUS_DROP_VERSION,      /* another version of the protocol */
    BUS_DROP_OVERSIZE,     /* larger than such a message can be */
    BUS_DROP_KEY,          /* sealed with a key that this process does not hold */
    BUS_DROP_TAG,          /* changed on the way, or forged */
    BUS_DROP_REPLAY,       /* seen before, or an answer nobody waits for */
    BUS_DROP_STALE,        /* its time is more than five minutes from ours */
    BUS_DROP_RECIPIENT,    /* meant for another process, or for an earlier life of this one */
    BUS_DROP_SESSION,      /* from a life of the peer that is over or has not greeted us */
    BUS_DROP_UNKNOWN_PEER, /* from a process that was not added as a peer */
    BUS_DROPS
};
const char *bus_drop_name(enum bus_drop drop); /* "malformed", "unknown-peer", … */

/* What happened on one link. */
struct bus_link_stats {
    uint64_t sent, resent, received; /* hints, as below */
    uint64_t dropped[BUS_DROPS];     /* by the link that the message claims to be of */
};
struct bus_stats {
    uint64_t sent, resent, acknowledged;     /* hints: first sendings, further ones, done */
    uint64_t received, declined, duplicates; /* hints: taken, not now, seen again */
    uint64_t greeted;                        /* lives of peers that peer_up told of */
    uint64_t blob_chunks_served, blob_chunks_fetched, blob_bytes_stored;
    uint64_t key_changes;
    uint64_t dropped[BUS_DROPS];
    struct bus_link_stats links[BUS_LINKS + 1]; /* the last: of what names no link */
};
const struct bus_stats *bus_stats(const struct bus *bus);

/* How a link is now. */
struct bus_link_state {
    size_t peers, up; /* that were added, and those of them that were heard of lately */
    size_t waiting;   /* hints that no peer has acknowledged yet */
};
struct bus_link_state bus_link_state(const struct bus *bus, enum bus_link link);

#endif
