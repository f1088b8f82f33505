/* Byte strings named by their SHA-256, bounded in bytes, the least recently used evicted first.
 * It owns copies of what is put. Put copies and hashes; find is one map lookup. */
#ifndef GITMOOR_BUS_BLOB_STORE_H
#define GITMOOR_BUS_BLOB_STORE_H

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/map.h"

#include <sys/queue.h>

struct blob {
    TAILQ_ENTRY(blob) use; /* most recently used first */
    struct digest digest;
    size_t size;
    unsigned pins; /* puts that asked for it not to be evicted, less drops */
    char *data;
};
TAILQ_HEAD(blob_list, blob);

struct blob_store {
    struct map blobs; /* by digest in hex */
    struct blob_list use;
    size_t maximum, bytes, pinned_bytes;
};

void blob_store_init(struct blob_store *store, size_t maximum);
void blob_store_release(struct blob_store *store);

/* ERROR_LIMIT if it does not fit beside the pinned ones. Putting the same bytes again is free; each
 * pinned put takes a drop of its own. */
bool blob_store_put(struct blob_store *store, const void *data, size_t size, bool pinned,
                    struct digest *ret, struct error *error);
/* Takes back one pin; without pins, the blob goes. */
void blob_store_drop(struct blob_store *store, const struct digest *digest);
/* Marks it used. NULL: not here. */
const struct blob *blob_store_find(struct blob_store *store, const struct digest *digest);

#endif
