/* Break-glass: a person may edit what Git declares, in an emergency and with a reason.
 *
 * spec.breakGlass {until, reason, by} suspends the repairs of an application until then; commits go
 * on being applied. It stands in the Application, so that it outlives restarts and a change of
 * replica, and it ends by the clock: nobody has to come back for it. `gitmoor break-glass` sets it.
 *
 * What admission lets through by break-glass (the reason is an annotation of the object, DESIGN §6)
 * is not told by admission, which must not be needed for it: the watch sees it. */
#ifndef GITMOOR_DIFFER_BREAK_GLASS_H
#define GITMOOR_DIFFER_BREAK_GLASS_H

#include "common/data/json.h"

struct application;

struct break_glass {
    int64_t until; /* wall ms; 0: not asked for */
    char *reason;
    char *by; /* who says to have asked for it, or NULL */
};

/* Whether repairs are suspended now. */
bool break_glass_holds(const struct application *application);

/* Tells when it begins and ends, as an Event, and wakes the application for the end. */
void break_glass_step(struct application *application);

/* The condition BreakGlass, and status.breakGlass; neither while repairs are made. */
void break_glass_set_status(const struct application *application, cJSON *status);

#endif
