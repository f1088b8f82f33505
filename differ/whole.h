/* What has to wait until the other applications of the repository are rendered too.
 *
 * Applications of one commit are planned one by one, each as soon as its rendering is there: plain
 * manifests milliseconds after the commit, what other programs build when they have. Most of a
 * plan is nobody else's business and may go early: applying, repairing, hooks, judging health. What
 * is not, is whatever follows from another application NOT declaring an object. That is known only
 * once it has been rendered for the same commit, or a later one:
 *
 *   to prune           the object may have moved to the other one (reconcile.c)
 *   to hold a revision for all that it would delete: the same. And as a held revision writes
 *                      nothing, one that might be held waits altogether. The list can only get
 *                      shorter, so what does not seem dangerous now will not be then
 *   to tell a conflict the one that holds the object may have given it up in this commit, and one
 *                      that the live object names may still declare it (claims.c)
 *   to delete          all that an Application has because it is being deleted itself (deletion.c)
 *   to depend on it    the revision before being ready says nothing of this one (depends.c, by
 *                      application_is_ready)
 *
 * There is a doubt that time does not remove: files of another application that cannot be rendered,
 * or an Application that Git declares and nobody has made yet. What leaves this one may be declared
 * there. To delete it could not be undone, so it waits for a person: to mend the other, or to say
 * that deleting is meant (gitmoor approve). Only what has come up since this one had last nothing
 * to prune counts: whatever was moved was moved since, and what was broken before holds nobody up.
 *
 * Two that begin to declare the same object in one commit need not wait for that to be known: the
 * one that comes first has it, as ever, and the other is told. */
#ifndef GITMOOR_DIFFER_WHOLE_H
#define GITMOOR_DIFFER_WHOLE_H

#include "differ/application.h"

/* Whether `other` is of the same repository, and will be, but has not yet been, rendered for the
 * commit which that what `application` declares was rendered from. */
bool whole_lacks(const struct application *application, const struct application *other);

/* Some application of which that is so, or NULL: then nothing has to wait. */
const struct application *whole_awaited(const struct application *application);

/* Whether what leaves the application may be declared where nobody can read it, and why that is
 * doubted; for its newest revision, unless a person has approved that. */
bool whole_doubts(const struct application *application, struct buf *why);
/* Nothing of it is left to be pruned. */
void whole_note_swept(struct application *application);

/* Notes that the application waits, and why. */
void whole_wait(struct application *application, const char *message);
/* Wakes those that wait: another has been rendered, or never will be. */
void whole_wake(struct differ *differ);

#endif
