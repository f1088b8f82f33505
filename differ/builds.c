#include "differ/builds.h"

#include "common/base/clock.h"
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "differ/application.h"
#include "differ/charts.h"
#include "differ/pack.h"
#include "differ/run.h"
#include "differ/start.h"
#include "differ/whole.h"

#include <string.h>

#define BUILDS_MAXIMUM 64
/* Applications in one run: enough that the start of the worker does not count. */
#define BATCH_MAXIMUM 16
#define RETRY_MINIMUM_MS 1000
#define RETRY_MAXIMUM_MS 60000

struct builds {
    struct run **slots; /* NULL: free */
    size_t count;
    uint64_t turns; /* taken so far */
    uint64_t wants; /* likewise: builds that came to be due */
};

void builds_open(struct differ *differ)
{
    struct builds *builds = NEW(struct builds);
    int64_t count = differ->settings->builds;
    builds->count = count < 1 ? 1 : count < BUILDS_MAXIMUM ? (size_t)count : BUILDS_MAXIMUM;
    builds->slots = mem_new(builds->count, sizeof(struct run *));
    differ->builds = builds;
}

void builds_close(struct differ *differ)
{
    struct builds *builds = differ->builds;
    if (builds) {
        for (size_t i = 0; i < builds->count; i++) {
            run_free(builds->slots[i]);
        }
        free(builds->slots);
        free(builds);
        differ->builds = NULL;
    }
}

/* ---- Of one application ---- */

void builds_want(struct application *application, const char *key)
{
    struct build *build = &application->build;
    bool is_under_way = build->is_due || (build->run && build->run->is_newest);
    if (is_under_way && text_equal(build->key, key)) {
        return;
    }
    free(build->key);
    build->key = mem_string(key);
    build->since = build->is_due ? build->since : ++application->differ->builds->wants;
    build->is_due = true;
    build->retry_at = 0; /* its files have changed */
}

void builds_drop(struct application *application)
{
    struct build *build = &application->build;
    if (build->run && build->run->is_newest) {
        build->run = NULL;
    }
    build->is_due = false;
    free(build->key);
    build->key = NULL;
    if (!build->run) {
        builds_note_answer(application);
    }
}

void builds_forget(struct application *application)
{
    application->build.run = NULL;
    builds_drop(application);
}

void builds_note_answer(struct application *application)
{
    struct build *build = &application->build;
    build->run = NULL;
    build->failures = 0;
    build->retry_at = 0;
    free(build->trouble);
    build->trouble = NULL;
}

void builds_note_failure(struct application *application, const char *message)
{
    struct build *build = &application->build;
    build->is_due |= build->run && build->run->is_newest;
    build->run = NULL;
    build->retry_at = clock_monotonic_ms() +
                      clock_backoff_ms(RETRY_MINIMUM_MS, build->failures++, RETRY_MAXIMUM_MS);
    free(build->trouble);
    build->trouble = mem_string(message);
    application->rendered = true; /* so far as it can be: nobody need wait for it */
    log_warn("application cannot be built", "application", application->key, "error", message);
    application_wake(application); /* and once it is time */
}

bool builds_is_under_way(const struct application *application)
{
    const struct build *build = &application->build;
    return build->is_due || (build->run && build->run->is_newest);
}

/* ---- Whose turn it is ---- */

/* An earlier revision, which the application was rolled back to. */
static bool is_earlier_due(const struct application *application)
{
    const struct rollback *rollback = application->rollback;
    return rollback && rollback->needs_render &&
           pack_has_commit(application_repository(application), rollback_commit(rollback));
}

static bool is_due(const struct application *application)
{
    const struct build *build = &application->build;
    return !build->run && !application->deleting && !application->source_denied &&
           clock_monotonic_ms() >= build->retry_at &&
           (build->is_due || is_earlier_due(application));
}

static void count_due(struct differ *differ)
{
    for (struct map_slot *slot = map_first(&differ->repositories); slot;
         slot = map_next(&differ->repositories, slot)) {
        struct repository *repository = slot->value;
        repository->builds_due = 0;
    }
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        if (is_due(slot->value)) {
            application_repository(slot->value)->builds_due++;
        }
    }
}

/* While one is looked at, its packs may be merged. */
static struct repository *next_repository(struct differ *differ)
{
    struct repository *next = NULL;
    for (struct map_slot *slot = map_first(&differ->repositories); slot;
         slot = map_next(&differ->repositories, slot)) {
        struct repository *repository = slot->value;
        bool may = repository->builds_due > 0 && repository->whole_commit && !repository->look;
        bool earlier =
            next &&
            (repository->builds < next->builds ||
             (repository->builds == next->builds && repository->build_turn < next->build_turn));
        if (may && (!next || earlier)) {
            next = repository;
        }
    }
    return next;
}

/* ---- Runs ---- */

static char *slot_memory(const struct differ *differ, size_t slot)
{
    return differ->memory ? mem_format("%s/%zu", differ->memory, slot) : NULL;
}

/* A worker that was ended has left it. */
static void clear(const struct run *run, size_t slot)
{
    AUTO_FREE char *memory = slot_memory(run->repository->differ, slot);
    if (memory) {
        directory_remove(memory, NULL);
    }
    if (run->failure.code) {
        AUTO_FREE char *database = pack_database(run->repository);
        AUTO_FREE char *scratch = mem_format("%s/build/%zu", database, slot);
        directory_remove(scratch, NULL);
    }
}

/* The first of those without an answer is the one that the run has ended at: it alone is put off,
 * unless it was not for its sake. */
