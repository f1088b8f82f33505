/* Which plan's request goes next.
 *
 * One plan per Application at a time; a newer plan takes the place of an older one that waits. All
 * the plans under way share the window of requests in flight (pace.h) in turns, so that a plan of
 * thousands does not delay a small one; plans that repair drift go first. A plan whose Application
 * is not known waits a little for the watch to tell of it. */
#ifndef GITMOOR_APPLIER_SCHEDULE_H
#define GITMOOR_APPLIER_SCHEDULE_H

#include "applier/identity.h"
#include "applier/pace.h"
#include "applier/plan.h"
#include "applier/result.h"

struct schedule;

struct schedule_options {
    struct event_base *base;
    struct kube_client *client;
    const struct identities *identities;
    const struct tenancy_file *tenancy; /* may be NULL: no settings */
    unsigned window_maximum;
    int64_t request_timeout_ms;
    int64_t identity_timeout_ms;  /* how long a plan waits for its Application to be known */
    const char *const *user_name; /* the applier's own, as it is when a plan starts */
    /* A plan is over. `text` (size bytes) is the callee's to free. */
    void (*finished)(const char *id, enum result_outcome outcome, char *text, size_t size,
                     void *context);
    void *context;
};

struct schedule *schedule_new(const struct schedule_options *options);
void schedule_free(struct schedule *schedule);

/* Takes the plan and the text that it points into. The id must be new to the schedule. */
void schedule_submit(struct schedule *schedule, struct plan *plan, char *text, size_t size);
bool schedule_has(const struct schedule *schedule, const char *id);
/* What has not been started is dropped; then the plan is finished as cancelled. */
void schedule_cancel(struct schedule *schedule, const char *id);
void schedule_cancel_all(struct schedule *schedule);
/* What identities_find answers may have changed. */
void schedule_identities_changed(struct schedule *schedule);

size_t schedule_count(const struct schedule *schedule); /* plans held */
size_t schedule_bytes(const struct schedule *schedule); /* of their texts */
const struct pace *schedule_pace(const struct schedule *schedule);

#endif
