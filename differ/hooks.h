/* The hooks of an application: run once for each revision that is attempted.
 *
 * What has been run is in the status (`status.hooks`, the record), and what runs says on the live
 * object for which run it is (HOOK_RUN_ANNOTATION). The record of an attempt is written before its
 * first hook is created, the end of a hook before whatever follows from it: the next wave, the
 * commit itself, the hook's deletion. So whoever is killed at whatever instant, the successor sees
 * which hooks have ended and which exist, and neither runs one twice nor leaves one out.
 *
 * An attempt is a revision of another render key and other objects than the one before it: a
 * restart, drift, or a change of what a chart is told of the cluster makes none. An earlier
 * revision that is put back runs no hooks. */
#ifndef GITMOOR_DIFFER_HOOKS_H
#define GITMOOR_DIFFER_HOOKS_H

#include "differ/selection.h"

/* Whether hooks of the newest revision have to be run before it is applied. */
bool hooks_are_due(const struct application *application);

/* Whether the revision may be applied now, as far as hooks go. Else the next step is made, or the
 * outcome says what is waited for, or has failed. */
bool hooks_let_apply(struct application *application, const struct selection *selection);

/* After the health has been judged: hooks of the other moments, and deletions. */
void hooks_step(struct application *application);

/* Whether all hooks before and after have succeeded, or there are none. */
bool hooks_are_done(const struct application *application);
/* Why the revision has failed: a hook, "before" or "after"; NULL: none has. */
const char *hooks_failure(const struct application *application);
/* Whether failure hooks are still to be run, or run, and may take so long. */
bool hooks_hold_rollback(struct application *application);
/* What is waited for, or NULL. */
const char *hooks_waited_for(const struct application *application);

/* The revision was left for an earlier one: if it comes again, that is another attempt. */
void hooks_end_attempt(struct application *application);

/* What the applier answered of a hook: it was created, or could not be. */
void hooks_note_created(struct application *application, const char *key, const char *run);
void hooks_note_refused(struct application *application, const char *key, const char *run,
                        const char *message);

void hooks_set_status(const struct application *application, cJSON *status);

#endif
