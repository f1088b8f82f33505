/* What other programs render (Kustomize, Helm, generators; SOPS decrypts): one queue of the whole
 * process, of which --builds are built at once, each by a run (run.h) that builds a few, one after
 * the other.
 *
 * Repositories take turns: whoever has the fewest runs under way is next, and of several the one
 * that has waited for longest. So a hundred slow ones of one repository hold up another's by one
 * build at most, and plain manifests, which need no run of these, not at all.
 *
 * A build that fails for other reasons than its files (it was killed, the disk is full) is tried
 * again with growing pauses, by itself: nobody else waits for it. */
#ifndef GITMOOR_DIFFER_BUILDS_H
#define GITMOOR_DIFFER_BUILDS_H

#include "differ/differ.h"

struct builds;
struct run;

void builds_open(struct differ *differ);
void builds_close(struct differ *differ);

/* The application is to be built; `key`, its render key, tells whether that is what is under way
 * already. To be followed by builds_step. */
void builds_want(struct application *application, const char *key);
/* What is due, or under way, is not wanted any more. A build of an earlier revision, which it was
 * rolled back to, goes on. */
void builds_drop(struct application *application);
/* Nothing is, whatever the revision. */
void builds_forget(struct application *application);

/* The run's answer for it has been taken. */
void builds_note_answer(struct application *application);
/* It has none, for a reason that may pass. */
void builds_note_failure(struct application *application, const char *message);

/* Whether the newest revision is being built, or is to be. */
bool builds_is_under_way(const struct application *application);

/* Begins what is due, as far as the bound allows. */
void builds_step(struct differ *differ);

#endif
