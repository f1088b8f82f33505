/* A watched set of objects, kept as trees or as texts: struct kube_store of watch.h. */
#include "common/base/arena.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/packed.h"
#include "common/kube/internal.h"
#include "common/kube/watch.h"

#include <string.h>

struct stored {
    struct packed *object; /* at rest in a compact store */
    char *version;         /* its resourceVersion */
    uint64_t epoch;        /* of the last event about it */
};

struct kube_store {
    struct kube_watch *watch;
    struct kube_store_options options;
    struct map objects; /* "namespace/name" to struct stored */
    bool synced;
    unsigned depth; /* callbacks on the stack */
    bool doomed;    /* freed from within one */
};

static void stored_free(void *value)
{
    struct stored *stored = value;
    if (stored) {
        packed_free(stored->object);
        free(stored->version);
        free(stored);
    }
}

static void store_destroy(struct kube_store *store)
{
    map_release(&store->objects, stored_free);
    free(store);
}

static void leave(struct kube_store *store)
{
    if (--store->depth == 0 && store->doomed) {
        store_destroy(store);
    }
}

static const char *namespace_of(const cJSON *object)
{
    return text_or_empty(json_string_path(object, "metadata.namespace"));
}

static const char *name_of(const cJSON *object)
{
    return text_or_empty(json_string_path(object, "metadata.name"));
}

static const char *key_of(struct arena *arena, const char *namespace_, const char *name)
{
    return arena_format(arena, "%s/%s", text_or_empty(namespace_), name);
}

static void tell(struct kube_store *store, const cJSON *now, const cJSON *before)
{
    const cJSON *object = now ? now : before;
    if (store->options.changed && !store->doomed) {
        store->options.changed(namespace_of(object), name_of(object), now, before,
                               store->options.context);
    }
}

static void rest(const struct kube_store *store, const struct stored *stored)
{
    if (store->options.compact) {
        packed_rest(stored->object);
    }
}

static void put(struct kube_store *store, const char *key, const struct kube_event *event)
{
    struct stored *stored = map_get(&store->objects, key);
    if (stored && text_equal(stored->version, event->resource_version)) {
        stored->epoch = event->epoch;
        return; /* known already */
    }
    struct stored *old = map_remove(&store->objects, key);
    stored = NEW(struct stored);
    stored->epoch = event->epoch;
    map_set(&store->objects, key, stored);
    cJSON *object = kube_watch_take(store->watch);
    /* Who wrote which field is two thirds of many objects, and nobody asks a store for it. */
    json_remove(json_object(object, "metadata"), "managedFields");
    stored->object = packed_new(object);
    stored->version = mem_string(event->resource_version);
    tell(store, object, old ? packed_tree(old->object) : NULL);
    rest(store, stored);
    stored_free(old);
}

static void drop(struct kube_store *store, const char *key)
{
    struct stored *stored = map_remove(&store->objects, key);
    if (stored) {
        tell(store, NULL, packed_tree(stored->object));
        stored_free(stored);
    }
}

static void on_event(const struct kube_event *event, void *context)
{
    struct kube_store *store = context;
    AUTO_ARENA struct arena arena = {0};
    arena_init(&arena);
    const char *key = key_of(&arena, namespace_of(event->object), name_of(event->object));
    store->depth++;
    if (event->type == KUBE_EVENT_DELETED) {
        drop(store, key);
    } else {
        put(store, key, event);
    }
    leave(store);
}

/* Drops what the list of this epoch did not mention. */
static void sweep(struct kube_store *store, uint64_t epoch)
{
    const char **keys = map_sorted_keys(&store->objects);
    size_t count = 0;
    for (size_t i = 0; i < store->objects.count; i++) {
        const struct stored *stored = map_get(&store->objects, keys[i]);
        if (stored->epoch < epoch) {
            keys[count++] = mem_string(keys[i]); /* the map's own goes when it is removed */
        }
    }
    for (size_t i = 0; i < count; i++) {
        drop(store, keys[i]);
        free((char *)keys[i]);
    }
    free(keys);
}

static void on_synced(uint64_t epoch, void *context)
{
    struct kube_store *store = context;
    store->depth++;
    sweep(store, epoch);
    store->synced = true;
    if (store->options.synced && !store->doomed) {
        store->options.synced(store->options.context);
    }
    leave(store);
}

static void on_trouble(const struct error *error, void *context)
{
    struct kube_store *store = context;
    store->depth++;
    if (store->options.trouble && !store->doomed) {
        store->options.trouble(error, store->options.context);
    }
    leave(store);
}

struct kube_store *kube_store_new(struct kube_client *client,
                                  const struct kube_store_options *options)
{
    struct kube_store *store = NEW(struct kube_store);
    struct kube_watch_options watch = options->watch;
    store->options = *options;
    map_init(&store->objects);
    watch.event = on_event;
    watch.synced = on_synced;
    watch.trouble = on_trouble;
    watch.context = store;
    store->watch = kube_watch_new(client, &watch);
    return store;
}

void kube_store_free(struct kube_store *store)
{
    if (!store || store->doomed) {
        return;
    }
    kube_watch_free(store->watch);
    store->doomed = true;
    if (store->depth == 0) {
        store_destroy(store);
    }
}

bool kube_store_is_synced(const struct kube_store *store)
{
    return store->synced;
}

const cJSON *kube_store_get(const struct kube_store *store, const char *namespace_,
                            const char *name)
{
    AUTO_ARENA struct arena arena = {0};
    arena_init(&arena);
    const struct stored *stored = map_get(&store->objects, key_of(&arena, namespace_, name));
    return stored && !store->options.compact ? packed_tree(stored->object) : NULL;
}

cJSON *kube_store_copy(const struct kube_store *store, const char *namespace_, const char *name)
{
    AUTO_ARENA struct arena arena = {0};
    arena_init(&arena);
    const struct stored *stored = map_get(&store->objects, key_of(&arena, namespace_, name));
    return stored ? packed_copy(stored->object) : NULL;
}

size_t kube_store_count(const struct kube_store *store)
{
    return store->objects.count;
}

void kube_store_each(const struct kube_store *store,
                     void (*visit)(const cJSON *object, void *context), void *context)
{
    for (struct map_slot *slot = map_first(&store->objects); slot;
         slot = map_next(&store->objects, slot)) {
        const struct stored *stored = slot->value;
        /* Not at rest: it is being told of further up the stack, and its tree is needed there. */
        bool at_rest = packed_is_at_rest(stored->object);
        visit(packed_tree(stored->object), context);
        if (at_rest) {
            rest(store, stored);
        }
    }
}
