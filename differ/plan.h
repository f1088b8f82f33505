/* Plans for the applier, and its results: both are lines of JSON (ARCHITECTURE.md). */
#ifndef GITMOOR_DIFFER_PLAN_H
#define GITMOOR_DIFFER_PLAN_H

#include "common/base/buf.h"
#include "common/kube/resource.h"
#include "differ/desired.h"

#define PLAN_MAXIMUM ((size_t)256 << 20) /* bytes of one plan's text */
#define PLAN_MESSAGE_SIZE 1024

struct plan_head {
    const char *id;
    const char *namespace_, *name, *uid; /* of the Application */
    const char *revision;
    bool dry_run;   /* change nothing: what would the server make of it? */
    bool preflight; /* dry-run each stage before its first write */
    bool heal;      /* repairs drift: goes before what waits */
};

struct plan {
    struct buf text;
    size_t operations;
};

void plan_begin(struct plan *plan, const struct plan_head *head);
void plan_release(struct plan *plan);

/* `after`: the stage it depends on, or -1. */
void plan_apply(struct plan *plan, unsigned stage, int after, const struct desired_object *object);
/* Deletes the object of that UID, waits until it is gone, applies. */
void plan_recreate(struct plan *plan, unsigned stage, int after,
                   const struct desired_object *object, const char *uid);
/* `owners`: managedFields as JSON text, for the object in this very version. */
void plan_owners(struct plan *plan, unsigned stage, const struct kube_resource *resource,
                 const char *namespace_, const char *name, uint64_t version, const char *owners);
void plan_delete(struct plan *plan, unsigned stage, const struct kube_resource *resource,
                 const char *namespace_, const char *name, const char *uid);
/* The object goes last, after all that belongs to it: the Pods of a Job. */
void plan_delete_after_its_own(struct plan *plan, unsigned stage,
                               const struct kube_resource *resource, const char *namespace_,
                               const char *name, const char *uid);

/* Takes our marks off the object of that UID: it stays, and is nobody's. */
void plan_give_up(struct plan *plan, unsigned stage, const struct kube_resource *resource,
                  const char *namespace_, const char *name, const char *uid);

/* Puts our finalizer on the plan's Application, or takes it away. */
void plan_finalizer(struct plan *plan, unsigned stage, bool adds);

/* ---- Results ---- */

struct plan_outcome {
    size_t index;   /* of the operation in the plan */
    bool preflight; /* of its dry-run; otherwise of the write */
    bool ok;
    const char *uid;
    const char *resource_version;
    struct digest fingerprint;
    int status;         /* HTTP, 0: no answer */
    const char *reason; /* Status.reason, "" if none */
    const char *message;
    bool retryable;
    const char *managers; /* of a dry-run: who else has written the object, or NULL */
    const char
        *immutable; /* the fields that cannot be changed, and nothing else is wrong; or NULL */
};

struct plan_result {
    const char *outcome; /* "applied", "invalid", "failed", "cancelled" */
    int64_t requests;
    bool not_allowed;                /* refused as a whole: the tenancy settings do not allow it */
    char message[PLAN_MESSAGE_SIZE]; /* why the plan as a whole came to nothing, or "" */
    /* Called for each operation that was tried, in no particular order. */
    void (*each)(const struct plan_outcome *outcome, void *context);
    void *context;
};

/* Parses a result's text: fills outcome (static text), requests and message, and calls `each`.
 * False if malformed; then `each` may have been called for the lines before. */
bool plan_result_parse(const char *text, size_t size, struct plan_result *result,
                       struct error *error);

#endif
