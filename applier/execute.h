/* Carries out one plan: the dry-runs, then stage by stage. It starts one request at a time, when it
 * is asked to, so that many plans can share what may be in flight (schedule.h).
 *
 * Waves: a wave is what may be in flight together: the dry-run of what depends on nothing that is
 * still to be applied, or one stage. A wave with a failure is the last one, but is finished, so
 * that all its errors are reported. */
#ifndef GITMOOR_APPLIER_EXECUTE_H
#define GITMOOR_APPLIER_EXECUTE_H

#include "applier/plan.h"
#include "applier/result.h"
#include "common/kube/client.h"

struct execution;

struct execution_options {
    struct event_base *base;
    struct kube_client *client;
    const struct plan *plan;             /* outlives the execution */
    const struct kube_impersonation *as; /* copied */
    int64_t request_timeout_ms;
    /* Something has changed: an answer has come (with whether the server was congested, and how
     * long it took), or a retry is due (answered is false). The last thing that the execution does
     * then: the callback may free it. */
    void (*progress)(struct execution *execution, bool answered, bool congested, void *context);
    void *context;
};

struct execution *execution_new(const struct execution_options *options);
/* Cancels what is in flight, without a callback. */
void execution_free(struct execution *execution);

/* Starts the next request, if there is one that may start now. */
bool execution_start_next(struct execution *execution);
/* Whether all is over, and the result complete. */
bool execution_is_finished(struct execution *execution);
/* Nothing more is started; finished once what is in flight has been answered. */
void execution_cancel(struct execution *execution);

/* Once finished: the result's text, for the caller to free. */
char *execution_result(const struct execution *execution, size_t *ret_size);
enum result_outcome execution_outcome(const struct execution *execution);

#endif
