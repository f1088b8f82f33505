/* One Application: what it asks for, what Git declares for it, what is under way. */
#ifndef GITMOOR_DIFFER_APPLICATION_H
#define GITMOOR_DIFFER_APPLICATION_H

#include "common/data/packed.h"
#include "differ/deletion.h"
#include "differ/desired.h"
#include "differ/differ.h"
#include "differ/plan.h"
#include "differ/rollback.h"
#include "differ/spec.h"
#include "differ/waiting.h"
#include "differ/wave.h"

struct approval;
struct chart_values;
struct hook_pod;
struct repository;
struct recognition;
struct run;

/* One operation of the plan under way: enough to understand its result, whatever has become of the
 * desired set meanwhile. */
struct plan_item {
    struct object_ref ref;
    const char *key;
    struct digest digest; /* of the text that was sent; zero for a deletion */
    const char *uid;      /* of what is deleted or given up; NULL for an apply */
    const char *file;
    unsigned line;
    const char *run;   /* of a hook that is created, or NULL (hooks.h) */
    bool heals;        /* it repairs drift */
    bool keeps;        /* it says that it stays when it leaves Git */
    bool owners;       /* it writes managedFields only */
    bool recreates;    /* it is deleted first */
    bool gives_up;     /* it is let go of, not deleted */
    bool finalizer;    /* it writes the Application's finalizer */
    bool adds;         /* …there; else away */
    uint64_t version;  /* resourceVersion before, 0 if it did not exist */
    bool done, failed; /* as the result says; neither: it was not tried */
};

/* A plan at the applier, or on its way there. */
struct plan_under_way {
    struct arena arena;
    char *id;
    struct plan_item *items;
    size_t count;
    struct bus_peer *applier; /* it was sent to, NULL: that one is gone */
    struct digest blob;       /* pinned in the bus's store; zero if the text fits a hint */
    size_t blob_size;
    char *text;           /* of a small plan; NULL otherwise */
    uint64_t hint;        /* to unsend */
    bool checks;          /* a dry-run of all waves, before the first is applied */
    bool hooks;           /* it creates and deletes hooks, and does nothing else */
    bool last_resort;     /* what it cannot create is given up */
    bool standing;        /* of no revision: a newer one is no reason to stop */
    bool heal;            /* it repairs drift and does nothing else */
    bool dry_run;         /* it writes nothing: what would the server make of the objects? */
    bool cancelled;       /* it was told to stop */
    bool result_fetching; /* its result is a blob on its way */
    char *revision;
    int64_t started, resend_at; /* monotonic ms */
};

struct application_counts {
    size_t desired, in_sync, drifted, unhealthy;
};

/* Its rendering by other programs (builds.h). */
struct build {
    bool is_due;
    uint64_t since;    /* when it came to be due, in an order of all */
    char *key;         /* render key of what is due, or being built; or NULL */
    struct run *run;   /* that builds it, or NULL */
    unsigned failures; /* in a row: of the run, not of the files */
    int64_t retry_at;  /* monotonic ms: not begun before */
    char *trouble;     /* why the last one has failed, or NULL */
};

enum application_outcome {
    OUTCOME_NONE,        /* nothing has come of the newest set yet */
    OUTCOME_WAITING,     /* for the watch of a kind */
    OUTCOME_RENDERING,   /* for another application to be rendered (whole.h) */
    OUTCOME_INVALID,     /* it does not render, or the preflight refused it */
    OUTCOME_DENIED,      /* the tenancy settings refuse something of it */
    OUTCOME_FAILED,      /* a write failed */
    OUTCOME_HELD,        /* it would delete everything, and nobody has confirmed that */
    OUTCOME_WAVE,        /* the objects of a wave are applied, and not healthy yet */
    OUTCOME_HOOK,        /* hooks are run before it is applied */
    OUTCOME_HOOK_FAILED, /* one of them has failed: it is not applied */
    OUTCOME_BLOCKED,     /* what it depends on is not ready */
    OUTCOME_DELETING,    /* it is being deleted, and waits for its objects to go */
    OUTCOME_ADOPTION,    /* it takes over objects of others, and nobody has approved that */
    OUTCOME_WINDOW,      /* the newest revision waits for a sync window */
    OUTCOME_APPLIED,     /* the cluster is what Git declares */
};

