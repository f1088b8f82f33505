/* The hints with the results of plans that are done, for those who ask again: bounded in number, in
 * bytes and in age. With an answer goes the blob that it names. */
#ifndef GITMOOR_APPLIER_ANSWERS_H
#define GITMOOR_APPLIER_ANSWERS_H

#include "common/bus/bus.h"

#define ANSWERS_COUNT_MAXIMUM 4096
#define ANSWERS_BYTES_MAXIMUM ((size_t)8 << 20) /* the newest is kept even if it is larger */
#define ANSWERS_AGE_MAXIMUM_MS (5 * 60 * 1000)

struct event_base;
struct answers;

struct answer {
    const char *body; /* of the hint */
    size_t size;
};

/* `bus`: where the blobs are dropped; NULL: nowhere, for tests. */
struct answers *answers_new(struct event_base *base, struct bus *bus);
void answers_free(struct answers *answers); /* blobs stay with the bus */

/* Copies the body. `blob` may be NULL; with it, `blob_size` counts. */
void answers_put(struct answers *answers, const char *id, const char *body, size_t size,
                 const struct digest *blob, size_t blob_size);
/* NULL if it is not known, or no more. Valid until the next answers_put or run of the loop. */
const struct answer *answers_get(const struct answers *answers, const char *id);

size_t answers_count(const struct answers *answers);
/* Drops what is older than ANSWERS_AGE_MAXIMUM_MS at `now_ms`; a timer does it, too. */
void answers_expire(struct answers *answers, int64_t now_ms);

#endif
