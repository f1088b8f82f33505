/* One operation of a plan as one request to the API server, and what the answer means. */
#ifndef GITMOOR_APPLIER_REQUEST_H
#define GITMOOR_APPLIER_REQUEST_H

#include "applier/plan.h"
#include "applier/result.h"
#include "common/kube/client.h"

/* The operation and `as` need not outlive the call, but the plan's text must. PLAN_RECREATE stands
 * for its first step, which is always a dry-run: whether the new object could be made (probe.h).
 * PLAN_RELEASE without a body is always a dry-run too, and changes nothing: the object is read that
 * way, since whoever may write it need not have the right to read it. */
struct kube_call *request_start(struct kube_client *client, const struct plan_operation *operation,
                                bool dry_run, const struct kube_impersonation *as,
                                int64_t timeout_ms, kube_response_fn done, void *context);

struct request_answer {
    struct result_success success; /* its strings live until the release */
    struct error error;            /* of a failure */
    char *managers;                /* of a success that told an object: the other managers */
    char *immutable;               /* of a failure: result_failure.immutable, or NULL */
    cJSON *object;                 /* internal */
};

/* True: the operation has succeeded. */
bool request_read_answer(const struct plan_operation *operation,
                         const struct kube_response *response, struct request_answer *ret);
/* Notes who else has written the object that was told. */
void request_find_managers(struct request_answer *answer);
void request_answer_release(struct request_answer *answer);

#endif
