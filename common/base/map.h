/* A hash map from strings to pointers. Open addressing, SipHash-free FNV-1a with a per-process seed
 * (keys come from strangers). Get, set and remove are O(1); iteration is in no particular order.
 * Keys are copied and owned by the map; values belong to the caller. */
#ifndef GITMOOR_BASE_MAP_H
#define GITMOOR_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
    char *key; /* NULL: free */
    void *value;
    uint64_t hash;
};

struct map {
    struct map_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
};

void map_init(struct map *map);
/* Frees keys and, if `free_value` is given, calls it for each value. Ready for use again. */
void map_release(struct map *map, void (*free_value)(void *value));

void *map_get(const struct map *map, const char *key); /* NULL if absent */
bool map_has(const struct map *map, const char *key);
/* Returns the value that was there before, or NULL. */
void *map_set(struct map *map, const char *key, void *value);
/* Returns the value removed, or NULL. */
void *map_remove(struct map *map, const char *key);

/* for (struct map_slot *slot = map_first(&m); slot; slot = map_next(&m, slot)) …
 * The map must not be changed meanwhile, save for assigning slot->value. */
struct map_slot *map_first(const struct map *map);
struct map_slot *map_next(const struct map *map, const struct map_slot *slot);

/* The keys sorted by byte order, for whatever must be reproducible: an array of map->count
 * pointers into the map, to be freed by the caller (the array, not the strings). */
const char **map_sorted_keys(const struct map *map);

#endif
