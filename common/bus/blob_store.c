#include "common/bus/blob_store.h"

#include "common/base/memory.h"
#include "common/bus/bus.h"

#include <string.h>

void blob_store_init(struct blob_store *store, size_t maximum)
{
    memset(store, 0, sizeof *store);
    map_init(&store->blobs);
    TAILQ_INIT(&store->use);
    store->maximum = maximum;
}

static void free_blob(void *value)
{
    struct blob *blob = value;
    free(blob->data);
    free(blob);
}

void blob_store_release(struct blob_store *store)
{
    map_release(&store->blobs, free_blob);
    blob_store_init(store, store->maximum);
}

static struct blob *look(const struct blob_store *store, const struct digest *digest)
{
    char hex[DIGEST_HEX_SIZE];
    digest_to_hex(digest, hex);
    return map_get(&store->blobs, hex);
}

static void forget(struct blob_store *store, struct blob *blob)
{
    char hex[DIGEST_HEX_SIZE];
    digest_to_hex(&blob->digest, hex);
    map_remove(&store->blobs, hex);
    TAILQ_REMOVE(&store->use, blob, use);
    store->bytes -= blob->size;
    store->pinned_bytes -= blob->pins > 0 ? blob->size : 0;
    free_blob(blob);
}

static void touch(struct blob_store *store, struct blob *blob)
{
    TAILQ_REMOVE(&store->use, blob, use);
    TAILQ_INSERT_HEAD(&store->use, blob, use);
}

static void pin(struct blob_store *store, struct blob *blob)
{
    if (blob->pins++ == 0) {
        store->pinned_bytes += blob->size;
    }
}

/* From the least recently used end; what is pinned is passed over. */
static void make_room(struct blob_store *store, size_t size)
{
    struct blob *blob = TAILQ_LAST(&store->use, blob_list);
    while (blob && size > store->maximum - store->bytes) {
        struct blob *previous = TAILQ_PREV(blob, blob_list, use);
        if (blob->pins == 0) {
            forget(store, blob);
        }
        blob = previous;
    }
}

static bool fits(const struct blob_store *store, size_t size, struct error *error)
{
    if (size > BUS_BLOB_MAXIMUM) {
        return error_set(error, ERROR_LIMIT, "a blob of %zu bytes is too large: at most %zu", size,
                         BUS_BLOB_MAXIMUM);
    }
    if (size > store->maximum - store->pinned_bytes) {
        return error_set(
            error, ERROR_LIMIT,
            "a blob of %zu bytes does not fit into the blob store: it holds %zu bytes, "
            "of which %zu are in use",
            size, store->maximum, store->pinned_bytes);
    }
    return true;
}

bool blob_store_put(struct blob_store *store, const void *data, size_t size, bool pinned,
                    struct digest *ret, struct error *error)
{
    struct digest digest;
    digest_of(data, size, &digest);
    struct blob *blob = look(store, &digest);
    if (!blob) {
        if (!fits(store, size, error)) {
            return false;
        }
        make_room(store, size);
        blob = NEW(struct blob);
        blob->digest = digest;
        blob->size = size;
        blob->data = mem_string_n(size > 0 ? data : "", size);
        char hex[DIGEST_HEX_SIZE];
        digest_to_hex(&digest, hex);
        map_set(&store->blobs, hex, blob);
        TAILQ_INSERT_HEAD(&store->use, blob, use);
        store->bytes += size;
    }
    touch(store, blob);
    if (pinned) {
        pin(store, blob);
    }
    *ret = digest;
    return true;
}

void blob_store_drop(struct blob_store *store, const struct digest *digest)
{
    struct blob *blob = look(store, digest);
    if (!blob) {
        return;
    }
    if (blob->pins > 1) {
        blob->pins--;
        return;
    }
    forget(store, blob);
}

const struct blob *blob_store_find(struct blob_store *store, const struct digest *digest)
{
    struct blob *blob = look(store, digest);
    if (blob) {
        touch(store, blob);
    }
    return blob;
}
