/* spec.adopt: IfApproved. Objects that somebody else has made, and that a revision would take over,
 * hold it until a person has looked at them: `gitmoor adopt`. By default what Git declares is
 * Gitmoor's at once. The differ sees labelled objects only, so that the server is asked: a dry-run
 * of what is new tells whether it exists already. */
#ifndef GITMOOR_DIFFER_ADOPTION_H
#define GITMOOR_DIFFER_ADOPTION_H

#include <stdbool.h>

struct application;
struct plan_item;
struct plan_outcome;
struct selection;

/* An operation of a check has been accepted. */
void adoption_note(struct application *application, const struct plan_item *item,
                   const struct plan_outcome *outcome);

/* Nothing is known any more of what others have made. */
void adoption_forget(struct application *application);

/* Whether the revision takes over what nobody has approved, and the outcome says so; or the server
 * is being asked. */
bool adoption_holds(struct application *application, const struct selection *selection);

#endif
