/* What the applier answers to a plan: what it was told of each object becomes what we know of it,
 * and what it was refused becomes the application's problems. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/adoption.h"
#include "differ/dispatch.h"
#include "differ/drift.h"
#include "differ/drift_watch.h"
#include "differ/force.h"
#include "differ/hooks.h"
#include "differ/kinds.h"
#include "differ/remedy.h"

#include <string.h>

#define FETCH_TIMEOUT_MS 30000
#define NAMED_MAXIMUM 10 /* objects in an Event */

static struct metric repairs = {
    .name = "gitmoor_differ_drift_repairs_total",
    .help = "Objects whose drift was repaired.",
    .type = METRIC_COUNTER,
};
static const double plan_bounds[] = {0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 0};
static struct metric plan_seconds = {
    .name = "gitmoor_differ_plan_seconds",
    .help = "Time from sending a plan to its result, by kind.",
    .type = METRIC_HISTOGRAM,
    .label = "kind",
    .bounds = plan_bounds,
};

/* A result while it is read. */
struct reading {
    struct application *application;
    struct problems problems;
    bool not_allowed; /* something was refused by the tenancy settings */
    size_t repaired;  /* objects that a repair has changed */
    size_t recreated; /* that are to be made anew by the next plan */
    size_t given_up;  /* hooks that could not be created, and are not needed for anything */
    size_t raced;     /* whose owners were not written, since they are of a newer version by now */
};

/* ---- Object by object ---- */

static void note_deletion(struct application *application, const struct plan_item *item)
{
    live_record_deletion(application->differ->live, item->key, item->uid);
    application->released += item->gives_up;
    application->pruned += !application->plan->hooks && !item->gives_up;
}

/* What the desired object, if its text is still the one that was sent, looks like on the server. */
static void note_synced(struct application *application, const struct plan_item *item,
                        const struct digest *fingerprint, bool comparable, uint64_t version)
{
    struct desired_object *object = desired_find(application->desired, item->key);
    if (!object || !digest_equal(&object->digest, &item->digest)) {
        return;
    }
    object->repairs.failures = 0;
    object->moves_entries = object->recreate = false;
    if (!comparable) {
        object->adopt_version = version;
    } else {
        /* An API without managedFields gives none: then the text's own digest says that it was
         * applied, and what the watch tells is never equal to it. */
        object->synced = digest_is_zero(fingerprint) ? item->digest : *fingerprint;
    }
}

static void note_hook(struct reading *reading, const struct plan_item *item,
                      const struct plan_outcome *outcome)
{
    struct application *application = reading->application;
    struct live *live = application->differ->live;
    AUTO_FREE char *name = live_kind_name(item->ref.group, item->ref.kind);
    struct live_kind *kind = live_kind_get(live, name);
    if (kind && text_equal(kind->resource.version, item->ref.version)) {
        live_record(live, kind, &item->ref, application->label, outcome->uid,
                    outcome->resource_version, &outcome->fingerprint);
        live_record_run(live, item->key, item->run);
    }
    hooks_note_created(application, item->key, item->run);
}

/* Whoever made it, it has not run for this revision, and would seem to. */
static void note_check_of_hook(struct reading *reading, struct plan_item *item,
                               const struct plan_outcome *outcome)
{
    if (*outcome->resource_version && hook_kind_ends(item->ref.group, item->ref.kind)) {
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        problems_add(&reading->problems, object_ref_describe(&item->ref, &arena), item->file,
                     item->line,
                     "it exists already, and is no hook that Gitmoor has created: delete it, or "
                     "give the hook another name");
    }
}

