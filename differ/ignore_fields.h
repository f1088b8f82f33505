/* Fields that an Application leaves alone (spec.ignore): JSON pointers, each for the objects that a
 * target selects. What is left alone is not sent, and so neither compared nor owned. */
#ifndef GITMOOR_DIFFER_IGNORE_FIELDS_H
#define GITMOOR_DIFFER_IGNORE_FIELDS_H

#include "common/base/arena.h"
#include "common/data/object.h"

struct ignore_rule; /* one of the list */

struct ignore_fields {
    struct ignore_rule *rules;
    size_t count;
    struct arena arena;
    char
        *text; /* canonical JSON of the list, to tell whether it has changed; NULL: there is none */
};

/* Reads the list as the CRD's schema lets it be; what the schema would refuse does nothing. */
void ignore_fields_read(const cJSON *list, struct ignore_fields *ret);
void ignore_fields_release(struct ignore_fields *ignore);

/* `ignore` may be NULL. Takes the fields that are left alone out of the object (and maps that get
 * empty thereby), and hands out their pointers, an array in the arena whose strings live as long as
 * the rules or the arena. A number of replicas that is not declared is always among them. */
void ignore_fields_take(const struct ignore_fields *ignore, const struct object_ref *ref,
                        cJSON *object, struct arena *arena, const char *const **ret_pointers,
                        size_t *ret_count);

#endif
