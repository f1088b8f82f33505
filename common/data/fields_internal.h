/* Shared by the fields*.c files only. */
#ifndef GITMOOR_DATA_FIELDS_INTERNAL_H
#define GITMOOR_DATA_FIELDS_INTERNAL_H

#include "common/base/map.h"
#include "common/data/fields.h"

/* Where one level of a set meets the object: fields_resolve for many members of one parent. Where
 * there are many, the parent is indexed first, so that a level costs O(n), not O(n^2). */
struct fields_level {
    const cJSON *parent;
    bool indexed;
    struct map children; /* of a map: by name; of a list: by canonical JSON of keys or value */
    char *key_names;     /* the names of the keys that the list is indexed by, comma-separated */
};

void fields_level_init(struct fields_level *level, const cJSON *set, const cJSON *parent);
cJSON *fields_level_resolve(const struct fields_level *level, const char *member);
void fields_level_release(struct fields_level *level);

/* Whether the set's node has no steps below it: it stands for the value as a whole. */
bool fields_is_leaf(const cJSON *node);
/* Whether the node itself, not only something below it, is owned. */
bool fields_is_owned(const cJSON *node);

#endif
