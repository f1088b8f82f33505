/* A revision that deletes so much (prune.h) that it waits for the word of a person: `gitmoor
 * approve`. The word is for the list of what is deleted, as status.held tells it, and not for
 * whatever else the revision comes to delete: by another path of the spec, or as what it is rolled
 * back to later. Once it is given it stands until the revision is applied, also for what a restart
 * has left of the list. */
#ifndef GITMOOR_DIFFER_APPROVAL_H
#define GITMOOR_DIFFER_APPROVAL_H

#include "common/data/json.h"
#include "differ/prune.h"

struct approval {
    char *revision;                /* that is held, or was */
    char list[DIGEST_HEX_SIZE];    /* of what it would delete: the beginning of a digest */
    char content[DIGEST_HEX_SIZE]; /* of what it declares */
    size_t deletes;                /* so many objects */
    bool is_given;
};

void approval_free(struct approval *approval); /* NULL is fine */

/* Takes up again what a predecessor's status says: that the word was given. */
void approval_adopt(struct application *application);

/* Whether the revision waits for the word, because deleting these is dangerous. What would be
 * deleted goes to `found` then, and why to `reason`. */
bool approval_is_lacking(struct application *application, const struct prune_list *prune,
                         struct buf *reason, struct problems *found);

/* The revision is applied: the word was for that. */
void approval_end(struct application *application);
/* Another revision is in its place, or (NULL) nothing that can be applied. */
void approval_end_of_others(struct application *application, const char *revision);

void approval_set_status(const struct application *application, cJSON *status);

#endif
