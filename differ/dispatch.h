/* The plan under way: made of a selection, sent to the applier, sent again, cancelled, and in the
 * end turned into what is known of the objects. An application has one at a time. */
#ifndef GITMOOR_DIFFER_DISPATCH_H
#define GITMOOR_DIFFER_DISPATCH_H

#include "differ/selection.h"

/* Makes the application's plan and sends it; if that cannot be, its outcome says why. */
void dispatch_plan(struct application *application, const struct selection *selection, bool heal);

/* Sends what the selection asks for as a dry-run. */
/* Dry-runs everything of the revision that can be now, those of later waves included. */
void dispatch_check(struct application *application, const struct selection *selection);
void dispatch_question(struct application *application, const struct selection *selection);

/* Each time the application is looked at: sends the plan again when it has been silent for long,
 * and cancels it when it is of an older revision or the application is suspended. */
void dispatch_look_after(struct application *application);

/* A replica of the applier is gone: its plan goes to another. */
void dispatch_peer_gone(struct application *application, const struct bus_peer *peer);

/* The applier has restarted and knows nothing of the plan any more. */
void dispatch_applier_restarted(struct application *application);

/* Tells the applier to stop, and forgets the plan: what comes of it is seen in the cluster. */
void dispatch_cancel(struct application *application);

/* Forgets the plan, if there is one, and leaves the applier alone. */
void dispatch_forget(struct application *application);

/* ---- result.c ---- */

/* The applier's hint with a result. False: it cannot be understood. */
bool result_take_hint(struct differ *differ, struct bus_peer *peer, const cJSON *body);

#endif
