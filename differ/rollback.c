#include "differ/rollback.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/application.h"
#include "differ/break_glass.h"
#include "differ/hooks.h"
#include "differ/repository.h"

#include <string.h>

#define CANCEL "none"

static struct metric rollbacks = {
    .name = "gitmoor_differ_rollbacks_total",
    .help = "Applications rolled back, by cause: HealthCheckFailed, HookFailed or Requested.",
    .type = METRIC_COUNTER,
    .label = "cause",
};

void rollback_free(struct rollback *rollback)
{
    if (rollback) {
        free(rollback->from);
        free(rollback->to);
        free(rollback->key);
        free(rollback->commit);
        free(rollback->reason);
        free(rollback->message);
        free(rollback->at);
        free(rollback);
    }
}

/* "main@sha1:<hex>": names of branches may hold anything, commits cannot. */
static const char *commit_of(const char *revision)
{
    const char *colon = strrchr(text_or_empty(revision), ':');
    return colon ? colon + 1 : text_or_empty(revision);
}

const char *rollback_commit(const struct rollback *rollback)
{
    return commit_of(rollback->to);
}

bool rollback_is_left(const struct rollback *rollback, const char *commit, const char *key)
{
    return rollback && !rollback->stands_in &&
           (text_equal(key, rollback->key) || text_equal(commit, rollback->commit));
}

static void replace(char **field, const char *value)
{
    char *copy = mem_string(value);
    free(*field);
    *field = copy;
}

void rollback_note_left(struct application *application, const char *commit, const char *key)
{
    struct rollback *rollback = application->rollback;
    rollback->needs_render |=
        !text_equal(key, rollback->key) || !text_equal(application->revision, rollback->to);
    replace(&rollback->key, key);
    replace(&rollback->commit, commit);
    replace(&application->render_key, key);
}

static void put(struct application *application, struct rollback *rollback)
{
    rollback_free(application->rollback);
    rollback->needs_render = true;
    application->rollback = rollback;
}

