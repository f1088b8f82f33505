#include "differ/drift_watch.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/drift.h"
#include "differ/drift_log.h"

#include <string.h>

#define REASON_SHOWN 300 /* bytes of it in an Event */

static struct metric comparisons = {
    .name = "gitmoor_differ_drift_comparisons_total",
    .help =
        "Watch events that were compared with what Git declares, by result: equal or different.",
    .type = METRIC_COUNTER,
    .label = "result",
};
static struct metric edits = {
    .name = "gitmoor_differ_break_glass_edits_total",
    .help = "Changes and deletions of managed objects that break-glass let through, by change.",
    .type = METRIC_COUNTER,
    .label = "change",
};
static const double repair_bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300, 0};
static struct metric repair_seconds = {
    .name = "gitmoor_differ_drift_repair_seconds",
    .help = "Time from the watch event that showed drift to its repair.",
    .type = METRIC_HISTOGRAM,
    .bounds = repair_bounds,
};

/* ---- Telling of it ---- */

static void describe(const struct drift_note *note, struct arena *arena, struct buf *out)
{
    const struct blame *blame = note->blame;
    buf_append_format(out, "%s was %s", object_ref_describe(note->ref, arena),
                      blame ? "changed" : "deleted, or lost our label");
    if (note->reason) {
        buf_append_format(out, " by break-glass (%.*s)", REASON_SHOWN, note->reason);
    } else {
        buf_append_string(out, " outside Git");
    }
    for (size_t i = 0; blame && i < blame->count; i++) {
        buf_append_format(out, "%s%s", i > 0 ? ", " : ": ", blame->fields[i]);
    }
    if (blame && blame->total > blame->count) {
        buf_append_format(out, " and %zu more", blame->total - blame->count);
    }
    if (blame && blame->manager) {
        buf_append_format(out, ", by field manager %s", blame->manager);
    }
}

/* A repair has its own Event; what is let through by break-glass is told in any case. */
static void tell(struct application *application, const struct drift_note *note)
{
    bool repaired = application->spec.self_heal && !application->spec.suspend &&
                    !break_glass_holds(application);
    if (note->reason) {
        metric_add(&edits, note->blame ? "changed" : "deleted", 1);
    } else if (repaired) {
        return;
    }
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_BUF struct buf text;
    buf_init(&text, 8192);
    describe(note, &arena, &text);
    log_warn(note->reason ? "edit by break-glass" : "drift", "application", application->key,
             "what", text.data);
    status_event(application, "Warning", note->reason ? "BreakGlassEdit" : "Drifted", "Watch",
                 text.data);
}

/* ---- The watch ---- */

static const struct plan_item *item_under_way(const struct application *application,
                                              const char *key)
{
    const struct plan_under_way *way = application->plan;
    for (size_t i = 0; way && i < way->count; i++) {
        if (text_equal(way->items[i].key, key)) {
            return &way->items[i];
        }
    }
    return NULL;
}

static void find_blame(const struct desired_object *desired, const struct live_object *live,
                       const cJSON *object, struct arena *arena, struct blame *ret)
{
    AUTO_JSON cJSON *tree = NULL;
    bool added = drift_judge(desired, live) == DRIFT_ADDED;
    const char *text = added ? live->owners : desired->text;
    if (!json_parse(text, added ? strlen(text) : desired->size, NULL, &tree, NULL)) {
        return;
    }
    if (added) {
        blame_find_added(object, tree, arena, ret);
    } else {
        blame_find(tree, object, arena, ret);
    }
}

static void note_drift(struct application *application, struct desired_object *desired,
                       const struct live_object *live, const cJSON *object)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    struct blame blame = {0};
    if (object) {
        find_blame(desired, live, object, &arena, &blame);
        if (blame.total == 0) {
            return; /* the server writes it in another way now: nobody's doing */
        }
    }
    const struct drift_note note = {.ref = &desired->ref,
                                    .blame = object ? &blame : NULL,
                                    .reason = live->reason,
                                    .now = clock_wall_ms()};
    if (drift_log_note(application->drift_log, &note)) {
        tell(application, &note);
    }
}

void drift_watch_take(struct application *application, struct desired_object *desired,
                      const struct live_object *live, const cJSON *object)
{
    if (digest_is_zero(&desired->synced) || desired->adopt_version != 0) {
        return; /* not applied yet in this form: whatever it is like, it is no drift */
    }
    bool equal = object && drift_judge(desired, live) == DRIFT_NONE;
    metric_add(&comparisons, equal ? "equal" : "different", 1);
    if (equal && !json_first(application->drift_log)) {
        return;
    }
    const struct plan_item *item = item_under_way(application, desired->key);
    if (equal) {
        desired->drifted_at = item ? desired->drifted_at : 0;
        drift_log_end(application->drift_log, &desired->ref, item ? "Repaired" : "Reverted",
                      clock_wall_ms());
        return;
    }
    if ((object && live->deleting) || (item && !item->heals)) {
        return; /* told when it is gone; or it is being made what Git declares by now */
    }
    if (desired->drifted_at == 0) {
        desired->drifted_at = clock_monotonic_ms();
    }
    note_drift(application, desired, live, object);
}

void drift_watch_repaired(struct application *application, struct desired_object *desired,
                          const struct object_ref *ref)
{
    drift_log_end(application->drift_log, ref, "Repaired", clock_wall_ms());
    if (desired && desired->drifted_at != 0) {
        metric_observe(&repair_seconds, NULL,
                       (double)(clock_monotonic_ms() - desired->drifted_at) / 1000);
        desired->drifted_at = 0;
    }
}