static void note_success(struct reading *reading, const struct plan_item *item,
                         const struct plan_outcome *outcome)
{
    struct application *application = reading->application;
    struct differ *differ = application->differ;
    if (item->finalizer) {
        deletion_note_finalizer(application, item->adds);
        return;
    }
    if (item->uid) {
        note_deletion(application, item);
        return;
    }
    if (item->run) {
        note_hook(reading, item, outcome);
        return;
    }
    int64_t version = 0;
    text_parse_int(outcome->resource_version, &version);
    AUTO_FREE char *name = live_kind_name(item->ref.group, item->ref.kind);
    struct live_kind *kind = live_kind_get(differ->live, name);
    bool comparable = !kind || text_equal(kind->resource.version, item->ref.version);
    if (item->owners) {
        live_forget_owners(differ->live, item->key, (uint64_t)version);
        if (kind && comparable) {
            live_record(differ->live, kind, &item->ref, application->label, outcome->uid,
                        outcome->resource_version, &outcome->fingerprint);
        }
        return;
    }
    if (item->recreates) {
        force_tell(application, &item->ref);
    }
    note_synced(application, item, &outcome->fingerprint, comparable, (uint64_t)version);
    drift_watch_repaired(application, desired_find(application->desired, item->key), &item->ref);
    if (item->version != (uint64_t)version) {
        application->changed++;
        reading->repaired += item->heals;
        metric_add(&repairs, NULL, item->heals);
    }
    if (kind && comparable) {
        live_record(differ->live, kind, &item->ref, application->label, outcome->uid,
                    outcome->resource_version, &outcome->fingerprint);
    }
    if (item->keeps) {
        live_record_keep(differ->live, item->key);
    }
    if (text_equal(item->ref.kind, "CustomResourceDefinition")) {
        kinds_reload(differ);
    }
}

/* Somebody was quicker: what is to be done follows from what the watch tells. */
static void note_race(struct reading *reading, const struct plan_item *item)
{
    struct desired_object *object = desired_find(reading->application->desired, item->key);
    reading->raced++;
    live_forget_owners(reading->application->differ->live, item->key, item->version + 1);
    if (object) {
        drift_note_race(object);
    }
}

/* The server cannot convert the object for an entry of a version that lacks one of its fields; it
 * says the same of a field that Git declares and the schema lacks, but then of the patch. */
static void note_stuck_entries(struct application *application, const struct plan_item *item,
                               const struct plan_outcome *outcome)
{
    struct desired_object *object = desired_find(application->desired, item->key);
    if (object && !object->moves_entries &&
        strstr(outcome->message, "field not declared in schema") &&
        !strstr(outcome->message, "typed patch object")) {
        object->moves_entries = true;
        desired_look_again_at(application->desired, object);
    }
}

/* The server quotes values when it refuses an object's content; of a Secret they must not reach a
 * status or an Event (Argo CVE-2025-23216). */
static const char *shown_message(const struct plan_item *item, const struct plan_outcome *outcome)
{
    bool is_secret = !*item->ref.group && text_equal(item->ref.kind, "Secret");
    bool quotes = outcome->status != 403 && outcome->status != 404 && outcome->status != 409 &&
                  outcome->status != 0;
    return is_secret && quotes
               ? "the server refused its content; its words are kept back, since they may quote "
                 "the Secret: see kubectl apply --server-side --dry-run=server"
               : outcome->message;
}

/* What the item applies: of the revision in force, or of the one that waits. */
static struct desired_object *object_of(const struct application *application,
                                        const struct plan_item *item)
{
    bool of_waiting = application->plan->checks && application->waiting;
    struct desired_object *object =
        desired_find(of_waiting ? application->waiting->desired : application->desired, item->key);
    return object && digest_equal(&object->digest, &item->digest) ? object : NULL;
}

