/* An earlier revision in the place of the newest one: put there because the newest was not healthy
 * (spec.rollback.onFailure), or because somebody asked for it (the annotation that `gitmoor
 * rollback` writes). It stays until a newer commit changes what the application renders from, or
 * the rollback is cancelled. Git is not touched. */
#ifndef GITMOOR_DIFFER_ROLLBACK_H
#define GITMOOR_DIFFER_ROLLBACK_H

#include "common/data/json.h"

/* Its value: a revision of status.history, or "none" to cancel; then a blank and anything that
 * makes the value another than before. */
#define ROLLBACK_ANNOTATION "gitmoor.io/rollback-to"

struct application;

struct rollback {
    char *from;   /* the revision that was left */
    char *to;     /* the one that is in force instead */
    char *key;    /* render key of `from`: as long as the newest commit has it, nothing changes */
    char *commit; /* the newest that had it: of this one it stays so when values from the cluster,
                     what that serves or Gitmoor itself give it another key */
    char *reason;
    char *message;
    char *at;          /* RFC 3339 */
    bool needs_render; /* `to` has not been rendered yet */
    bool stands_in;    /* no rollback: see rollback_stand_in */
};

void rollback_free(struct rollback *rollback); /* NULL is fine */

/* Takes up again what a predecessor's status says. */
void rollback_adopt(struct application *application);
/* The annotation's value, or NULL. */
void rollback_take_request(struct application *application, const char *value);
/* Rolls back if the spec asks for it and the newest revision has failed. */
void rollback_step(struct application *application);
/* The newest revision cannot be rendered, and this process has never rendered another: what was
 * applied last is taken up, so that it is kept as it is. Nobody is told; the status tells what is
 * wrong with the newest. Ended by the first revision that can be rendered. */
void rollback_stand_in(struct application *application);
/* The newest revision is to be in force again; it is rendered by the caller. */
void rollback_end(struct application *application);

/* Whether a rendering of that commit, with that key, is of what was left and not of a newer commit
 * that changes the application. */
bool rollback_is_left(const struct rollback *rollback, const char *commit, const char *key);
/* It is: notes commit and key. What is in force is rendered anew if the key has changed, or if it
 * could not be rendered before. */
void rollback_note_left(struct application *application, const char *commit, const char *key);

/* The hex id of the commit that is in force. */
const char *rollback_commit(const struct rollback *rollback);

void rollback_set_status(const struct application *application, cJSON *status, cJSON *conditions);

#endif