static void end_applications(struct run *run)
{
    struct differ *differ = run->repository->differ;
    bool is_for_all = run->failure.code && !run->begun;
    const char *message = run->failure.code ? run->failure.message : NULL;
    if (!message && run->answered == 0) {
        message = "the render worker's answer is empty";
    }
    for (const cJSON *item = json_first(run->applications); item; item = item->next) {
        struct application *application = map_get(&differ->applications, json_string(item, "key"));
        if (!application || application->build.run != run) {
            continue;
        }
        if (message) {
            builds_note_failure(application, message);
            message = is_for_all ? message : NULL;
        } else {
            application->build.run = NULL;
            application->build.is_due |= run->is_newest;
        }
    }
}

static void on_ended(struct run *run)
{
    struct repository *repository = run->repository;
    struct differ *differ = repository->differ;
    struct builds *builds = differ->builds;
    for (size_t i = 0; i < builds->count; i++) {
        if (builds->slots[i] == run) {
            builds->slots[i] = NULL;
            clear(run, i);
        }
    }
    repository->builds--;
    end_applications(run);
    if (run->objects_missing) {
        repository_lacks_objects(repository, run);
    }
    run_free(run);
    whole_wake(differ);
    start_check(differ);
    repository_step(repository); /* and with it whoever is next */
}

struct batch {
    struct repository *repository;
    struct application *applications[BATCH_MAXIMUM];
    size_t count, maximum;
    bool is_earlier;
};

/* What is told of the cluster may be gone since it was looked at: then it is looked at again. */
static bool has_values(struct application *application)
{
    if (charts_values_state(application) == CHARTS_VALUES_HERE) {
        return true;
    }
    application->needs_render = true;
    builds_forget(application);
    application_wake(application);
    return false;
}

static int compare_since(const void *left, const void *right)
{
    uint64_t a = (*(struct application *const *)left)->build.since;
    uint64_t b = (*(struct application *const *)right)->build.since;
    return (a > b) - (a < b);
}

/* Those that have waited for longest, or commits that come faster than builds end would put some
 * off for ever. Those that have failed come last, and then each by itself. */
static void fill(struct batch *batch, bool has_failed)
{
    struct differ *differ = batch->repository->differ;
    AUTO_FREE struct application **due = mem_new(batch->repository->builds_due, sizeof(*due));
    size_t count = 0, maximum = has_failed ? 1 : batch->maximum;
    for (struct map_slot *slot = map_first(&differ->applications);
         slot && count < batch->repository->builds_due;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        if (application->build.is_due && is_due(application) &&
            (application->build.failures > 0) == has_failed &&
            application_repository(application) == batch->repository) {
            due[count++] = application;
        }
    }
    if (count > 0) {
        qsort(due, count, sizeof(struct application *), compare_since);
    }
    for (size_t i = 0; i < count && batch->count < maximum; i++) {
        if (has_values(due[i])) {
            batch->applications[batch->count++] = due[i];
        }
    }
}

static void fill_earlier(struct batch *batch)
{
    struct differ *differ = batch->repository->differ;
    for (struct map_slot *slot = map_first(&differ->applications); slot && batch->count == 0;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        if (is_due(application) && is_earlier_due(application) &&
            application_repository(application) == batch->repository && has_values(application)) {
            batch->applications[batch->count++] = application;
            batch->is_earlier = true;
        }
    }
}

/* The more are due, the more of them share a run; but as long as there are few, one that is slow
 * should hold up nobody. */
static void choose(struct batch *batch, const struct builds *builds)
{
    size_t share = batch->repository->builds_due / (2 * builds->count);
    batch->maximum = share < 1 ? 1 : share < BATCH_MAXIMUM ? share : BATCH_MAXIMUM;
    fill(batch, false);
    if (batch->count == 0) {
        fill(batch, true);
    }
    if (batch->count == 0) {
        fill_earlier(batch);
    }
}

static struct run *start(const struct batch *batch, size_t slot, struct error *error)
{
    struct repository *repository = batch->repository;
    const struct rollback *rollback = batch->is_earlier ? batch->applications[0]->rollback : NULL;
    AUTO_FREE char *memory = slot_memory(repository->differ, slot);
    AUTO_FREE char *name = mem_format("%zu", slot);
    cJSON *applications = json_new_array();
    for (size_t i = 0; i < batch->count; i++) {
        run_add_application(applications, batch->applications[i], NULL);
    }
    const struct run_options options = {
        .repository = repository,
        .commit = rollback ? rollback_commit(rollback) : repository->whole_commit,
        .revision = rollback ? rollback->to : repository->whole_revision,
        .sequence = repository->whole_sequence,
        .is_newest = !rollback,
        .applications = applications,
        .build = name,
        .memory = memory,
        .ended = on_ended,
    };
    return run_start(&options, error);
}

/* False: nothing came of it. */
static bool begin(struct repository *repository, size_t slot)
{
    struct builds *builds = repository->differ->builds;
    struct batch batch = {.repository = repository};
    struct error error = {0};
    choose(&batch, builds);
    struct run *run = batch.count > 0 ? start(&batch, slot, &error) : NULL;
    for (size_t i = 0; i < batch.count; i++) {
        if (run) {
            batch.applications[i]->build.run = run;
            batch.applications[i]->build.is_due &= batch.is_earlier;
        } else {
            builds_note_failure(batch.applications[i], error.message);
        }
    }
    if (run) {
        builds->slots[slot] = run;
        repository->builds++;
        repository->build_turn = ++builds->turns;
    }
    return run != NULL;
}

void builds_step(struct differ *differ)
{
    struct builds *builds = differ->builds;
    for (size_t slot = 0; builds && slot < builds->count; slot++) {
        if (builds->slots[slot]) {
            continue;
        }
        count_due(differ);
        struct repository *repository = next_repository(differ);
        if (!repository || !begin(repository, slot)) {
            return;
        }
    }
}
