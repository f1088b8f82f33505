#include "differ/hooks.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/dispatch.h"
#include "differ/hook_pod.h"
#include "differ/hook_record.h"

#include <limits.h>
#include <string.h>

/* ---- What has become of one hook ---- */

static bool is_watched(const struct application *application, const struct desired_hook *hook)
{
    AUTO_FREE char *name = live_kind_name(hook->object.ref.group, hook->object.ref.kind);
    const struct live_kind *kind = live_kind_get(application->differ->live, name);
    return kind && kind->synced;
}

static bool is_of_run(const struct live_object *live, const char *run)
{
    return live && live->hook && text_equal(live->hook->run, run);
}

static void judge_time(struct application *application, const struct desired_hook *hook,
                       enum hook_moment moment, cJSON *item, const char *doing)
{
    int64_t started = clock_wall_ms();
    clock_parse_rfc3339(json_string(item, "startedAt"), &started);
    int64_t left = started + application->spec.health_timeout - clock_wall_ms();
    if (left > 0) {
        application_wake_after(application, left + 1);
        return;
    }
    AUTO_FREE char *message = mem_format("it has not ended within spec.health.timeout (%lld s)%s%s",
                                         (long long)application->spec.health_timeout / 1000,
                                         text_is_empty(doing) ? "" : "; ", text_or_empty(doing));
    hook_record_end(application, hook, moment, item, false, message);
}

/* What a Job says of its end is little: its Pod has the last word. */
static void end_failed(struct application *application, const struct desired_hook *hook,
                       enum hook_moment moment, cJSON *item, const struct live_object *live)
{
    const char *words = "";
    bool is_job = text_equal(hook->object.ref.kind, "Job") && hook->ends;
    if (is_job && !hook_pod_tell(application, live, &words)) {
        return;
    }
    AUTO_FREE char *message = mem_format("%s%s%s", live->hook->message, *words ? "; " : "", words);
    hook_record_end(application, hook, moment, item, false, message);
}

/* What the watch has told of it becomes what the record says. */
static cJSON *look_at(struct application *application, const struct desired_hook *hook,
                      enum hook_moment moment)
{
    cJSON *item = hook_record_find(application, hook, moment);
    if (hook_record_ended(item)) {
        return item;
    }
    AUTO_FREE char *run = hook_record_run(application, moment);
    const struct live_object *live = live_get(application->differ->live, hook->object.key);
    if (!is_of_run(live, run)) {
        if (item && is_watched(application, hook)) {
            hook_record_end(application, hook, moment, item, false,
                            "it was deleted before it had ended");
        }
        return item;
    }
    item = item ? item : hook_record_add(application, hook, moment);
    switch (live->hook->end) {
    case HOOK_RUNS:
        judge_time(application, hook, moment, item, live->hook->message);
        break;
    case HOOK_SUCCEEDED:
        hook_record_end(application, hook, moment, item, true, NULL);
        break;
    case HOOK_FAILED:
        end_failed(application, hook, moment, item, live);
        break;
    }
    return item;
}

/* ---- The hooks of one moment ---- */

enum stage { STAGE_WAITS, STAGE_DONE, STAGE_FAILED };

/* Hooks of one wave are run together; in it, what others may need (a ServiceAccount, a ConfigMap)
 * before what runs to an end. */
static int64_t rank_of(const struct desired_hook *hook)
{
    return (int64_t)hook->object.wave * 2 + hook->ends;
}

static void note_waited_for(struct application *application, const struct desired_hook *hook,
                            enum hook_moment moment, const char *why)
{
    AUTO_FREE char *what = hook_record_describe(hook, moment);
    free(application->hook_waited_for);
    application->hook_waited_for =
        mem_format("waiting for %s of %s%s%s", what, application->revision,
                   text_is_empty(why) ? "" : ": ", text_or_empty(why));
}

/* Those that have not ended: created, or what is in their way deleted first. */
static void add_work(struct application *application, const struct desired_hook *hook,
                     enum hook_moment moment, struct hook_work *work)
{
    const struct live_object *live = live_get(application->differ->live, hook->object.key);
    if (is_of_run(live, work->run)) {
        note_waited_for(application, hook, moment, live->hook->message);
    } else if (live && live->deleting) {
        note_waited_for(application, hook, moment, "that of an earlier run is being deleted");
    } else if (live && (hook->ends || hook->spec.deletes & HOOK_DELETE_BEFORE)) {
        note_waited_for(application, hook, moment, "that of an earlier run has to go first");
        work->deletes[work->delete_count++] = live;
    } else {
        note_waited_for(application, hook, moment, "not created yet");
        work->applies[work->apply_count++] = hook;
    }
}

