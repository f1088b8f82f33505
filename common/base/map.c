#include "common/base/map.h"

#include "common/base/memory.h"

#include <string.h>
#include <sys/random.h>

#define FIRST_CAPACITY 16

static uint64_t hash_seed(void)
{
    static uint64_t seed; /* random, so that nobody can choose keys that collide */
    while (seed == 0) {
        if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
            seed = (uint64_t)(uintptr_t)&seed;
        }
    }
    return seed;
}

static uint64_t hash_key(const char *key)
{
    uint64_t hash = 0xcbf29ce484222325u ^ hash_seed();
    for (const unsigned char *c = (const unsigned char *)key; *c; c++) {
        hash = (hash ^ *c) * 0x100000001b3u;
    }
    return hash ^ (hash >> 29);
}

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_release(struct map *map, void (*free_value)(void *value))
{
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].key) {
            free(map->slots[i].key);
            if (free_value) {
                free_value(map->slots[i].value);
            }
        }
    }
    free(map->slots);
    *map = (struct map){0};
}

/* The slot of the key, or the free slot where it would go. Needs a free slot to exist. */
static struct map_slot *find(const struct map *map, const char *key, uint64_t hash)
{
    size_t mask = map->capacity - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        struct map_slot *slot = &map->slots[i];
        if (!slot->key || (slot->hash == hash && strcmp(slot->key, key) == 0)) {
            return slot;
        }
    }
}

static void grow(struct map *map)
{
    struct map old = *map;
    map->capacity = old.capacity ? old.capacity * 2 : FIRST_CAPACITY;
    map->slots = mem_new(map->capacity, sizeof *map->slots);
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].key) {
            *find(map, old.slots[i].key, old.slots[i].hash) = old.slots[i];
        }
    }
    free(old.slots);
}

void *map_get(const struct map *map, const char *key)
{
    return map->count ? find(map, key, hash_key(key))->value : NULL;
}

bool map_has(const struct map *map, const char *key)
{
    return map->count && find(map, key, hash_key(key))->key;
}

void *map_set(struct map *map, const char *key, void *value)
{
    if ((map->count + 1) * 4 > map->capacity * 3) {
        grow(map);
    }
    uint64_t hash = hash_key(key);
    struct map_slot *slot = find(map, key, hash);
    void *before = slot->value;
    if (!slot->key) {
        slot->key = mem_string(key);
        slot->hash = hash;
        map->count++;
    }
    slot->value = value;
    return before;
}

void *map_remove(struct map *map, const char *key)
{
    if (!map->count) {
        return NULL;
    }
    struct map_slot *slot = find(map, key, hash_key(key));
    if (!slot->key) {
        return NULL;
    }
    void *value = slot->value;
    free(slot->key);
    *slot = (struct map_slot){0};
    map->count--;

    /* Close the gap: entries after it that probed past it must move back (no tombstones). */
    size_t mask = map->capacity - 1;
    size_t gap = (size_t)(slot - map->slots);
    for (size_t i = (gap + 1) & mask; map->slots[i].key; i = (i + 1) & mask) {
        size_t home = (size_t)map->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            map->slots[gap] = map->slots[i];
            map->slots[i] = (struct map_slot){0};
            gap = i;
        }
    }
    return value;
}

static struct map_slot *next_used(const struct map *map, size_t index)
{
    for (; index < map->capacity; index++) {
        if (map->slots[index].key) {
            return &map->slots[index];
        }
    }
    return NULL;
}

struct map_slot *map_first(const struct map *map)
{
    return next_used(map, 0);
}

struct map_slot *map_next(const struct map *map, const struct map_slot *slot)
{
    return next_used(map, (size_t)(slot - map->slots) + 1);
}

static int compare_keys(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

const char **map_sorted_keys(const struct map *map)
{
    const char **keys = mem_new(map->count, sizeof *keys);
    size_t count = 0;
    for (struct map_slot *slot = map_first(map); slot; slot = map_next(map, slot)) {
        keys[count++] = slot->key;
    }
    qsort(keys, count, sizeof *keys, compare_keys);
    return keys;
}
