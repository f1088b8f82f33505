#include "common/bus/outbox.h"

#include "common/base/memory.h"
#include "common/bus/bus.h"

#include <string.h>

/* The first is well above the time of a busy peer's turn of the loop; the last is what a declined
 * hint waits for the peer's better mood. A peer that is not there costs nothing meanwhile: its
 * socket takes no message. */
static const int64_t delays_ms[OUTBOX_ATTEMPTS] = {200, 400, 800, 1600, 2000};

#define FIRST_BUCKETS ((size_t)64)

void outbox_init(struct outbox *outbox)
{
    memset(outbox, 0, sizeof *outbox);
    TAILQ_INIT(&outbox->all);
    TAILQ_INIT(&outbox->ready);
    for (size_t i = 0; i < OUTBOX_ATTEMPTS; i++) {
        TAILQ_INIT(&outbox->waiting[i]);
    }
    outbox->bucket_count = FIRST_BUCKETS;
    outbox->buckets = mem_new(FIRST_BUCKETS, sizeof *outbox->buckets);
}

void outbox_release(struct outbox *outbox)
{
    struct outbox_hint *hint = TAILQ_FIRST(&outbox->all);
    while (hint) {
        struct outbox_hint *next = TAILQ_NEXT(hint, all);
        free(hint);
        hint = next;
    }
    free(outbox->buckets);
    memset(outbox, 0, sizeof *outbox);
}

static struct outbox_hint **bucket_of(const struct outbox *outbox, uint64_t id)
{
    return &outbox->buckets[id & (outbox->bucket_count - 1)];
}

/* Ids are consecutive, so the low bits spread them evenly. */
static void grow(struct outbox *outbox)
{
    free(outbox->buckets);
    outbox->bucket_count *= 2;
    outbox->buckets = mem_new(outbox->bucket_count, sizeof *outbox->buckets);
    struct outbox_hint *hint;
    TAILQ_FOREACH(hint, &outbox->all, all)
    {
        struct outbox_hint **bucket = bucket_of(outbox, hint->id);
        hint->next_in_bucket = *bucket;
        *bucket = hint;
    }
}

struct outbox_hint *outbox_add(struct outbox *outbox, const char *kind, const void *body,
                               size_t size, struct error *error)
{
    if (outbox->count >= BUS_QUEUE_MAXIMUM || size > BUS_QUEUE_BYTES - outbox->bytes) {
        error_set(error, ERROR_LIMIT,
                  "%zu hints of %zu bytes wait for this peer to acknowledge them; the limits are "
                  "%d hints and %zu bytes. Is it running?",
                  outbox->count, outbox->bytes, BUS_QUEUE_MAXIMUM, BUS_QUEUE_BYTES);
        if (error) {
            error->retryable = true;
        }
        return NULL;
    }
    if (outbox->count >= outbox->bucket_count) {
        grow(outbox);
    }
    size_t kind_size = strlen(kind) + 1;
    struct outbox_hint *hint = mem_new(1, sizeof *hint + kind_size + size);
    char *text = (char *)(hint + 1);
    memcpy(text, kind, kind_size);
    if (size > 0) {
        memcpy(text + kind_size, body, size);
    }
    hint->kind = text;
    hint->body = text + kind_size;
    hint->size = size;
    hint->id = ++outbox->last_id;
    struct outbox_hint **bucket = bucket_of(outbox, hint->id);
    hint->next_in_bucket = *bucket;
    *bucket = hint;
    TAILQ_INSERT_TAIL(&outbox->all, hint, all);
    TAILQ_INSERT_TAIL(&outbox->ready, hint, list);
    outbox->count++;
    outbox->bytes += size;
    return hint;
}

struct outbox_hint *outbox_next(const struct outbox *outbox)
{
    if (outbox->wire_count >= OUTBOX_WIRE_COUNT || outbox->wire_bytes >= OUTBOX_WIRE_BYTES) {
        return NULL;
    }
    return TAILQ_FIRST(&outbox->ready);
}

static void unlist(struct outbox *outbox, struct outbox_hint *hint)
{
    if (!hint->waiting) {
        TAILQ_REMOVE(&outbox->ready, hint, list);
        return;
    }
    unsigned attempt = hint->attempts - 1;
    TAILQ_REMOVE(&outbox->waiting[attempt], hint, list);
    if (attempt == 0) {
        outbox->wire_count--;
        outbox->wire_bytes -= hint->size;
    }
    hint->waiting = false;
}

void outbox_sent(struct outbox *outbox, struct outbox_hint *hint, int64_t now_ms)
{
    unlist(outbox, hint);
    if (hint->attempts < OUTBOX_ATTEMPTS) {
        hint->attempts++;
    }
    unsigned attempt = hint->attempts - 1;
    hint->due_ms = now_ms + delays_ms[attempt];
    hint->waiting = true;
    TAILQ_INSERT_TAIL(&outbox->waiting[attempt], hint, list);
    if (attempt == 0) {
        outbox->wire_count++;
        outbox->wire_bytes += hint->size;
    }
}

bool outbox_remove(struct outbox *outbox, uint64_t id)
{
    struct outbox_hint **place = bucket_of(outbox, id);
    while (*place && (*place)->id != id) {
        place = &(*place)->next_in_bucket;
    }
    struct outbox_hint *hint = *place;
    if (!hint) {
        return false;
    }
    *place = hint->next_in_bucket;
    unlist(outbox, hint);
    TAILQ_REMOVE(&outbox->all, hint, all);
    outbox->count--;
    outbox->bytes -= hint->size;
    free(hint);
    return true;
}

void outbox_expire(struct outbox *outbox, int64_t now_ms)
{
    for (size_t i = 0; i < OUTBOX_ATTEMPTS; i++) {
        struct outbox_hint *hint = TAILQ_FIRST(&outbox->waiting[i]);
        while (hint && hint->due_ms <= now_ms) {
            unlist(outbox, hint);
            TAILQ_INSERT_TAIL(&outbox->ready, hint, list);
            hint = TAILQ_FIRST(&outbox->waiting[i]);
        }
    }
}

int64_t outbox_due(const struct outbox *outbox)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < OUTBOX_ATTEMPTS; i++) {
        const struct outbox_hint *hint = TAILQ_FIRST(&outbox->waiting[i]);
        if (hint && hint->due_ms < due) {
            due = hint->due_ms;
        }
    }
    return due;
}

void outbox_restart(struct outbox *outbox)
{
    struct outbox_hint *hint;
    TAILQ_FOREACH(hint, &outbox->all, all)
    {
        unlist(outbox, hint);
        hint->attempts = 0;
        TAILQ_INSERT_TAIL(&outbox->ready, hint, list);
    }
}