static void work_init(const struct application *application, enum hook_moment moment,
                      struct hook_work *work)
{
    size_t count = application->desired->hook_count;
    *work = (struct hook_work){.run = hook_record_run(application, moment)};
    work->applies = mem_new(count, sizeof *work->applies);
    work->deletes = mem_new(count, sizeof *work->deletes);
}

static void work_release(struct hook_work *work)
{
    free(work->applies);
    free(work->deletes);
    free(work->run);
}

static void do_work(struct application *application, const struct hook_work *work)
{
    bool any = work->apply_count > 0 || work->delete_count > 0;
    if (any && status_save_inventory(application)) {
        dispatch_hooks(application, work);
    }
}

/* Looks at all hooks of the moment; `ret_rank`: of those whose turn it is. */
static enum stage look_at_all(struct application *application, enum hook_moment moment,
                              int64_t *ret_rank)
{
    const struct desired_set *desired = application->desired;
    bool failed = false;
    *ret_rank = INT64_MAX;
    for (size_t i = 0; i < desired->hook_count; i++) {
        const struct desired_hook *hook = &desired->hooks[i];
        if (!hook_record_is_due(application, hook, moment)) {
            continue;
        }
        const cJSON *item = look_at(application, hook, moment);
        failed |= hook_record_failed(item);
        if (!hook_record_ended(item) && rank_of(hook) < *ret_rank) {
            *ret_rank = rank_of(hook);
        }
    }
    return failed ? STAGE_FAILED : *ret_rank == INT64_MAX ? STAGE_DONE : STAGE_WAITS;
}

static enum stage run_moment(struct application *application, enum hook_moment moment)
{
    const struct desired_set *desired = application->desired;
    int64_t rank;
    enum stage stage = look_at_all(application, moment, &rank);
    if (stage != STAGE_WAITS) {
        return stage;
    }
    struct hook_work work;
    work_init(application, moment, &work);
    work.is_last_resort = moment == HOOK_FAILURE;
    for (size_t i = 0; i < desired->hook_count; i++) {
        const struct desired_hook *hook = &desired->hooks[i];
        if (hook_record_is_due(application, hook, moment) && rank_of(hook) == rank &&
            !hook_record_ended(hook_record_find(application, hook, moment))) {
            add_work(application, hook, moment, &work);
        }
    }
    do_work(application, &work);
    work_release(&work);
    return STAGE_WAITS;
}

/* ---- Before ---- */

static bool is_moment_done(const struct application *application, enum hook_moment moment)
{
    const struct desired_set *desired = application->desired;
    for (size_t i = 0; i < desired->hook_count; i++) {
        const struct desired_hook *hook = &desired->hooks[i];
        if (hook_record_is_due(application, hook, moment) &&
            !hook_record_succeeded(hook_record_find(application, hook, moment))) {
            return false;
        }
    }
    return true;
}

bool hooks_are_due(const struct application *application)
{
    return hook_record_applies(application) &&
           (!hook_record_is_current(application) || !is_moment_done(application, HOOK_BEFORE));
}

/* The first hook of the moment that has failed, and why; the caller frees. */
static char *tell_failure(const struct application *application, enum hook_moment moment)
{
    const struct desired_set *desired = application->desired;
    for (size_t i = 0; i < desired->hook_count; i++) {
        const struct desired_hook *hook = &desired->hooks[i];
        const cJSON *item = hook_record_find(application, hook, moment);
        if (hook_record_is_due(application, hook, moment) && hook_record_failed(item)) {
            AUTO_FREE char *what = hook_record_describe(hook, moment);
            const char *message = json_string(item, "message");
            return mem_format("%s of %s has failed%s%s", what,
                              text_or_empty(json_string(application->hooks, "revision")),
                              message ? ": " : "", text_or_empty(message));
        }
    }
    return NULL;
}

