#include "differ/conditions.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/builds.h"
#include "differ/hooks.h"
#include "differ/repository.h"

#include <string.h>

struct verdict {
    const char *status; /* of the Ready condition */
    const char *reason;
    const char *message;
};

static const cJSON *repository_object(const struct application *application)
{
    return differ_source_object(application->differ, application->spec.source_namespace,
                                application->spec.repository);
}

static const char *repository_message(const struct application *application, struct buf *out)
{
    const cJSON *object = repository_object(application);
    const cJSON *ready = status_condition(json_get_path(object, "status.conditions"), "Ready");
    const char *namespace_ = application->spec.source_namespace;
    const char *kind, *name = object_source_name(application->spec.repository, &kind);
    if (!object) {
        buf_append_format(out, "%s %s/%s does not exist: create it, or correct spec.source.%s",
                          kind, namespace_, name,
                          text_equal(kind, "HelmRepository") ? "helmRepository" : "repository");
    } else if (ready && !text_equal(json_string(ready, "status"), "True")) {
        buf_append_format(out, "%s %s/%s is not ready: %s", kind, namespace_, name,
                          text_or_empty(json_string(ready, "message")));
    } else {
        buf_append_format(out, "waiting for the content of %s %s/%s", kind, namespace_, name);
    }
    return out->data;
}

static struct verdict rolled_back_verdict(const struct application *application, struct buf *text)
{
    const struct rollback *rollback = application->rollback;
    bool is_there = text_equal(application->revision, rollback->to);
    const char *status = rollback->needs_render && !is_there ? "Unknown" : "False";
    bool is_unhealthy = application->health_timed_out || application->health == HEALTH_FAILED;
    buf_append_string(text, text_or_empty(rollback->message));
    if (is_unhealthy && is_there) {
        buf_append_format(text, ". That is not healthy either: %s",
                          text_or_empty(application->health_message));
    }
    return (struct verdict){status, "RolledBack", text->data};
}

static struct verdict applied_verdict(const struct application *application, struct buf *text)
{
    bool wait = application->spec.health_wait;
    const struct rollback *rollback = application->rollback;
    if (rollback) {
        return rolled_back_verdict(application, text);
    }
    bool waves = application->outcome == OUTCOME_WAVE; /* they wait for health in any case */
    if ((wait || waves) &&
        (application->health_timed_out || application->health == HEALTH_FAILED)) {
        buf_append_format(text, "applied %s, but it is not healthy: %s", application->revision,
                          text_or_empty(application->health_message));
        return (struct verdict){"False", "HealthCheckFailed", text->data};
    }
    if (application->outcome == OUTCOME_WAVE) {
        buf_append_format(text, "%s: %s", application->outcome_message,
                          text_or_empty(application->health_message));
        return (struct verdict){"Unknown", "Progressing", text->data};
    }
    if (wait && application->health != HEALTH_CURRENT) {
        buf_append_format(text, "applied %s, waiting for health: %s", application->revision,
                          text_or_empty(application->health_message));
        return (struct verdict){"Unknown", "Progressing", text->data};
    }
    if (hooks_failure(application)) {
        buf_append_format(text, "applied %s, but the %s", application->revision,
                          hooks_failure(application));
        return (struct verdict){"False", "HookFailed", text->data};
    }
    if (!hooks_are_done(application)) {
        const char *hook = hooks_waited_for(application);
        buf_append_format(text, "applied %s, %s", application->revision,
                          hook ? hook : "its hooks are run");
        return (struct verdict){"Unknown", "Progressing", text->data};
    }
    buf_append_format(text, "applied %s", application->revision);
    return (struct verdict){"True", "Applied", text->data};
}

static struct verdict judge(const struct application *application, struct buf *text)
{
    const char *message = application->outcome_message;
    const struct rollback *rollback = application->rollback;
    bool suspended = application->spec.suspend;
    if (application->deleting) {
        if (application->outcome == OUTCOME_FAILED || application->outcome == OUTCOME_DENIED) {
            buf_append_format(text,
                              "%s. Until then the Application stays; spec.deletionPolicy: Orphan "
                              "lets it go without them",
                              message);
            return (struct verdict){"False", "DeletionFailed", text->data};
        }
        return (struct verdict){"False", "Deleting",
                                message ? message : "deleting what it manages"};
    }
    if (application->outcome == OUTCOME_DENIED && !suspended) {
        return (struct verdict){"False", TENANCY_REASON, message};
    }
    const char *trouble = application->build.trouble;
    if (!trouble) {
        trouble =
            repository_trouble(application_repository(application),
                               application->needs_render ||
                                   (rollback && rollback->needs_render && !rollback->stands_in));
    }
    if (trouble && !suspended) {
        return (struct verdict){"False", "RenderFailed", trouble};
    }
    if (!suspended && !application->rendered && builds_is_under_way(application)) {
        return (struct verdict){"Unknown", "Progressing", "it is being rendered"};
    }
    if (!suspended && (!application->rendered || !repository_object(application))) {
        return (struct verdict){"False", "RepositoryNotReady",
                                repository_message(application, text)};
    }
    switch (application->outcome) {
    case OUTCOME_INVALID:
        return (struct verdict){"False", "Invalid", message};
    case OUTCOME_DENIED:
        return (struct verdict){"False", TENANCY_REASON, message};
    case OUTCOME_FAILED:
        return (struct verdict){"False", "ApplyFailed", message};
    case OUTCOME_HELD:
        return (struct verdict){"False", "Held", message};
    case OUTCOME_BLOCKED:
        return (struct verdict){"False", "DependencyNotReady", message};
    case OUTCOME_DELETING:
        return (struct verdict){"False", "Deleting", message};
    case OUTCOME_ADOPTION:
        return (struct verdict){"False", "AdoptionNotApproved", message};
    case OUTCOME_WINDOW:
        return (struct verdict){"False", "SyncWindowClosed", message};
    case OUTCOME_HOOK_FAILED:
        return (struct verdict){"False", "HookFailed", message};
    case OUTCOME_WAITING:
        return (struct verdict){"Unknown", "Waiting", message};
    case OUTCOME_HOOK:
    case OUTCOME_RENDERING:
        return (struct verdict){"Unknown", "Progressing", message};
    case OUTCOME_APPLIED:
    case OUTCOME_WAVE:
        return applied_verdict(application, text);
    case OUTCOME_NONE:
        break;
    }
    buf_append_format(text, "applying %s", text_or_empty(application->revision));
    return (struct verdict){"Unknown", "Progressing", text->data};
}

