/* What the Application's status says. It is made anew from what is known and written if it differs
 * from what was written last: one patch at a time, none for what passes within half a second. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "differ/application.h"
#include "differ/approval.h"
#include "differ/conditions.h"
#include "differ/drift_log.h"
#include "differ/gauges.h"
#include "differ/hooks.h"
#include "differ/inventory.h"
#include "differ/kinds.h"
#include "differ/observed.h"
#include "differ/repository.h"

#include <stdio.h>
#include <string.h>

#define BUSY_TOLD_AFTER_MS 500 /* shorter work is not worth a write */
/* and more for each application that is at work too: to write that all of them are would take the
 * API server as long as a good part of the work */
#define BUSY_TOLD_LATER_MS 10
#define HISTORY_MAXIMUM 10
#define START_PATIENCE_MS 10000 /* after a restart, what is written stands so long */
#define WRITE_RETRY_MS 2000
#define DRIFT_TOLD_EVERY_MS 1000

/* ---- The status ---- */

static void set_errors(const struct application *application, cJSON *status)
{
    cJSON *errors = json_new_array();
    const struct problems *lists[] = {&application->render_problems, &application->denied,
                                      &application->problems, &application->kept,
                                      &application->foreign};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (size_t j = 0; j < lists[i]->count && json_size(errors) < PROBLEMS_MAXIMUM; j++) {
            const struct problem *problem = &lists[i]->list[j];
            cJSON *item = json_append(errors, json_new_object());
            json_add_string(item, "object", problem->object);
            json_add_string(item, "file", problem->file);
            json_add_int(item, "line", problem->line);
            json_add_string(item, "message", problem->message);
        }
    }
    json_set(status, "errors", errors);
}

static bool has_written(const struct application *application)
{
    return application->changed + application->pruned + application->released > 0;
}

