/* The bus: hints and blobs between the four processes, over nanomsg (DESIGN §2).
 *
 * A hint is a small message (≤ BUS_HINT_MAXIMUM bytes) to one peer. It is sealed, sent, and sent
 * again with backoff until the peer acknowledges it or it is dropped; the receiver hands each out
 * at least once and acknowledges after its handler has returned true. Handlers are idempotent.
 * A blob is a byte string named by its SHA-256. The holder puts it into its store; a peer that was
 * told the digest fetches it in chunks and checks it.
 * Each process binds one PULL inbox and one REP socket for blobs, and connects to its peers'. */
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
    /* The peer is reached for the first time, or has restarted (its boot epoch changed): what it
     * had in memory is gone. May be NULL. */
    void (*peer_up)(struct bus_peer *peer, void *context);
    void *context;
};

struct bus_options {
    const char *instance;      /* unique among all processes, e.g. "differ-0"; ≤ 63 bytes */
    const char *inbox;         /* "ipc:///run/gitmoor/differ" or "tcp://0.0.0.0:7001": bound.
                                * Blobs are served at the same with ".blobs", or port + 1. */
    const char *key_directory; /* holds "<link name>.key" (64 hex digits) and optionally
                                * "<link name>.previous"; re-read on change. NULL: no key, which is
                                * refused unless every address is ipc:// */
    size_t blob_store_maximum; /* bytes; the least recently used go first. 0: 256 MiB */
    struct bus_handlers handlers;
};

/* Binds. ipc sockets are made in a directory of mode 0700, which is created. */
struct bus *bus_new(struct event_base *base, const struct bus_options *options,
                    struct error *error);
void bus_free(struct bus *bus);
/* Waits, at most `timeout_ms`, until everything sent has been acknowledged: nn_close would drop it.
 * Runs the loop. Returns whether it all was. */
bool bus_drain(struct bus *bus, int64_t timeout_ms);

/* Connects to a peer's inbox (and blobs), on the link whose key both hold. The peer need not be
 * there yet. Adding a peer that exists returns it. */
struct bus_peer *bus_peer_add(struct bus *bus, enum bus_link link, const char *inbox,
                              struct error *error);
void bus_peer_remove(struct bus *bus, struct bus_peer *peer);
/* The first peer of the link, or NULL: where each side is one process, it is the only one. */
struct bus_peer *bus_peer_of_link(struct bus *bus, enum bus_link link);
enum bus_link bus_peer_link(const struct bus_peer *peer);
const char *bus_peer_instance(const struct bus_peer *peer); /* "" until the first message of it */
bool bus_peer_is_up(const struct bus_peer *peer); /* heard of within 15 s (heartbeats are 5 s) */

/* Sends a hint. It is kept and resent until acknowledged; `id` names it for bus_unsend, 0 if it was
 * refused (too large, or BUS_QUEUE_MAXIMUM unacknowledged hints wait for this peer). */
#define BUS_QUEUE_MAXIMUM 65536
uint64_t bus_send(struct bus_peer *peer, const char *kind, const void *body, size_t size,
                  struct error *error);
/* No longer resend it. */
void bus_unsend(struct bus_peer *peer, uint64_t id);

/* Puts bytes into the store of this process and names them. `pinned` blobs are never evicted and
 * count towards the maximum: false with ERROR_LIMIT if they do not fit. */
bool bus_blob_put(struct bus *bus, const void *data, size_t size, bool pinned,
                  struct digest *ret, struct error *error);
void bus_blob_drop(struct bus *bus, const struct digest *digest);

/* Fetches a blob that the peer announced with its digest and size. `done` is called once, from the
 * loop; the data is the callback's to keep (free()) and matches the digest; NULL with an error
 * otherwise: ERROR_NOT_FOUND if the peer no longer holds it, ERROR_TIMEOUT, ERROR_INVALID. */
typedef void (*bus_blob_fn)(char *data, size_t size, const struct error *error, void *context);
void bus_blob_fetch(struct bus_peer *peer, const struct digest *digest, size_t size,
                    int64_t timeout_ms, bus_blob_fn done, void *context);
/* Cancels every fetch with this context, without callbacks. */
void bus_blob_cancel(struct bus *bus, const void *context);

/* Why a message was dropped. */
enum bus_drop {
    BUS_DROP_MALFORMED, BUS_DROP_VERSION, BUS_DROP_OVERSIZE, BUS_DROP_KEY, BUS_DROP_TAG,
    BUS_DROP_REPLAY, BUS_DROP_STALE, BUS_DROP_RECIPIENT, BUS_DROP_UNKNOWN_PEER, BUS_DROPS
};
const char *bus_drop_name(enum bus_drop drop);

struct bus_stats {
    uint64_t sent, resent, acknowledged, received, duplicates;
    uint64_t blob_chunks_served, blob_chunks_fetched, blob_bytes_stored;
    uint64_t dropped[BUS_DROPS];
};
const struct bus_stats *bus_stats(const struct bus *bus);

#endif
