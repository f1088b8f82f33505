/* What a change takes away from what Git declares: the paths that the managedFields entry of
 * manager gitmoor loses, and those it keeps while their values change (PITFALLS §3). */
#ifndef GITMOOR_ADMISSION_LOSS_H
#define GITMOOR_ADMISSION_LOSS_H

#include "common/base/arena.h"
#include "common/data/json.h"

#include <stdint.h>

/* Distinct paths as refusals print them, in order. The strings and the array are the arena's. */
struct paths {
    struct arena *arena;
    const char **items;
    size_t count;
    size_t capacity;
};

void paths_add(struct paths *paths, const char *path);
/* Sorts, drops what stands twice. */
void paths_settle(struct paths *paths);

/* Whether the object carries an Apply entry of ours for the object itself (no subresource). */
bool loss_is_ours(const cJSON *object);

/* When the applier changed what we own last, wall ms; 0 if the entries do not tell. */
int64_t loss_last_write(const cJSON *object);

/* Whether the entry owns a path given as FieldsV1 members, e.g. {"f:spec", "f:replicas", NULL}. */
bool loss_owns(const cJSON *object, const char *const *members);

/* Adds each path of our entries in `before` that `after` lacks, and each one that it keeps with
 * another value. `after` without an entry of ours loses them all. */
void loss_compare(const cJSON *before, const cJSON *after, struct paths *ret);

/* Whether `after` has gained or changed an entry of our manager that is not ours to begin with:
 * operation Update, as a client gets that calls itself "gitmoor/1" in its User-Agent. */
bool loss_is_impersonated(const cJSON *before, const cJSON *after);

/* Whether our entries own other fields than before, though none that loss_compare would tell of: a
 * map as a whole instead of its keys, or what others own. Only who writes managedFields himself
 * does that, so that a later change of those fields would take nothing away; or the server, when
 * the schema of a list has changed, which it then does in any request. */
bool loss_is_reshaped(const cJSON *before, const cJSON *after);

#endif
