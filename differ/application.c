#include "differ/application.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "differ/adoption.h"
#include "differ/approval.h"
#include "differ/builds.h"
#include "differ/charts.h"
#include "differ/claims.h"
#include "differ/depends.h"
#include "differ/dispatch.h"
#include "differ/health_checks.h"
#include "differ/hook_pod.h"
#include "differ/hooks.h"
#include "differ/kinds.h"
#include "differ/permit.h"
#include "differ/recognise.h"
#include "differ/repository.h"
#include "differ/whole.h"

#include <event2/event.h>
#include <string.h>

/* ---- The queue ---- */

void application_wake(struct application *application)
{
    struct differ *differ = application->differ;
    if (application->queued) {
        return;
    }
    application->queued = true;
    application->queue_next = NULL;
    if (differ->queue_last) {
        differ->queue_last->queue_next = application;
    } else {
        differ->queue_first = application;
    }
    differ->queue_last = application;
    event_active(differ->queue_event, EV_TIMEOUT, 0);
}

static void leave_queue(struct application *application)
{
    struct differ *differ = application->differ;
    struct application *before = NULL;
    for (struct application *item = differ->queue_first; item; item = item->queue_next) {
        if (item == application) {
            *(before ? &before->queue_next : &differ->queue_first) = item->queue_next;
            if (differ->queue_last == item) {
                differ->queue_last = before;
            }
            break;
        }
        before = item;
    }
    application->queued = false;
}

void application_wake_all(struct differ *differ)
{
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        application_wake(slot->value);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    application_wake(context);
}

void application_wake_after(struct application *application, int64_t milliseconds)
{
    if (milliseconds < 0) {
        milliseconds = 0;
    }
    struct timeval due;
    if (evtimer_pending(application->timer, &due)) {
        struct timeval now;
        event_base_gettimeofday_cached(application->differ->loop, &now);
        int64_t left = (due.tv_sec - now.tv_sec) * 1000 + (due.tv_usec - now.tv_usec) / 1000;
        if (left <= milliseconds) {
            return; /* it wakes sooner than that, and then asks again */
        }
    }
    struct timeval after = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    evtimer_add(application->timer, &after);
}

/* ---- The spec ---- */

static bool same_source(const struct application_spec *left, const struct application_spec *right)
{
    return text_equal(left->source_namespace, right->source_namespace) &&
           text_equal(left->repository, right->repository) && text_equal(left->path, right->path);
}

static bool same_rendering(const struct application_spec *left,
                           const struct application_spec *right)
{
    return same_source(left, right) &&
           text_equal(left->target_namespace, right->target_namespace) &&
           text_equal(left->ignore.text, right->ignore.text) &&
           json_equal(left->render, right->render) &&
           json_equal(left->substitute, right->substitute) &&
           json_equal(left->substitute_from, right->substitute_from) &&
           text_equal(left->decryption_secret, right->decryption_secret);
}

/* ---- Life ---- */

static struct application *application_new(struct differ *differ, const char *key,
                                           const char *namespace_, const char *name)
{
    struct application *application = NEW(struct application);
    application->differ = differ;
    application->key = mem_string(key);
    application->namespace_ = mem_string(namespace_);
    application->name = mem_string(name);
    object_label_value(namespace_, name, application->label);
    problems_init(&application->problems);
    problems_init(&application->render_problems);
    problems_init(&application->denied);
    problems_init(&application->kept);
    problems_init(&application->foreign);
    map_init(&application->others);
    application->status = packed_new(json_new_object());
    application->drift_log = json_new_array();
    application->timer = evtimer_new(differ->loop, on_timer, application);
    map_init(&application->unknown_kinds);
    application->needs_render = true;
    map_set(&differ->applications, key, application);
    map_set(&differ->by_label, application->label, application);
    return application;
}

void application_free(struct application *application)
{
    struct differ *differ = application->differ;
    dispatch_forget(application);
    status_set_busy(application, false);
    recognition_free(application->recognition);
    kube_call_cancel(application->status_call);
    application->conflicted = false;
    claims_release(application, NULL);
    if (application->queued) {
        leave_queue(application);
    }
    map_remove(&differ->applications, application->key);
    if (map_get(&differ->by_label, application->label) == application) {
        map_remove(&differ->by_label, application->label);
    }
    kinds_may_be_unused(differ);
    event_free(application->timer);
    charts_values_free(application->values);
    builds_forget(application);
    waiting_drop(application);
    desired_free(application->desired);
    problems_release(&application->problems);
    problems_release(&application->render_problems);
    problems_release(&application->denied);
    problems_release(&application->kept);
    adoption_forget(application);
    map_release(&application->unknown_kinds, NULL);
    application_spec_release(&application->spec);
    packed_free(application->status);
    json_free(application->drift_log);
    free(application->key);
    free(application->namespace_);
    free(application->name);
    free(application->uid);
    free(application->reconcile_requested);
    free(application->approved_revision);
    free(application->sync_revision);
    free(application->awaited_revision);
    free(application->adopt_revision);
    free(application->render_key);
    free(application->attempted);
    free(application->inherited);
    free(application->revision);
    free(application->outcome_message);
    free(application->health_message);
    free(application->fight);
    rollback_free(application->rollback);
    for (size_t i = 0; i < APPROVAL_COUNT; i++) {
        approval_free(application->approvals[i]);
    }
    json_free(application->hooks);
    hook_pod_free(application->hook_pod);
    free(application->hook_waited_for);
    free(application->checked);
    free(application->rollback_requested);
    free(application);
}

