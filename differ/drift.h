/* Is a live object what Git declares? */
#ifndef GITMOOR_DIFFER_DRIFT_H
#define GITMOOR_DIFFER_DRIFT_H

#include "differ/desired.h"
#include "differ/live.h"

enum drift_verdict {
    DRIFT_NONE,    /* in sync */
    DRIFT_NEW,     /* not applied yet in this form: absent, or of another content */
    DRIFT_CHANGED, /* it was in sync, and somebody changed it or took it away */
    DRIFT_ADDED,   /* nothing of ours is changed, but somebody added what has to go */
};

/* Values differ from version to version of a kind, so an answer to an apply in one version gives no
 * fingerprint for a watch in another. Takes that of the live object as soon as it is as new as the
 * answer. Returns whether it is still being waited for. */
bool drift_adopt(struct desired_object *desired, const struct live_object *live);

/* Cost: one comparison of 32 bytes. `live` may be NULL. */
enum drift_verdict drift_judge(const struct desired_object *desired,
                               const struct live_object *live);

/* The comparison without a fingerprint to go by, as after a restart: whether the live tree holds
 * every value that the desired text declares, and our managedFields entry owns nothing else. True
 * is certain; false may only mean that the server writes a value differently. */
bool drift_matches_text(const struct desired_object *desired, const cJSON *live);

/* Notes a repair that is about to be made, and how long to wait first: 0, or what is left of the
 * backoff of a fight or of failures. A fight begins with this repair if desired->repairs.fighting
 * becomes true; each repair in it doubles the pause before the next. */
int64_t drift_note_repair(struct desired_object *desired, int64_t now_ms);

/* How long until the fight is over if nothing more happens; 0: it is, or there is none. */
int64_t drift_fight_left(struct desired_object *desired, int64_t now_ms);

/* Notes that the repair came to nothing, since the object had just changed: it is made anew. */
void drift_note_race(struct desired_object *desired);

/* Notes that a repair failed: the next is to wait, the longer the more have failed in a row. */
void drift_note_failure(struct desired_object *desired, int64_t now_ms);

#endif