static void set_failed(struct application *application, const char *message)
{
    cJSON *record = application->hooks;
    char now[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(clock_wall_ms(), now);
    if (!json_get(record, "failedAt")) {
        json_add_string(record, "failedAt", now);
    }
    json_set(record, "result", json_new_string(FAILED));
    json_set(record, "message", json_new_string(text_or_empty(message)));
}

static void fail_for_hook(struct application *application, enum hook_moment moment)
{
    AUTO_FREE char *message = tell_failure(application, moment);
    json_set(application->hooks, "failedHook", json_new_bool(true));
    set_failed(application, message);
}

bool hooks_let_apply(struct application *application, const struct selection *selection)
{
    if (!hook_record_applies(application)) {
        if (application->desired->render_key && !application->rollback) {
            json_free(application->hooks); /* the next revision that has hooks is another */
            application->hooks = NULL;
        }
        return true;
    }
    if (application->spec.suspend) {
        return true; /* nothing is written */
    }
    if (!hook_record_is_current(application)) {
        bool is_checked = text_equal(application->checked, application->revision);
        if (application->spec.preflight && !is_checked) {
            dispatch_check(application, selection);
            return false;
        }
        hook_record_begin(application);
    }
    switch (run_moment(application, HOOK_BEFORE)) {
    case STAGE_DONE:
        return true;
    case STAGE_FAILED:
        fail_for_hook(application, HOOK_BEFORE);
        outcome_set(application, OUTCOME_HOOK_FAILED, hooks_failure(application));
        break;
    case STAGE_WAITS:
        outcome_set(application, OUTCOME_HOOK, application->hook_waited_for);
        break;
    }
    return false;
}

/* ---- After, and on failure ---- */

static bool has_begun(const struct application *application, enum hook_moment moment)
{
    const cJSON *items = json_array(application->hooks, "runs");
    for (const cJSON *item = json_first(items); item; item = item->next) {
        if (text_equal(json_string(item, "moment"), hook_moment_name(moment))) {
            return true;
        }
    }
    return false;
}

static void run_after(struct application *application)
{
    bool is_healthy = application->health == HEALTH_CURRENT;
    if (hooks_failure(application) || (!is_healthy && !has_begun(application, HOOK_AFTER))) {
        return;
    }
    switch (run_moment(application, HOOK_AFTER)) {
    case STAGE_DONE:
        if (is_healthy) {
            json_set(application->hooks, "result", json_new_string(SUCCEEDED));
            json_remove(application->hooks, "message");
        }
        break;
    case STAGE_FAILED:
        fail_for_hook(application, HOOK_AFTER);
        break;
    case STAGE_WAITS:
        break;
    }
}

static bool may_work(const struct application *application)
{
    return !application->plan && !application->saving && !application->spec.suspend &&
           members_may_work(application->differ->members) &&
           clock_monotonic_ms() >= application->retry_at;
}

/* Until the attempt has succeeded: what was healthy once and is not any more is another matter. */
static void judge_health(struct application *application)
{
    bool is_running = text_equal(json_string(application->hooks, "result"), RUNNING);
    if (is_running && (application->health == HEALTH_FAILED || application->health_timed_out)) {
        set_failed(application, application->health_message);
    }
}

/* Whether nothing of the moment is to come any more. */
static bool is_moment_over(const struct application *application, enum hook_moment moment)
{
    const struct desired_set *desired = application->desired;
    bool ended = true;
    for (size_t i = 0; i < desired->hook_count; i++) {
        const struct desired_hook *hook = &desired->hooks[i];
        if (hook_record_is_due(application, hook, moment)) {
            const cJSON *item = hook_record_find(application, hook, moment);
            if (hook_record_failed(item)) {
                return true;
            }
            ended &= hook_record_ended(item);
        }
    }
    return ended;
}

static bool is_to_be_deleted(struct application *application, const struct desired_hook *hook,
                             enum hook_moment moment, const cJSON *item)
{
    unsigned policy = hook_record_succeeded(item) ? HOOK_DELETE_SUCCEEDED : HOOK_DELETE_FAILED;
    if (hook->spec.deletes & policy) {
        return is_moment_over(application, moment);
    }
    int64_t finished;
    if (!hook->ends || hook->keep_for_seconds < 0 ||
        !clock_parse_rfc3339(json_string(item, "finishedAt"), &finished)) {
        return false;
    }
    int64_t left = finished + hook->keep_for_seconds * 1000 - clock_wall_ms();
    if (left > 0) {
        application_wake_after(application, left + 1);
    }
    return left <= 0;
}

/* Those that are not to stay, once their end is on record. */
static void delete_ended(struct application *application)
{
    const struct desired_set *desired = application->desired;
    struct hook_work work;
    work_init(application, HOOK_BEFORE, &work);
    for (size_t i = 0; i < desired->hook_count * HOOK_MOMENTS; i++) {
        const struct desired_hook *hook = &desired->hooks[i / HOOK_MOMENTS];
        enum hook_moment moment = i % HOOK_MOMENTS;
        const struct live_object *live = live_get(application->differ->live, hook->object.key);
        const cJSON *item = hook_record_find(application, hook, moment);
        AUTO_FREE char *run = hook_record_run(application, moment);
        if (hook_record_ended(item) && is_of_run(live, run) && !live->deleting &&
            is_to_be_deleted(application, hook, moment, item)) {
            work.deletes[work.delete_count++] = live;
        }
    }
    do_work(application, &work);
    work_release(&work);
}

void hooks_step(struct application *application)
{
    free(application->hook_waited_for);
    application->hook_waited_for = NULL;
    if (!hook_record_applies(application) || !hook_record_is_current(application) ||
        !may_work(application)) {
        return;
    }
    /* While a newer revision waits for a sync window, this one is in force. */
    bool is_applied =
        (application->outcome == OUTCOME_APPLIED || application->outcome == OUTCOME_WINDOW) &&
        application->settled;
    if (is_applied || application->outcome == OUTCOME_WAVE) {
        judge_health(application);
    }
    if (is_applied && is_moment_done(application, HOOK_BEFORE)) {
        run_after(application);
    }
    if (may_work(application) && text_equal(json_string(application->hooks, "result"), FAILED)) {
        run_moment(application, HOOK_FAILURE);
    }
    if (may_work(application)) {
        delete_ended(application);
    }
}

/* ---- What others ask ---- */

bool hooks_are_done(const struct application *application)
{
    return !hook_record_applies(application) ||
           (hook_record_is_current(application) && is_moment_done(application, HOOK_BEFORE) &&
            is_moment_done(application, HOOK_AFTER));
}

/* One that runs has a deadline of its own; one that cannot be created, since that of an earlier run
 * does not go, has as long. */
bool hooks_hold_rollback(struct application *application)
{
    if (!hook_record_applies(application) || !hook_record_is_current(application) ||
        is_moment_over(application, HOOK_FAILURE)) {
        return false;
    }
    int64_t allowed = application->spec.health_timeout, failed_at = clock_wall_ms();
    clock_parse_rfc3339(json_string(application->hooks, "failedAt"), &failed_at);
    for (const cJSON *item = json_first(json_array(application->hooks, "runs")); item;
         item = item->next) {
        if (text_equal(json_string(item, "moment"), hook_moment_name(HOOK_FAILURE))) {
            allowed += application->spec.health_timeout;
        }
    }
    int64_t left = failed_at + allowed - clock_wall_ms();
    if (left > 0) {
        application_wake_after(application, left + 1);
    }
    return left > 0;
}

const char *hooks_waited_for(const struct application *application)
{
    return application->hook_waited_for;
}

/* ---- What the applier answered ---- */

static cJSON *item_of_run(struct application *application, const char *key, const char *run,
                          const struct desired_hook **ret_hook, enum hook_moment *ret_moment)
{
    const struct desired_hook *hook =
        application->desired ? map_get(&application->desired->hook_by_key, key) : NULL;
    for (int moment = 0; hook && hook_record_applies(application) && moment < HOOK_MOMENTS;
         moment++) {
        AUTO_FREE char *expected = hook_record_run(application, moment);
        if (text_equal(run, expected)) {
            cJSON *item = hook_record_find(application, hook, moment);
            *ret_hook = hook;
            *ret_moment = moment;
            return item ? item : hook_record_add(application, hook, moment);
        }
    }
    return NULL; /* of an attempt that is over */
}

void hooks_note_created(struct application *application, const char *key, const char *run)
{
    const struct desired_hook *hook = map_get(&application->desired->hook_by_key, key);
    if (!hook || hook->object.resource.watchable) {
        return; /* the watch tells what becomes of it */
    }
    enum hook_moment moment;
    cJSON *item = item_of_run(application, key, run, &hook, &moment);
    if (item) {
        hook_record_end(application, hook, moment, item, true, NULL);
    }
}

void hooks_note_refused(struct application *application, const char *key, const char *run,
                        const char *message)
{
    const struct desired_hook *hook;
    enum hook_moment moment;
    cJSON *item = item_of_run(application, key, run, &hook, &moment);
    if (item) {
        hook_record_end(application, hook, moment, item, false, message);
    }
}