static void replace_string(char **field, const char *value)
{
    free(*field);
    *field = mem_string(value);
}

void application_try_at_once(struct application *application)
{
    application->settled = false;
    application->retry_at = application->discovery_at = application->status_retry_at = 0;
    for (size_t i = 0; application->desired && i < application->desired->count; i++) {
        application->desired->objects[i].repairs.not_before = 0;
    }
}

static void take_annotations(struct application *application, const cJSON *object)
{
    const cJSON *annotations = json_get_path(object, "metadata.annotations");
    const char *requested = json_string(annotations, GITMOOR_RECONCILE_ANNOTATION);
    const char *approved = json_string(annotations, GITMOOR_APPROVED_ANNOTATION);
    if (!text_equal(application->reconcile_requested, requested)) {
        replace_string(&application->reconcile_requested, requested);
        application_try_at_once(application);
        application->needs_render |= application->render_problems.total > 0;
        application->build.retry_at = 0;
        repository_try_at_once(application_repository(application));
    }
    rollback_take_request(application, json_string(annotations, ROLLBACK_ANNOTATION));
    if (!text_equal(application->approved_revision, approved)) {
        replace_string(&application->approved_revision, approved);
        application_try_at_once(application);
    }
    const char *adopts = json_string(annotations, GITMOOR_ADOPT_ANNOTATION);
    if (!text_equal(application->adopt_revision, adopts)) {
        replace_string(&application->adopt_revision, adopts);
        replace_string(&application->checked, NULL); /* what was asked may have changed since */
        application_try_at_once(application);
    }
    replace_string(&application->sync_revision, json_string(annotations, GITMOOR_SYNC_ANNOTATION));
    replace_string(&application->awaited_revision,
                   json_string(annotations, GITMOOR_AWAITED_ANNOTATION));
}

static void take_spec(struct application *application, const cJSON *object)
{
    struct application_spec spec;
    application_spec_read(object, &spec);
    int64_t generation = json_int(json_object(object, "metadata"), "generation", 0);
    if (!same_rendering(&application->spec, &spec)) {
        rollback_end(application);
        application->needs_render = true;
        application->rendered = false;
        application->looking = false; /* what that look answers is of the spec before */
        application->answered = 0;
        builds_forget(application);
        application->spec_changed |= application->desired || application->waiting;
        replace_string(&application->inherited, NULL);
    }
    if (!text_equal(application->spec.drift_text, spec.drift_text)) {
        desired_look_again(application->desired);
    }
    bool changed = generation != application->generation;
    application->generation = generation;
    health_checks_changed(application, application->spec.health_checks, spec.health_checks);
    application_spec_release(&application->spec);
    application->spec = spec;
    charts_watch_values(application);
    if (changed) {
        application->repairs_open_at = 0;
        if (application->waiting) {
            application->waiting->opens_at = 0;
        }
        application_try_at_once(application);
        application->failures = 0;
        permit_judge(application);
    }
}

/* What a predecessor wrote: our conditions keep their transition times, and the kinds it applied
 * are looked at for what is to be pruned. */
static void adopt_status(struct application *application, const cJSON *object)
{
    const cJSON *status = json_object(object, "status");
    if (status) {
        packed_set(application->status, json_copy(status));
    }
    application->hooks = json_copy(json_object(status, "hooks"));
    cJSON *log = json_array(status, "drift");
    if (log) {
        json_free(application->drift_log);
        application->drift_log = json_copy(log);
    }
}

/* What a predecessor had applied and this process has not: an object of it that differs has
 * drifted. Only while it is rendered as it was: a change of the spec makes others of it. */
static void inherit(struct application *application)
{
    const cJSON *status = packed_tree(application->status);
    bool same = json_int(status, "observedGeneration", 0) == application->generation;
    if (same || break_glass_holds(application)) {
        application->inherited = mem_string(json_string(status, "lastAppliedRevision"));
    } else {
        application->spec_changed = json_string(status, "lastAppliedRevision");
    }
    application->spec_changed |= json_bool(json_object(status, "syncWindow"), "specChanged", false);
}