static void add_history(struct application *application, cJSON *status)
{
    cJSON *history = json_new_array();
    cJSON *entry = json_append(history, json_new_object());
    char now[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(clock_wall_ms(), now);
    json_add_string(entry, "revision", application->revision);
    json_add_string(entry, "appliedAt", now);
    json_add_int(entry, "changed", (int64_t)application->changed);
    json_add_int(entry, "pruned", (int64_t)application->pruned);
    if (application->released > 0) {
        json_add_int(entry, "released", (int64_t)application->released);
    }
    const cJSON *before = json_first(json_array(status, "history"));
    /* A restart applies nothing new: the entry that is there stands. */
    bool again = before && !has_written(application) &&
                 text_equal(json_string(before, "revision"), application->revision);
    if (again) {
        json_free(history);
        return;
    }
    for (; before && json_size(history) < HISTORY_MAXIMUM; before = before->next) {
        json_append(history, json_copy(before));
    }
    json_set(status, "history", history);
}

static void tell_applied(struct application *application)
{
    AUTO_FREE char *released =
        application->released > 0 ? mem_format(", %zu released", application->released) : NULL;
    AUTO_FREE char *note =
        mem_format("applied %s: %zu changed, %zu pruned%s", application->revision,
                   application->changed, application->pruned, text_or_empty(released));
    log_info("application applied", "application", application->key, "revision",
             application->revision);
    if (has_written(application)) {
        status_event(application, "Normal", "Applied", "Reconcile", note);
    }
}

static void set_counts(const struct application *application, cJSON *status)
{
    cJSON *objects = json_new_object();
    json_add_int(objects, "desired", (int64_t)application->counts.desired);
    json_add_int(objects, "inSync", (int64_t)application->counts.in_sync);
    json_add_int(objects, "drifted", (int64_t)application->counts.drifted);
    json_add_int(objects, "unhealthy", (int64_t)application->counts.unhealthy);
    json_set(status, "objects", objects);
}

static bool is_declared(const struct object_ref *ref, const void *context)
{
    const struct application *application = context;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    return desired_find(application->desired, object_ref_key(ref, &arena)) != NULL;
}

static void set_drift(struct application *application, cJSON *status)
{
    if (application->outcome == OUTCOME_APPLIED && application->settled) {
        drift_log_sweep(application->drift_log, is_declared, application, clock_wall_ms());
    }
    if (json_first(application->drift_log)) {
        json_set(status, "drift", json_copy(application->drift_log));
    } else {
        json_remove(status, "drift");
    }
}

static void set_healthy_revision(const struct application *application, cJSON *status)
{
    if (application->health == HEALTH_CURRENT && hooks_are_done(application) &&
        text_equal(application->revision, json_string(status, "lastAppliedRevision"))) {
        json_set(status, "lastHealthyRevision", json_new_string(application->revision));
    }
}

/* What holds once a revision is applied. */
static void set_applied(struct application *application, cJSON *status)
{
    json_set(status, "lastAppliedRevision", json_new_string(application->revision));
    set_healthy_revision(application, status);
    inventory_set(application, status, false);
    if (application->fresh) {
        application->fresh = false;
        add_history(application, status);
        tell_applied(application);
    }
}

static cJSON *make_status(struct application *application)
{
    cJSON *status = json_copy(packed_tree(application->status));
    cJSON *conditions = json_array(status, "conditions");
    if (!conditions) {
        conditions = json_add_array(status, "conditions");
    }
    conditions_set(application, conditions);
    rollback_set_status(application, status, conditions);
    application->unwell = gauges_find_problems(conditions);
    json_set(status, "observedGeneration", json_new_int(application->generation));
    if (application->attempted) {
        json_set(status, "lastAttemptedRevision", json_new_string(application->attempted));
        json_remove(status, "renderKey");
        json_add_string(status, "renderKey",
                        text_is_empty(application->render_key) ? NULL : application->render_key);
    }
    if (application->reconcile_requested) {
        json_set(status, "lastHandledReconcileAt",
                 json_new_string(application->reconcile_requested));
    }
    break_glass_set_status(application, status);
    set_counts(application, status);
    set_errors(application, status);
    hooks_set_status(application, status);
    approval_set_status(application, status);
    set_drift(application, status);
    waiting_set_status(application, status);
    if (application->outcome == OUTCOME_APPLIED && application->settled) {
        set_applied(application, status);
    } else if (application->outcome == OUTCOME_WINDOW && application->settled) {
        set_healthy_revision(application, status);
    }
    return status;
}

/* ---- Writing ---- */

/* What a schema does not have is dropped without a word. */
static bool keeps_hooks(const struct application *application, const struct kube_response *response)
{
    const char *run = text_or_empty(json_string(application->hooks, "run"));
    bool is_written =
        json_equal(application->hooks, json_get(packed_tree(application->status), "hooks"));
    return !is_written || memmem(response->body, response->size, run, strlen(run));
}

static void on_written(const struct kube_response *response, void *context)
{
    struct application *application = context;
    application->status_call = NULL;
    if (!response->ok && response->error.code != ERROR_NOT_FOUND) {
        log_warn("status cannot be written", "application", application->key, "error",
                 response->error.message);
        application->status_dirty = true;
        application->status_retry_at = clock_monotonic_ms() + WRITE_RETRY_MS;
    } else if (response->ok && application->hooks && !keeps_hooks(application, response)) {
        log_error(
            "the record of hooks is not kept, and so none is run: the "
            "CustomResourceDefinition of Application is of an older Gitmoor; apply this one's",
            "application", application->key);
        application->status_dirty = true;
        application->status_retry_at = clock_monotonic_ms() + WRITE_RETRY_MS;
    }
    application->saving = false;
    application_wake(application);
}

static void write_status(struct application *application, cJSON *status)
{
    packed_set(application->status, status);
    application->status_dirty = false;
    kinds_may_be_unused(application->differ);
    AUTO_BUF struct buf path;
    buf_init(&path, 4096);
    const struct kube_resource resource = {.group = GITMOOR_GROUP,
                                           .version = "v1alpha1",
                                           .plural = "applications",
                                           .namespaced = true};
    kube_resource_path(&resource, application->namespace_, application->name, &path);
    application->status_call = status_patch(application->differ->client, path.data,
                                            json_copy(status), on_written, application);
}

/* Whether something is under way that the status should only tell of if it lasts. */
static bool is_busy(const struct application *application)
{
    bool renders = !application->rendered && !application->source_denied;
    if (application->plan || application->saving || renders) {
        return true;
    }
    switch (application->outcome) {
    case OUTCOME_NONE:
    case OUTCOME_WAITING:
    case OUTCOME_RENDERING:
        return true;
    case OUTCOME_FAILED:
        return application->retry_at == 0;
    case OUTCOME_INVALID:
    case OUTCOME_DENIED:
    case OUTCOME_HELD:
    case OUTCOME_BLOCKED:
    case OUTCOME_WAVE:
    case OUTCOME_WINDOW:
    case OUTCOME_HOOK:
    case OUTCOME_HOOK_FAILED:
    case OUTCOME_DELETING:
    case OUTCOME_ADOPTION:
        return false;
    case OUTCOME_APPLIED:
        break;
    }
    return application->spec.health_wait && application->health != HEALTH_CURRENT &&
           application->health != HEALTH_FAILED && !application->health_timed_out;
}

void status_set_busy(struct application *application, bool busy)
{
    if (busy == (application->busy_since != 0)) {
        return;
    }
    if (busy) {
        application->busy_since = clock_monotonic_ms();
        application->differ->busy++;
    } else {
        application->busy_since = 0;
        application->differ->busy--;
    }
}

/* The same, and it has not lasted yet. After a restart the status of before stands for longer: all
 * has to be looked at again, and most likely nothing has changed. */
static bool is_passing(struct application *application)
{
    int64_t now = clock_monotonic_ms();
    status_set_busy(application, is_busy(application));
    if (application->busy_since == 0) {
        return false;
    }
    bool stands = !application->judged &&
                  json_int(packed_tree(application->status), "observedGeneration", 0) ==
                      application->generation;
    int64_t patience = BUSY_TOLD_AFTER_MS + (int64_t)application->differ->busy * BUSY_TOLD_LATER_MS;
    patience = stands || patience > START_PATIENCE_MS ? START_PATIENCE_MS : patience;
    int64_t left = application->busy_since + patience - now;
    if (left <= 0) {
        return false;
    }
    application_wake_after(application, left);
    return true;
}

/* Whether nothing may be written now, because the last write failed a short while ago. */
static bool is_writing_later(struct application *application)
{
    int64_t left = application->status_retry_at - clock_monotonic_ms();
    if (application->status_dirty && left > 0) {
        application_wake_after(application, left);
        return true;
    }
    return false;
}

/* Whether nothing but the drift log has changed, and the status was written a moment ago: a
 * thousand repairs are not worth a thousand writes. */
static bool is_logged_later(struct application *application, const cJSON *status)
{
    int64_t left = application->status_told_at + DRIFT_TOLD_EVERY_MS - clock_monotonic_ms();
    if (left <= 0 || application->status_dirty || observed_is_due(application)) {
        return false;
    }
    AUTO_JSON cJSON *now = json_copy(status);
    AUTO_JSON cJSON *before = json_copy(packed_tree(application->status));
    json_remove(now, "drift");
    json_remove(before, "drift");
    if (!json_equal(now, before)) {
        return false;
    }
    application_wake_after(application, left);
    return true;
}

void status_step(struct application *application)
{
    if (application->status_call || !application->differ->started || is_passing(application) ||
        is_writing_later(application)) {
        return;
    }
    cJSON *status = make_status(application);
    bool is_same = json_equal(status, packed_tree(application->status));
    if (is_same && !application->status_dirty && !observed_is_due(application)) {
        json_free(status);
        return;
    }
    if (is_logged_later(application, status)) {
        json_free(status);
        return;
    }
    application->status_told_at = clock_monotonic_ms();
    observed_set(application, status);
    write_status(application, status);
}

bool status_save_inventory(struct application *application)
{
    const cJSON *before = packed_tree(application->status);
    AUTO_JSON cJSON *status = json_copy(before);
    inventory_set(application, status, true);
    hooks_set_status(application, status);
    approval_set_status(application, status);
    bool is_on_its_way = application->status_call && application->hooks;
    if (!application->status_dirty && !is_on_its_way &&
        json_equal(json_get(status, "hooks"), json_get(before, "hooks")) &&
        json_equal(json_get(status, "held"), json_get(before, "held")) &&
        json_equal(json_get(status, "adoption"), json_get(before, "adoption")) &&
        json_equal(json_get(status, "kinds"), json_get(before, "kinds")) &&
        json_equal(json_get(status, "namespaces"), json_get(before, "namespaces"))) {
        return true;
    }
    if (application->status_call || is_writing_later(application)) {
        return false; /* one write at a time; its answer wakes the application */
    }
    application->saving = true;
    if (!json_string(before, "lastAppliedRevision")) {
        json_free(status); /* the first: it says at once that it is under way */
        status = make_status(application);
        inventory_set(application, status, true);
        hooks_set_status(application, status);
    }
    write_status(application, json_copy(status));
    return false;
}

void status_event(struct application *application, const char *type, const char *reason,
                  const char *action, const char *note)
{
    AUTO_JSON cJSON *object = kube_store_copy(application->differ->application_objects,
                                              application->namespace_, application->name);
    if (object) {
        kube_event_record(application->differ->recorder, object, type, reason, action,
                          text_or_empty(note));
    }
}
