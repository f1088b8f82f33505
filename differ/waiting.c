#include "differ/waiting.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "differ/application.h"
#include "differ/claims.h"
#include "differ/repository.h"

#define WAKE_MAXIMUM_MS ((int64_t)3600 * 1000) /* the wall clock may be set meanwhile */

void waiting_drop(struct application *application)
{
    struct waiting *waiting = application->waiting;
    if (waiting) {
        desired_free(waiting->desired);
        free(waiting->revision);
        free(waiting);
        application->waiting = NULL;
    }
}

/* ---- May it be applied now? ---- */

static bool is_held(const struct application *application, const char *revision)
{
    return !sync_windows_are_open(&application->spec.windows, SYNC_REVISIONS, clock_wall_ms()) &&
           !text_equal(application->sync_revision, revision);
}

bool waiting_holds_repairs(const struct application *application)
{
    return !sync_windows_are_open(&application->spec.windows, SYNC_REPAIRS, clock_wall_ms());
}

/* What leaves Git stays if the live object says so, or nothing is pruned. */
static bool would_stay(const struct application *application, const char *key)
{
    const struct live_object *live = live_get(application->differ->live, key);
    return !application->spec.prune || (live && live->keep != KEEP_NO);
}

struct counts {
    size_t changed, pruned, released;
};

static struct counts count(const struct application *application, const struct desired_set *set)
{
    const struct desired_set *before = application->desired;
    struct counts counts = {0};
    for (size_t i = 0; i < set->count; i++) {
        const struct desired_object *object = &set->objects[i];
        const struct desired_object *former = before ? desired_find(before, object->key) : NULL;
        counts.changed += !former || !digest_equal(&former->digest, &object->digest);
    }
    for (size_t i = 0; i < set->hook_count; i++) {
        const struct desired_hook *hook = &set->hooks[i];
        const struct desired_hook *former =
            before ? map_get(&before->hook_by_key, hook->object.key) : NULL;
        counts.changed += !former || !digest_equal(&former->object.digest, &hook->object.digest);
    }
    const struct desired_object *object;
    for (size_t i = 0; before && (object = desired_at(before, i)); i++) {
        bool leaves = !desired_declares(set, object->key);
        bool stays = leaves && would_stay(application, object->key);
        counts.pruned += leaves && !stays;
        counts.released += stays;
    }
    return counts;
}

/* Taken up after a restart, and what is applied already. */
static bool was_applied(const struct application *application, const char *revision)
{
    return !application->desired && !application->spec_changed &&
           !json_object(packed_tree(application->status), "syncWindow") &&
           text_equal(revision,
                      json_string(packed_tree(application->status), "lastAppliedRevision"));
}

static void hold(struct application *application, struct desired_set *desired, const char *revision)
{
    waiting_drop(application);
    application->waiting = NEW(struct waiting);
    application->waiting->desired = desired;
    application->waiting->revision = mem_string(revision);
    free(application->checked);
    application->checked = NULL;
    log_info("a revision waits for a sync window", "application", application->key, "revision",
             revision);
    const char *applied = json_string(packed_tree(application->status), "lastAppliedRevision");
    if (!application->spec_changed && !text_equal(applied, revision)) {
        rollback_stand_in(application);
    }
}

enum waiting_verdict waiting_take(struct application *application, struct desired_set *desired,
                                  const char *revision)
{
    if (!is_held(application, revision)) {
        return WAITING_INSTALL;
    }
    if (was_applied(application, revision)) {
        return WAITING_INSTALL_BEGUN;
    }
    struct counts counts = count(application, desired);
    if (application->desired && counts.changed + counts.pruned + counts.released == 0) {
        return application->begun ? WAITING_INSTALL_BEGUN : WAITING_INSTALL;
    }
    hold(application, desired, revision);
    return WAITING_HELD;
}

bool waiting_take_back(struct application *application)
{
    const struct rollback *rollback = application->rollback;
    if (application->begun || application->waiting || application->spec.suspend ||
        (rollback && !rollback->stands_in) || !is_held(application, application->revision)) {
        return false;
    }
    struct desired_set *desired = application->desired;
    AUTO_FREE char *revision = application->revision;
    claims_release(application, NULL);
    application->desired = NULL;
    application->revision = NULL;
    hold(application, desired, revision);
    application_wake(application);
    return true;
}