static void begin(struct application *application, const char *to, const char *reason,
                  const char *message)
{
    char now[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(clock_wall_ms(), now);
    struct rollback *rollback = NEW(struct rollback);
    const struct repository *repository = application_repository(application);
    bool is_newest = application->answered == repository->sequence;
    *rollback = (struct rollback){
        .from = mem_string(application->attempted),
        .to = mem_string(to),
        .key = mem_string(application->render_key),
        .commit = mem_string(is_newest ? repository->commit : commit_of(application->attempted)),
        .reason = mem_string(reason),
        .message = mem_string(message),
        .at = mem_string(now),
    };
    hooks_end_attempt(application);
    put(application, rollback);
    metric_add(&rollbacks, reason, 1);
    log_warn("rolling back", "application", application->key, "to", to, "message", message);
    status_event(application, "Warning", "RolledBack", "Rollback", message);
    repository_step(application_repository(application));
    application_wake(application);
}

/* ---- By itself ---- */

void rollback_step(struct application *application)
{
    const char *healthy = json_string(packed_tree(application->status), "lastHealthyRevision");
    bool is_applied = application->outcome == OUTCOME_APPLIED && application->settled;
    bool failed = (is_applied || application->outcome == OUTCOME_WAVE) &&
                  (application->health == HEALTH_FAILED || application->health_timed_out);
    const char *hook = is_applied ? hooks_failure(application) : NULL;
    failed |= hook != NULL;
    if (!application->spec.rollback_on_failure || application->rollback || !failed ||
        hooks_hold_rollback(application) || application->spec.suspend || text_is_empty(healthy) ||
        text_equal(healthy, application->revision) ||
        !text_equal(application->revision, application->attempted)) {
        return;
    }
    AUTO_FREE char *message = mem_format(
        "%s %s: %s. Rolled back to %s, which stays in force until a newer commit changes "
        "this Application, or `gitmoor rollback --cancel`",
        application->revision,
        hook                            ? "has failed"
        : application->health_timed_out ? "was not healthy in time"
                                        : "is not healthy",
        hook ? hook : text_or_empty(application->health_message), healthy);
    begin(application, healthy, hook ? "HookFailed" : "HealthCheckFailed", message);
}

/* ---- On request ---- */

/* What was applied once may be again; any other commit may not even be of this branch. */
static bool was_applied(const struct application *application, const char *revision)
{
    const cJSON *history = json_array(packed_tree(application->status), "history");
    for (const cJSON *entry = json_first(history); entry; entry = entry->next) {
        if (text_equal(json_string(entry, "revision"), revision)) {
            return true;
        }
    }
    return false;
}

static void cancel(struct application *application)
{
    if (application->rollback && !application->rollback->stands_in) {
        rollback_end(application);
        application->needs_render = true;
        status_event(application, "Normal", "RollbackCancelled", "Rollback",
                     "the newest revision is applied again");
        repository_step(application_repository(application));
    }
}

void rollback_take_request(struct application *application, const char *value)
{
    const char *handled = json_string(packed_tree(application->status), "lastHandledRollbackTo");
    if (!value || text_equal(value, application->rollback_requested) ||
        text_equal(value, handled)) {
        return;
    }
    free(application->rollback_requested);
    application->rollback_requested = mem_string(value);
    AUTO_FREE char *to = mem_string_n(value, strcspn(value, " "));
    const char *now = application->rollback ? application->rollback->to : application->attempted;
    bool is_newest = application->rollback && text_equal(to, application->attempted);
    if (text_equal(to, CANCEL) || is_newest) {
        cancel(application);
    } else if (!was_applied(application, to)) {
        AUTO_FREE char *message = mem_format(
            "cannot roll back to \"%s\": it is none of the revisions in status.history", to);
        status_event(application, "Warning", "RollbackRefused", "Rollback", message);
    } else if (!text_equal(to, now)) {
        AUTO_FREE char *message = mem_format(
            "rolled back from %s to %s, as was asked for; it stays in force until a newer commit "
            "changes this Application, or `gitmoor rollback --cancel`",
            text_or_empty(application->attempted), to);
        begin(application, to, "Requested", message);
    }
}

/* ---- The end, and restarts ---- */

void rollback_stand_in(struct application *application)
{
    const char *applied = json_string(packed_tree(application->status), "lastAppliedRevision");
    if (application->rollback || application->desired || text_is_empty(applied)) {
        return;
    }
    struct rollback *rollback = NEW(struct rollback);
    *rollback = (struct rollback){.to = mem_string(applied), .stands_in = true};
    put(application, rollback);
}

void rollback_end(struct application *application)
{
    rollback_free(application->rollback);
    application->rollback = NULL;
    application->settled = false;
}

void rollback_adopt(struct application *application)
{
    const cJSON *told = json_object(packed_tree(application->status), "rollback");
    const char *to = json_string(told, "to");
    const char *key = json_string(told, "renderKey");
    const char *commit = json_string(told, "commit");
    bool same = json_int(packed_tree(application->status), "observedGeneration", 0) ==
                application->generation;
    if (!to || !key || !(same || break_glass_holds(application))) {
        return; /* the spec is another: the newest revision gets its chance */
    }
    struct rollback *rollback = NEW(struct rollback);
    *rollback = (struct rollback){
        .from = mem_string(json_string(told, "from")),
        .to = mem_string(to),
        .key = mem_string(key),
        .commit = mem_string(commit ? commit : commit_of(json_string(told, "from"))),
        .reason = mem_string(json_string(told, "reason")),
        .message = mem_string(json_string(told, "message")),
        .at = mem_string(json_string(told, "at")),
    };
    put(application, rollback);
    /* The newest commit is looked at only for whether it is another. */
    free(application->render_key);
    application->render_key = mem_string(key);
    free(application->attempted);
    application->attempted = mem_string(rollback->from);
    application->needs_render = false;
}

/* ---- What the status says ---- */

/* Why the earlier revision is not in force, as Ready tells, or NULL: it is, or is about to be. */
static const char *what_holds(const struct application *application, const cJSON *conditions)
{
    bool applied = text_equal(application->rollback->to,
                              json_string(packed_tree(application->status), "lastAppliedRevision"));
    const cJSON *ready = status_condition(conditions, "Ready");
    switch (application->outcome) {
    case OUTCOME_INVALID:
    case OUTCOME_DENIED:
    case OUTCOME_FAILED:
    case OUTCOME_HELD:
    case OUTCOME_ADOPTION:
    case OUTCOME_HOOK_FAILED:
        return applied ? NULL : json_string(ready, "reason");
    default:
        return NULL;
    }
}

static void set_condition(const struct application *application, cJSON *conditions)
{
    const struct rollback *rollback = application->rollback;
    const char *why = what_holds(application, conditions);
    AUTO_FREE char *message =
        mem_format("%s is to be rolled back to %s, which is not in force yet: Ready tells why",
                   text_or_empty(rollback->from), rollback->to);
    status_set_condition(conditions, "RolledBack", why ? "False" : "True",
                         why ? why : text_or_empty(rollback->reason),
                         why ? message : text_or_empty(rollback->message), application->generation);
}

void rollback_set_status(const struct application *application, cJSON *status, cJSON *conditions)
{
    const struct rollback *rollback = application->rollback;
    if (application->rollback_requested) {
        json_set(status, "lastHandledRollbackTo", json_new_string(application->rollback_requested));
    }
    if (!rollback || rollback->stands_in) {
        json_remove(status, "rollback");
        status_remove_condition(conditions, "RolledBack");
        return;
    }
    cJSON *told = json_new_object();
    json_add_string(told, "from", rollback->from);
    json_add_string(told, "to", rollback->to);
    json_add_string(told, "renderKey", rollback->key);
    json_add_string(told, "commit", rollback->commit);
    json_add_string(told, "reason", rollback->reason);
    json_add_string(told, "message", rollback->message);
    json_add_string(told, "at", rollback->at);
    json_set(status, "rollback", told);
    set_condition(application, conditions);
}