struct application {
    struct differ *differ;
    char *key; /* "namespace/name" */
    char *namespace_, *name, *uid;
    char label[OBJECT_LABEL_VALUE_SIZE];
    int64_t generation;
    struct application_spec spec;
    char *reconcile_requested; /* value of the annotation, or NULL */
    char *approved_revision;   /* value of the annotation, or NULL */
    char *adopt_revision;      /* value of the annotation, or NULL */
    char *sync_revision;       /* value of the annotation, or NULL */
    char *awaited_revision;    /* value of the annotation, or NULL */

    bool needs_render; /* the next look has it rendered even if its files did not change */
    bool looking;      /* the look under way is to answer for it, as it was when that began */
    bool forced;       /* that look was to render it in any case */
    bool rendered;     /* as its spec is now; or it is known that it cannot be */
    struct build build;
    /* Numbers of commits (repository.h); 0: none. */
    uint64_t looked;   /* the newest at whose files was looked */
    uint64_t answered; /* the newest whose rendering was taken: less while a build is due */
    uint64_t since;    /* that which what is in force was rendered from when it was taken */
    uint64_t unread;   /* whose files of it could not be rendered, if those are the newest; or 0 */
    uint64_t swept;    /* the newest of which nothing was left to be pruned */
    bool awaits;       /* it waits for others to be rendered: whole.h */
    bool is_chart;     /* as it was rendered last */
    struct chart_values *values; /* what its spec takes from the cluster, or NULL */
    char *render_key;            /* of the newest revision; NULL if there is none */
    char *attempted;             /* the newest revision; NULL before the first */
    char *inherited;             /* the revision that a predecessor had applied, or NULL */
    char *revision;              /* of `desired` */
    struct desired_set *desired;
    struct problems
        render_problems;      /* of the newest revision; then `desired` must not be applied */
    struct problems denied;   /* what the tenancy settings refuse; then it is not applied either */
    struct problems foreign;  /* what it would take over from others, as far as is known */
    struct map others;        /* the same: from keys to UIDs */
    struct problems kept;     /* what would be pruned, but for the tenancy settings and the like */
    bool source_denied;       /* among `denied` is its source: nothing is rendered */
    bool frozen;              /* its source or service account: nothing is repaired either */
    struct map unknown_kinds; /* among the problems: "group/version/Kind" that was not served */

    bool recognised; /* what was applied before it came here is known: recognise.c */
    struct recognition *recognition; /* under way, or NULL */

    cJSON *hooks;              /* which hooks have been run for what: hooks.h; or NULL */
    struct hook_pod *hook_pod; /* asked why a Job failed; or NULL */
    char *hook_waited_for;     /* which after the revision is applied; or NULL */

    struct rollback *rollback; /* an earlier revision is in force, or is to be; or NULL */
    char *rollback_requested;  /* value of the annotation, dealt with by this process; or NULL */
    struct approval *approvals[2]; /* by enum approval_for (approval.h): what waits for a word */
    char adopted[DIGEST_HEX_SIZE]; /* the list of others' objects that was approved last, or "" */

    bool deleting;      /* it has a deletionTimestamp (deletion.h) */
    bool has_finalizer; /* of ours, as it was told or written last */

    struct waiting *waiting; /* the newest revision, while it may not be applied; or NULL */
    bool begun;              /* something of `desired` was written, or nothing had to be */
    bool spec_changed;       /* since what is in force was rendered */
    int64_t repairs_open_at; /* wall ms: when a window for repairs opens; 0: not looked up */

    struct plan_under_way *plan; /* or NULL */
    bool saving;                 /* kinds and namespaces are being written before the plan */
    struct problems problems;    /* of the last plan, or of what others declare too */
    enum application_outcome outcome;
    char *outcome_message; /* or NULL */
    bool repair_failed;    /* and that is what the outcome says */
    bool judged;           /* there has been an outcome since start */
    bool settled;          /* nothing was left to do for `desired` */
    bool was_ready;        /* after the last work */
    int wave;              /* the one under way, WAVE_ALL if there is none (wave.h) */
    char *checked;         /* the revision whose waves were all dry-run, or NULL */
    bool conflicted;       /* another application holds what it declares */
    bool fresh;            /* a revision was applied whose history entry is not written yet */
    size_t changed, pruned, released; /* by the plans of that revision */
    unsigned failures;                /* in a row, for the backoff */
    int64_t retry_at;                 /* monotonic ms; 0: at once */