/* ---- Until then ---- */

static void let_go(struct application *application)
{
    struct waiting *waiting = application->waiting;
    struct desired_set *desired = waiting->desired;
    AUTO_FREE char *revision = mem_string(waiting->revision);
    AUTO_FREE char *render_key = mem_string(application->render_key);
    waiting->desired = NULL;
    desired->built = clock_monotonic_us(); /* live objects were judged by the set in force so far */
    waiting_drop(application);
    log_info("a revision waits no more", "application", application->key, "revision", revision);
    application_set_desired(application, desired, render_key, revision);
}

static void wake_at(struct application *application, int64_t opening, int64_t now)
{
    int64_t left = opening - now;
    application_wake_after(application, left < WAKE_MAXIMUM_MS ? left : WAKE_MAXIMUM_MS);
}

static int64_t next_opening(const struct application *application, enum sync_what what,
                            int64_t known, int64_t now)
{
    return known > now ? known : sync_windows_next_opening(&application->spec.windows, what, now);
}

void waiting_step(struct application *application)
{
    int64_t now = clock_wall_ms();
    struct waiting *waiting = application->waiting;
    if (application->counts.drifted > 0 && waiting_holds_repairs(application)) {
        application->repairs_open_at =
            next_opening(application, SYNC_REPAIRS, application->repairs_open_at, now);
        wake_at(application, application->repairs_open_at, now);
    }
    if (!waiting) {
        return;
    }
    bool stands_in_comes = application->rollback && application->rollback->needs_render &&
                           !application_repository(application)->trouble;
    if (!waiting->counted && !stands_in_comes) {
        struct counts counts = count(application, waiting->desired);
        waiting->changed = counts.changed;
        waiting->pruned = counts.pruned;
        waiting->released = counts.released;
        waiting->counted = true;
    }
    bool differs = !application->desired || !waiting->counted ||
                   waiting->changed + waiting->pruned + waiting->released > 0;
    if (!is_held(application, waiting->revision) || !differs) {
        let_go(application);
        return;
    }
    waiting->opens_at = next_opening(application, SYNC_REVISIONS, waiting->opens_at, now);
    wake_at(application, waiting->opens_at, now);
}

/* ---- What is told ---- */

char *waiting_describe(const struct application *application)
{
    const struct waiting *waiting = application->waiting;
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    buf_append_format(&text, "%s waits for a sync window", waiting->revision);
    if (waiting->opens_at == INT64_MAX) {
        buf_append_string(&text, ", and none is known to open: look at spec.syncWindows");
    } else {
        char at[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(waiting->opens_at, at);
        buf_append_format(&text, ", which opens at %s", at);
    }
    AUTO_FREE char *released =
        waiting->released > 0
            ? mem_format(", and gives up %zu that stay in the cluster", waiting->released)
            : NULL;
    buf_append_format(
        &text,
        ": it changes %zu and deletes %zu objects%s%s. `gitmoor sync %s -n %s` has it "
        "applied now",
        waiting->changed, waiting->pruned, text_or_empty(released),
        application->spec.preflight ? ", and the server's dry-run accepts them" : "",
        application->name, application->namespace_);
    return buf_detach(&text);
}

void waiting_set_status(const struct application *application, cJSON *status)
{
    const struct waiting *waiting = application->waiting;
    if (!waiting) {
        if (application->rendered) {
            json_remove(status, "syncWindow");
        }
        return;
    }
    char at[CLOCK_RFC3339_SIZE];
    cJSON *told = json_new_object();
    json_add_string(told, "revision", waiting->revision);
    if (waiting->opens_at > 0 && waiting->opens_at < INT64_MAX) {
        clock_format_rfc3339(waiting->opens_at, at);
        json_add_string(told, "opensAt", at);
    }
    json_add_int(told, "changed", (int64_t)waiting->changed);
    json_add_int(told, "pruned", (int64_t)waiting->pruned);
    if (waiting->released > 0) {
        json_add_int(told, "released", (int64_t)waiting->released);
    }
    if (application->spec_changed) {
        json_add_bool(told, "specChanged", true);
    }
    json_set(status, "syncWindow", told);
}
