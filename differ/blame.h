/* What of a drifted object is not as Git declares it, and who did that: the fields, and the manager
 * that managedFields names for them. Only paths are told, never values: they may be a Secret's. */
#ifndef GITMOOR_DIFFER_BLAME_H
#define GITMOOR_DIFFER_BLAME_H

#include "common/base/arena.h"
#include "common/data/json.h"

#define BLAME_FIELDS_MAXIMUM 10 /* named; more are counted */

struct blame {
    const char *fields[BLAME_FIELDS_MAXIMUM]; /* ".spec.replicas", as refusals write them */
    size_t count;                             /* named */
    size_t total;                             /* found */
    /* The newest writer of one of them; NULL if nobody owns any, as when they were removed. The
     * strings are the live object's. */
    const char *manager;
    const char *subresource; /* through which it wrote, or NULL */
    const char *time;        /* RFC 3339, or NULL */
};

/* `desired` is the object as Git declares it, `live` as it is. In this order: declared fields that
 * others own, declared fields that nobody owns any more, and, only if there are none of these,
 * fields whose values differ though they are still ours. Paths are the arena's. */
void blame_find(const cJSON *desired, const cJSON *live, struct arena *arena, struct blame *ret);

/* Of an object of which nothing is changed: the fields that others added and that are taken over.
 * `owners` is the managedFields as they should be (owners.h), in which they are ours. */
void blame_find_added(const cJSON *live, const cJSON *owners, struct arena *arena,
                      struct blame *ret);

#endif
