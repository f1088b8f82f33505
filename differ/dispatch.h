/* The plan under way: made of a selection, sent to the applier, sent again, cancelled, and in the
 * end turned into what is known of the objects. An application has one at a time. */
#ifndef GITMOOR_DIFFER_DISPATCH_H
#define GITMOOR_DIFFER_DISPATCH_H

#include "differ/selection.h"

/* Makes the application's plan and sends it; if that cannot be, its outcome says why. */
void dispatch_plan(struct application *application, const struct selection *selection, bool heal);

/* Dry-runs everything of the revision that can be now, those of later waves and hooks included. */
void dispatch_check(struct application *application, const struct selection *selection);
/* Sends what the selection asks for as a dry-run. */
void dispatch_question(struct application *application, const struct selection *selection);

/* Hooks that are to be created for the run, and live ones that are to go. */
struct hook_work {
    char *run; /* HOOK_RUN_ANNOTATION of those that are created */
    const struct desired_hook **applies;
    size_t apply_count;
    const struct live_object **deletes;
    size_t delete_count;
    bool is_last_resort; /* whatever cannot be created is given up */
};
void dispatch_hooks(struct application *application, const struct hook_work *work);

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
