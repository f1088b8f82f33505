/* A revision that waits for the word of a person: `gitmoor approve`, as it deletes so much
 * (prune.h), or `gitmoor adopt`, as it takes over objects of others (adoption.h). The word is for
 * the list of these objects, as status.held or status.adoption tells it, and not for whatever else
 * the revision comes to delete or to take over: by another path of the spec, or as what it is
 * rolled back to later. Once it is given it stands until the revision is applied, also for what a
 * restart has left of the list; then it is used up. */
#ifndef GITMOOR_DIFFER_APPROVAL_H
#define GITMOOR_DIFFER_APPROVAL_H

#include "common/data/json.h"
#include "differ/prune.h"

enum approval_for { APPROVAL_TO_DELETE, APPROVAL_TO_TAKE_OVER, APPROVAL_COUNT };

struct approval {
    char *revision;                /* that is held, or was */
    char list[DIGEST_HEX_SIZE];    /* of the objects it is about: the beginning of a digest */
    char content[DIGEST_HEX_SIZE]; /* of what it declares */
    size_t objects;                /* so many */
    bool is_given;
};

void approval_free(struct approval *approval); /* NULL is fine */

/* Takes up again what a predecessor's status says: that the word was given. */
void approval_adopt(struct application *application);

/* Whether the revision waits for the word, because deleting these is dangerous. What would be
 * deleted goes to `found` then, and why to `reason`. */
bool approval_is_lacking(struct application *application, const struct prune_list *prune,
                         struct buf *reason, struct problems *found);

/* Whether the word to take over was given already, and is not used up: nothing need be asked. */
bool approval_to_take_over_goes_on(const struct application *application);
/* Whether it is lacking for the objects of others that are known (application->others). */
bool approval_to_take_over_is_lacking(struct application *application);
/* Nothing is to be taken over. */
void approval_to_take_over_end(struct application *application);

/* The revision is applied: the word was for that. */
void approval_end(struct application *application);
/* Another revision is in its place, or (NULL) nothing that can be applied. */
void approval_end_of_others(struct application *application, const char *revision);

void approval_set_status(const struct application *application, cJSON *status);

#endif