void application_changed(struct differ *differ, const char *namespace_, const char *name,
                         const cJSON *now)
{
    AUTO_FREE char *key = mem_format("%s/%s", namespace_, name);
    const char *uid = json_string_path(now, "metadata.uid");
    struct application *application = map_get(&differ->applications, key);
    if (application && (!now || !text_equal(application->uid, uid))) {
        log_info("application is gone, or another replica's now", "application", key);
        dispatch_cancel(application);
        application_free(application);
        application = NULL;
        whole_wake(differ);
    }
    if (!now) {
        return;
    }
    bool is_new = !application;
    if (is_new) {
        application = application_new(differ, key, namespace_, name);
        application->uid = mem_string(uid);
        adopt_status(application, now);
    }
    take_spec(application, now);
    if (is_new) {
        inherit(application);
        rollback_adopt(application);
        approval_adopt(application);
    }
    take_annotations(application, now);
    deletion_take(application, now);
    application_wake(application);
    whole_wake(differ); /* it may be of another repository, or going */
}

/* What is in force from now on. */
static void install(struct application *application, struct desired_set *desired,
                    const char *revision)
{
    claims_release(application, desired);
    desired_free(application->desired);
    application->desired = desired;
    kinds_may_be_unused(application->differ);
    replace_string(&application->revision, revision);
    replace_string(&application->checked, NULL);
    adoption_forget(application);
    application->fresh = true;
    application->changed = application->pruned = application->released = 0;
    problems_clear(&application->problems);
    outcome_set(application, OUTCOME_NONE, NULL);
    permit_judge(application);
}

void application_set_desired(struct application *application, struct desired_set *desired,
                             const char *render_key, const char *revision)
{
    enum waiting_verdict verdict = WAITING_INSTALL_BEGUN; /* nothing holds a rollback up */
    approval_end_of_others(application, desired ? revision : NULL);
    if (render_key && desired) {
        verdict = waiting_take(application, desired, revision);
    }
    if (desired && verdict != WAITING_HELD) {
        desired->render_key = render_key ? arena_string(&desired->arena, render_key) : NULL;
        install(application, desired, revision);
        application->begun = verdict == WAITING_INSTALL_BEGUN;
    }
    bool is_stand_in = !render_key && application->rollback && application->rollback->stands_in;
    if (verdict != WAITING_HELD && !is_stand_in) {
        waiting_drop(application); /* it is not the newest any more, or not wanted */
        application->spec_changed &= !desired;
    } else if (application->waiting) {
        application->waiting->counted = false;
    }
    if (render_key) {
        if (desired && verdict != WAITING_HELD && application->rollback) {
            rollback_end(application); /* by a newer commit */
        }
        replace_string(&application->render_key, render_key);
        replace_string(&application->attempted, revision);
    }
    application->settled = false;
    application->health_timed_out = false;
    application->failures = 0;
    application->retry_at = 0;
    application_wake(application);
}

/* ---- Work ---- */

char *application_source(const struct application *application)
{
    return mem_format("%s/%s", application->spec.source_namespace, application->spec.repository);
}

struct repository *application_repository(const struct application *application)
{
    AUTO_FREE char *key = application_source(application);
    return repository_get(application->differ, key);
}

bool application_is_ready(const struct application *application)
{
    const struct repository *repository = application_repository(application);
    bool is_newest = application->rendered && !application->needs_render &&
                     !builds_is_under_way(application) &&
                     application->answered == repository->sequence;
    bool healthy = !application->spec.health_wait || application->health == HEALTH_CURRENT;
    return is_newest && !application->plan && application->settled && !application->rollback &&
           application->outcome == OUTCOME_APPLIED && healthy && hooks_are_done(application);
}

int64_t application_retry_left(const struct application *application, int64_t began, int64_t now)
{
    if (application->retry_at <= began) {
        return -1;
    }
    return application->retry_at > now ? application->retry_at - now : 0;
}

static void wake_to_retry(struct application *application, int64_t began)
{
    int64_t left = application_retry_left(application, began, clock_monotonic_ms());
    if (left >= 0) {
        application_wake_after(application, left);
    }
}

/* While it is being deleted nothing else is done for it. */
static void work_on_deletion(struct application *application, int64_t began)
{
    reconcile_step(application);
    status_step(application);
    wake_to_retry(application, began);
}

static void retry_build(struct application *application)
{
    const struct build *build = &application->build;
    int64_t left = build->retry_at - clock_monotonic_ms();
    if (build->trouble && left > 0) {
        application_wake_after(application, left);
    } else if (build->trouble && !build->run) {
        builds_step(application->differ);
    }
}

void application_work(struct application *application)
{
    int64_t began = clock_monotonic_ms();
    if (application->deleting) {
        work_on_deletion(application, began);
        return;
    }
    struct repository *repository = application_repository(application);
    bool renders = application->needs_render || !application->rendered ||
                   (application->rollback && application->rollback->needs_render);
    if (renders && !application->source_denied && !repository_is_backing_off(repository)) {
        repository_step(repository);
    }
    retry_build(application);
    break_glass_step(application);
    waiting_step(application);
    reconcile_step(application);
    health_step(application);
    hooks_step(application);
    rollback_step(application);
    bool is_ready = application_is_ready(application);
    if (is_ready && !application->was_ready) {
        depends_wake(application->differ, application->key);
    }
    application->was_ready = is_ready;
    status_step(application);
    wake_to_retry(application, began);
    if (application->settled && !application->plan) {
        packed_rest(application->status);
    }
}
