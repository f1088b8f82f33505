/* Objects that stay when they leave Git, or when their Application is deleted: by their own word.
 * What counts is the live object, so that a commit may take the annotation away together with the
 * object, and a person may put it there. */
#ifndef GITMOOR_DIFFER_KEEP_H
#define GITMOOR_DIFFER_KEEP_H

#include "common/data/json.h"
#include "common/data/object.h"

#define KEEP_ANNOTATION GITMOOR_GROUP "/prune"

enum keep {
    KEEP_NO,
    KEEP_YES,
    KEEP_UNCLEAR, /* our annotation says neither "disabled" nor "enabled" */
};

/* By our annotation; without it by those of others that say the same (keep.c). */
enum keep keep_read(const cJSON *metadata);

#endif
