/* Hints on their way to one peer: kept until acknowledged, sent again with backoff.
 *
 * A hint is `ready` (to be sent as soon as the socket takes it) or waits for its acknowledgement in
 * the list of its attempt. Each attempt has one delay, so each list is in order of time and the
 * next one due is the head of one of them. Add, sent and remove are O(1).
 * At most OUTBOX_WIRE_COUNT hints and OUTBOX_WIRE_BYTES of the first attempt wait at once: the
 * acknowledgements open the way for more. Later attempts do not count, so that hints which the
 * peer does not want now never hold up others. */
#ifndef GITMOOR_BUS_OUTBOX_H
#define GITMOOR_BUS_OUTBOX_H

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define OUTBOX_ATTEMPTS 5 /* delays: see outbox.c */
#define OUTBOX_WIRE_COUNT ((size_t)1024)
#define OUTBOX_WIRE_BYTES ((size_t)4 << 20)

struct outbox_hint {
    TAILQ_ENTRY(outbox_hint) all;  /* in order of id */
    TAILQ_ENTRY(outbox_hint) list; /* ready, or waiting[attempt] */
    struct outbox_hint *next_in_bucket;
    uint64_t id;
    int64_t due_ms;    /* monotonic; while it waits */
    unsigned attempts; /* to this life of the peer, up to OUTBOX_ATTEMPTS */
    unsigned tries;    /* sendings in all, for statistics: the sender's to count */
    bool waiting;
    size_t size;
    const char *kind, *body; /* in the same piece of memory */
};
TAILQ_HEAD(outbox_list, outbox_hint);

struct outbox {
    struct outbox_list all, ready, waiting[OUTBOX_ATTEMPTS];
    struct outbox_hint **buckets; /* by id */
    size_t bucket_count;
    size_t count, bytes;
    size_t wire_count, wire_bytes; /* of waiting[0] */
    uint64_t last_id;
};

void outbox_init(struct outbox *outbox);
void outbox_release(struct outbox *outbox);

/* Copies it. NULL with ERROR_LIMIT if too much waits already. */
struct outbox_hint *outbox_add(struct outbox *outbox, const char *kind, const void *body,
                               size_t size, struct error *error);
/* The next to be sent, or NULL. */
struct outbox_hint *outbox_next(const struct outbox *outbox);
void outbox_sent(struct outbox *outbox, struct outbox_hint *hint, int64_t now_ms);
/* Acknowledged or no longer wanted: forgets it. False if it is not there. */
bool outbox_remove(struct outbox *outbox, uint64_t id);
/* Makes ready what has waited long enough. */
void outbox_expire(struct outbox *outbox, int64_t now_ms);
/* When outbox_expire next has something to do; INT64_MAX: never. */
int64_t outbox_due(const struct outbox *outbox);
/* The peer has restarted: everything is ready again, in the order in which it was added. */
void outbox_restart(struct outbox *outbox);

#endif