static void on_outcome(const struct plan_outcome *outcome, void *context)
{
    struct reading *reading = context;
    struct plan_under_way *way = reading->application->plan;
    if (outcome->index >= way->count) {
        return;
    }
    struct plan_item *item = &way->items[outcome->index];
    if (outcome->ok && way->dry_run) {
        item->done = true;
        if (way->checks) {
            adoption_note(reading->application, item, outcome);
        }
        if (!way->checks) {
            note_synced(reading->application, item, &outcome->fingerprint, true, 0);
        } else if (item->run) {
            note_check_of_hook(reading, item, outcome);
        }
        return;
    }
    if (outcome->ok) {
        if (!outcome->preflight) {
            item->done = true;
            reading->application->begun = true;
            note_success(reading, item, outcome);
        }
        return;
    }
    item->failed = true;
    reading->not_allowed |= text_equal(outcome->reason, TENANCY_REASON);
    if (item->owners && (outcome->status == 409 || outcome->status == 404)) {
        note_race(reading, item);
        return;
    }
    if (way->last_resort && item->run && !outcome->retryable) {
        hooks_note_refused(reading->application, item->key, item->run,
                           shown_message(item, outcome));
        reading->given_up++;
        return;
    }
    note_stuck_entries(reading->application, item, outcome);
    struct desired_object *object = object_of(reading->application, item);
    if (object && outcome->immutable && !item->recreates &&
        force_allows(reading->application, object)) {
        object->recreate = true;
        reading->recreated++;
        return;
    }
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_FREE char *advice = object ? force_advise(object, outcome->immutable) : NULL;
    problems_add(&reading->problems, object_ref_describe(&item->ref, &arena), item->file,
                 item->line, "%s%s%s%s", text_or_empty(advice),
                 item->gives_up ? "cannot be given up: "
                 : item->uid    ? "cannot be deleted: "
                                : "",
                 shown_message(item, outcome), remedy_for(outcome->status, outcome->message));
}

/* ---- The whole ---- */

/* A heal is an Event of its own. */
static void tell_repairs(struct application *application, size_t repaired)
{
    const struct plan_under_way *way = application->plan;
    if (!way->heal || repaired == 0) {
        return;
    }
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    const struct plan_item *last = &way->items[way->count - 1];
    AUTO_FREE char *note =
        text_equal(way->items[0].key, last->key)
            ? mem_format("repaired %s: it was changed outside Git",
                         object_ref_describe(&last->ref, &arena))
            : mem_format("repaired %zu objects that were changed outside Git", repaired);
    status_event(application, "Normal", "DriftRepaired", "Heal", note);
    log_info("drift repaired", "application", application->key, "objects", note);
}

/* Gitmoor looks after them no more, and that is not seen on them. */
static void tell_given_up(struct application *application)
{
    const struct plan_under_way *way = application->plan;
    AUTO_BUF struct buf names;
    buf_init(&names, 8192);
    size_t count = 0;
    for (size_t i = 0; i < way->count; i++) {
        if (way->items[i].gives_up && way->items[i].done && count++ < NAMED_MAXIMUM) {
            AUTO_ARENA struct arena arena;
            arena_init(&arena);
            buf_append_format(&names, "%s%s", count > 1 ? ", " : "",
                              object_ref_describe(&way->items[i].ref, &arena));
        }
    }
    if (count > NAMED_MAXIMUM) {
        buf_append_format(&names, " and %zu more", count - NAMED_MAXIMUM);
    }
    if (count > 0) {
        AUTO_FREE char *note = mem_format("kept, no longer managed: %s", names.data);
        status_event(application, "Normal", "Released", "Reconcile", note);
        log_info("objects are kept and no longer managed", "application", application->key,
                 "objects", names.data);
    }
}

/* Repairs that failed are tried again later, each object by itself; of a plan of nothing but
 * repairs also what was not tried: it was not for another object's sake that it failed. */
static void back_off_repairs(struct application *application)
{
    const struct plan_under_way *way = application->plan;
    for (size_t i = 0; i < way->count; i++) {
        const struct plan_item *item = &way->items[i];
        struct desired_object *object = desired_find(application->desired, item->key);
        if (object && item->heals && !item->owners &&
            (item->failed || (way->heal && !item->done))) {
            drift_note_failure(object, clock_monotonic_ms());
        }
    }
}

static void take_failure(struct application *application, const struct plan_result *result,
                         struct problems *problems)
{
    bool invalid = text_equal(result->outcome, "invalid") ||
                   (application->plan->checks && text_equal(result->outcome, "applied"));
    enum application_outcome outcome = result->not_allowed ? OUTCOME_DENIED
                                       : invalid           ? OUTCOME_INVALID
                                                           : OUTCOME_FAILED;
    if (problems->total == 0) {
        problems_add(problems, "", "", 0, "the applier could not execute the plan%s%s",
                     *result->message ? ": " : "", result->message);
    }
    problems_release(&application->problems);
    application->problems = *problems;
    problems_init(problems);
    outcome_set_from_problems(application, outcome, &application->problems);
    application->repair_failed = application->plan->heal;
    back_off_repairs(application);
    outcome_back_off(application);
}