/* A suspended application says what it said when it was suspended. */
static struct verdict suspended_verdict(const cJSON *conditions)
{
    const cJSON *ready = status_condition(conditions, "Ready");
    if (!ready) {
        return (struct verdict){"Unknown", "Suspended", "suspended before it was ever applied"};
    }
    return (struct verdict){json_string(ready, "status"), json_string(ready, "reason"),
                            json_string(ready, "message")};
}

/* A GitRepository that does not exist, or is well but cannot be rendered from, tells nobody: once,
 * an Event of the Application does. Outcomes have their own (outcome.c). */
static void tell_repository_trouble(struct application *application, const cJSON *conditions,
                                    const struct verdict *verdict)
{
    const cJSON *ready = status_condition(conditions, "Ready");
    bool missing =
        text_equal(verdict->reason, "RepositoryNotReady") && !repository_object(application);
    if ((missing || text_equal(verdict->reason, "RenderFailed")) &&
        !text_equal(json_string(ready, "message"), verdict->message)) {
        status_event(application, "Warning", verdict->reason, "Reconcile", verdict->message);
    }
}

static void set_ready(struct application *application, cJSON *conditions)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 32768);
    struct verdict verdict = application->spec.suspend && application->outcome == OUTCOME_NONE
                                 ? suspended_verdict(conditions)
                                 : judge(application, &text);
    int64_t generation = application->generation;
    tell_repository_trouble(application, conditions, &verdict);
    status_set_condition(conditions, "Ready", verdict.status, verdict.reason,
                         text_or_empty(verdict.message), generation);
    bool retrying = application->retry_at > 0 && application->outcome != OUTCOME_APPLIED;
    if (text_equal(verdict.status, "Unknown") || application->plan || retrying ||
        application->outcome == OUTCOME_BLOCKED || application->outcome == OUTCOME_WINDOW) {
        status_set_condition(conditions, "Reconciling", "True",
                             retrying ? "ProgressingWithRetry" : "Progressing",
                             text_or_empty(verdict.message), generation);
    } else {
        status_remove_condition(conditions, "Reconciling");
    }
    bool refused =
        application->outcome == OUTCOME_INVALID || application->outcome == OUTCOME_DENIED;
    bool stalled = refused && !retrying;
    bool stays = application->rollback && application->outcome == OUTCOME_APPLIED;
    bool hook_failed = text_equal(verdict.reason, "HookFailed");
    if (stalled || stays || hook_failed || application->outcome == OUTCOME_HELD ||
        application->outcome == OUTCOME_ADOPTION) {
        status_set_condition(conditions, "Stalled", "True", verdict.reason,
                             text_or_empty(verdict.message), generation);
    } else {
        status_remove_condition(conditions, "Stalled");
    }
}

static void set_healthy(struct application *application, cJSON *conditions)
{
    int64_t generation = application->generation;
    bool waits = application->outcome == OUTCOME_WINDOW && application->settled;
    if (application->outcome != OUTCOME_APPLIED && application->outcome != OUTCOME_WAVE && !waits) {
        return; /* of the last applied revision, as it was */
    }
    if (application->health == HEALTH_CURRENT) {
        status_set_condition(conditions, "Healthy", "True", "Healthy", "every object is current",
                             generation);
    } else if (application->health_timed_out || application->health == HEALTH_FAILED) {
        status_set_condition(conditions, "Healthy", "False", "Unhealthy",
                             text_or_empty(application->health_message), generation);
    } else {
        status_set_condition(conditions, "Healthy", "Unknown", "Progressing",
                             text_or_empty(application->health_message), generation);
    }
}

static void set_drifted(struct application *application, cJSON *conditions)
{
    int64_t generation = application->generation;
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    if (application->fight) {
        status_set_condition(conditions, "Drifted", "True", "Fight", application->fight,
                             generation);
    } else if (application->counts.drifted > 0) {
        buf_append_format(&text, "%zu objects differ from Git", application->counts.drifted);
        const char *reason = application->spec.suspend            ? "Suspended"
                             : !application->spec.self_heal       ? "SelfHealOff"
                             : break_glass_holds(application)     ? "BreakGlass"
                             : waiting_holds_repairs(application) ? "SyncWindowClosed"
                                                                  : "RepairWaits";
        status_set_condition(conditions, "Drifted", "True", reason, text.data, generation);
    } else {
        status_set_condition(conditions, "Drifted", "False", "InSync",
                             "every object is as Git declares it", generation);
    }
}

void conditions_set(struct application *application, cJSON *conditions)
{
    set_ready(application, conditions);
    set_healthy(application, conditions);
    set_drifted(application, conditions);
}