    int64_t discovery_at;     /* monotonic ms: not asked for newer discovery before */
    unsigned discovery_tries; /* in a row, for the backoff */

    int64_t unhealthy_since; /* monotonic ms; 0: it is healthy, or not looked at */
    bool health_timed_out;
    enum health_status health;
    char *health_message;
    struct application_counts counts;
    char *fight; /* which object is changed again and again, what of it, by whom; or NULL */
    size_t fights;
    unsigned unwell; /* enum gauges_problem, as the status was last made */

    cJSON *drift_log;         /* differ/drift_log.h; never NULL */
    int64_t status_told_at;   /* monotonic ms: when the status was written last */
    int64_t break_glass_told; /* wall ms until when, as was told last; 0: that it is over */
    bool break_glass_known;   /* the former has been read from the status */

    struct packed *status; /* as we wrote or read it last; never NULL, nor is its tree */
    struct kube_call *status_call;
    bool status_dirty;       /* the last write failed */
    int64_t status_retry_at; /* monotonic ms: not written before */
    int64_t busy_since;      /* monotonic ms; 0: idle. Told only when it lasts */

    struct event *timer; /* wakes it for retry, deadline, or to tell that it is busy */
    struct application *queue_next;
    bool queued;
};

/* Whatever held it back is tried again at once. */
void application_try_at_once(struct application *application);

/* Called for each change of an Application object; `now` NULL: it is gone. */
void application_changed(struct differ *differ, const char *namespace_, const char *name,
                         const cJSON *now);
void application_free(struct application *application);

/* Puts it into the queue of those that application_work is called for, in this turn of the loop. */
void application_wake(struct application *application);
void application_wake_all(struct differ *differ);
/* At the latest after so many milliseconds. */
void application_wake_after(struct application *application, int64_t milliseconds);

/* "namespace/name" of the GitRepository that its spec names; the caller frees. */
char *application_source(const struct application *application);
/* The repository that its spec names. */
struct repository *application_repository(const struct application *application);

/* Whether the newest revision of its repository is applied, and healthy if that is waited for. */
bool application_is_ready(const struct application *application);

/* Looks at everything and does what is due. */
void application_work(struct application *application);
/* How long until it tries again, in milliseconds, after work that has begun then: 0 if that came to
 * be due while it worked, and so may have been looked at too early. -1: it was due before. */
int64_t application_retry_left(const struct application *application, int64_t began, int64_t now);

/* Takes a newly rendered set (NULL if it has problems) of a revision: the newest, or, with
 * render_key NULL, the one that it was rolled back to. */
void application_set_desired(struct application *application, struct desired_set *desired,
                             const char *render_key, const char *revision);

/* ---- reconcile.c ---- */
void reconcile_step(struct application *application);
/* Whether the live objects of every kind that was ever applied are known. */
bool reconcile_knows_former_kinds(struct application *application);

/* ---- outcome.c ---- */
void outcome_set(struct application *application, enum application_outcome outcome,
                 const char *message);
void outcome_set_from_problems(struct application *application, enum application_outcome outcome,
                               const struct problems *problems);
/* The next try is a matter of time, and the longer the more often it has failed. */
void outcome_back_off(struct application *application);

/* ---- health.c ---- */
enum health_status health_of_object(const struct desired_object *object,
                                    const struct live_object *live); /* live: or NULL */
void health_step(struct application *application);

/* ---- status.c ---- */
void status_step(struct application *application);
/* Whether something is under way; they are counted. */
void status_set_busy(struct application *application, bool busy);
/* Records an Event about the Application. */
void status_event(struct application *application, const char *type, const char *reason,
                  const char *action, const char *note);
/* Whether status lists these kinds and namespaces, and the hooks and what was approved as they are,
 * already; if not, writes them (and wakes the application when that is done) and returns false. */
bool status_save_inventory(struct application *application);

#endif