static size_t count_untried(const struct plan_under_way *way)
{
    size_t untried = 0;
    for (size_t i = 0; i < way->count; i++) {
        untried += !way->items[i].done;
    }
    return untried;
}

static void judge(struct reading *reading, const struct plan_result *result)
{
    struct application *application = reading->application;
    struct problems *problems = &reading->problems;
    const struct plan_under_way *way = application->plan;
    if (reading->raced + reading->recreated + reading->given_up > 0 && problems->total == 0) {
        application->retry_at = 0;
        return; /* it is planned anew */
    }
    bool applied = text_equal(result->outcome, "applied");
    size_t untried = applied ? count_untried(way) : 0;
    if (untried > 0) {
        problems_add(problems, "", "", 0,
                     "the applier says nothing of %zu operations of the plan: a defect", untried);
    }
    bool is_refused = way->checks && problems->total > 0;
    if (untried > 0 || is_refused || text_equal(result->outcome, "invalid") ||
        text_equal(result->outcome, "failed")) {
        take_failure(application, result, problems);
    } else if (!applied && !way->cancelled) {
        outcome_back_off(application); /* the applier ends, or has another's plan */
    } else if (applied && (!way->heal || application->repair_failed)) {
        if (way->checks) {
            free(application->checked);
            application->checked = mem_string(way->revision);
        }
        application->repair_failed = false;
        application->retry_at = 0;
    }
}

static void take_result(struct application *application, const char *text, size_t size)
{
    struct plan_under_way *way = application->plan;
    struct reading reading = {.application = application};
    problems_init(&reading.problems);
    struct plan_result result = {.each = on_outcome, .context = &reading};
    struct error error;
    if (plan_result_parse(text, size, &result, &error)) {
        result.not_allowed |= reading.not_allowed;
        judge(&reading, &result);
    } else {
        log_error("a result of the applier cannot be read", "error", error.message);
        outcome_back_off(application);
    }
    problems_release(&reading.problems);
    tell_repairs(application, reading.repaired);
    tell_given_up(application);
    metric_observe(&plan_seconds,
                   way->dry_run ? "question"
                   : way->heal  ? "heal"
                                : "apply",
                   (double)(clock_monotonic_ms() - way->started) / 1000);
    dispatch_forget(application);
    application_wake(application);
}

/* ---- On its way ---- */

static struct application *application_of_plan(struct differ *differ, const char *id)
{
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        if (application->plan && text_equal(application->plan->id, id)) {
            return application;
        }
    }
    return NULL;
}

/* The result is lost: what it would have told is seen in the cluster, or planned again. */
static void take_loss(struct application *application, const char *why)
{
    log_warn("the result of a plan is lost, planning again", "application", application->key,
             "error", why);
    dispatch_forget(application);
    outcome_back_off(application);
    application_wake(application);
}

static void on_blob(char *data, size_t size, const struct error *error, void *context)
{
    struct application *application = context;
    application->plan->result_fetching = false; /* a plan that is forgotten cancels its fetch */
    if (data) {
        take_result(application, data, size);
    } else {
        take_loss(application, error->message);
    }
    free(data);
}

bool result_take_hint(struct differ *differ, struct bus_peer *peer, const cJSON *body)
{
    const char *id = json_string(body, "id");
    struct application *application = id ? application_of_plan(differ, id) : NULL;
    if (!application || application->plan->result_fetching) {
        return id != NULL; /* of a plan that nobody waits for any more, or told twice */
    }
    const char *text = json_string(body, "text");
    if (text) {
        take_result(application, text, strlen(text));
        return true;
    }
    struct digest digest;
    int64_t size = json_int(body, "size", -1);
    if (!digest_from_hex(json_string(body, "digest"), &digest) || size < 0) {
        take_loss(application, text_or_empty(json_string(body, "error")));
        return true;
    }
    application->plan->result_fetching = true;
    bus_blob_fetch(peer, &digest, (size_t)size, FETCH_TIMEOUT_MS, on_blob, application);
    return true;
}
