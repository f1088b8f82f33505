#include "differ/gauges.h"

#include "common/base/text.h"
#include "common/run/metrics.h"
#include "differ/application.h"

static struct metric objects_gauge = {
    .name = "gitmoor_differ_managed_objects",
    .help = "Live objects that carry our label.",
    .type = METRIC_GAUGE,
};
static struct metric kinds_gauge = {
    .name = "gitmoor_differ_watched_kinds",
    .help = "Kinds that are watched.",
    .type = METRIC_GAUGE,
};
static struct metric events_gauge = {
    .name = "gitmoor_differ_watch_events_total",
    .help = "Events seen on the watches of managed objects.",
    .type = METRIC_COUNTER,
};
static struct metric applications_gauge = {
    .name = "gitmoor_differ_applications",
    .help = "Applications, by outcome: applied, failed (invalid, held) or pending.",
    .type = METRIC_GAUGE,
    .label = "state",
};
static struct metric drifted_gauge = {
    .name = "gitmoor_differ_drifted_objects",
    .help = "Objects that are not as Git declares them now.",
    .type = METRIC_GAUGE,
};
static struct metric fights_gauge = {
    .name = "gitmoor_differ_fights",
    .help = "Objects that another writer keeps changing now.",
    .type = METRIC_GAUGE,
};
static struct metric break_glass_gauge = {
    .name = "gitmoor_differ_break_glass",
    .help = "Applications whose repairs are suspended by break-glass.",
    .type = METRIC_GAUGE,
};
static struct metric problems_gauge = {
    .name = "gitmoor_differ_problems",
    .help = "1 for each Application that is not well, and what: NotReady, Stalled, RolledBack, "
            "Drifted or Fight. One that is suspended, or waits for a sync window, is well.",
    .type = METRIC_GAUGE,
    .label = "application",
    .second_label = "problem",
};

static bool is_true(const cJSON *conditions, const char *type)
{
    return text_equal(json_string(status_condition(conditions, type), "status"), "True");
}

unsigned gauges_find_problems(const cJSON *conditions)
{
    const char *ready = json_string(status_condition(conditions, "Ready"), "reason");
    const char *drifted = json_string(status_condition(conditions, "Drifted"), "reason");
    static const char waits[] = "SyncWindowClosed";
    bool is_late = !is_true(conditions, "Ready") && !text_equal(ready, waits);
    bool has_drifted = is_true(conditions, "Drifted") && !text_equal(drifted, waits);
    unsigned problems = 0;
    problems |= is_late ? PROBLEM_NOT_READY : 0;
    problems |= is_true(conditions, "Stalled") ? PROBLEM_STALLED : 0;
    problems |= is_true(conditions, "RolledBack") ? PROBLEM_ROLLED_BACK : 0;
    problems |= has_drifted ? PROBLEM_DRIFTED : 0;
    problems |= text_equal(drifted, "Fight") ? PROBLEM_FIGHT : 0;
    return problems;
}

static void tell_problems(const struct application *application)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {{PROBLEM_NOT_READY, "NotReady"},
                 {PROBLEM_STALLED, "Stalled"},
                 {PROBLEM_ROLLED_BACK, "RolledBack"},
                 {PROBLEM_DRIFTED, "Drifted"},
                 {PROBLEM_FIGHT, "Fight"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0] && !application->spec.suspend; i++) {
        if (application->unwell & words[i].bit) {
            metric_set_two(&problems_gauge, application->key, words[i].word, 1);
        }
    }
}

void gauges_collect(void *context)
{
    struct differ *differ = context;
    struct live_stats stats = live_stats(differ->live);
    metric_set(&objects_gauge, NULL, (double)stats.objects);
    metric_set(&kinds_gauge, NULL, (double)stats.kinds);
    metric_set(&events_gauge, NULL, (double)stats.events);
    size_t applied = 0, failed = 0, total = 0, drifted = 0, fights = 0, suspended = 0;
    metric_clear(&problems_gauge);
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        const struct application *application = slot->value;
        total++;
        tell_problems(application);
        drifted += application->counts.drifted;
        fights += application->fights;
        suspended += break_glass_holds(application);
        applied += application->outcome == OUTCOME_APPLIED;
        failed += application->outcome == OUTCOME_INVALID ||
                  application->outcome == OUTCOME_DENIED ||
                  application->outcome == OUTCOME_FAILED || application->outcome == OUTCOME_HELD ||
                  application->outcome == OUTCOME_HOOK_FAILED;
    }
    metric_set(&applications_gauge, "applied", (double)applied);
    metric_set(&applications_gauge, "failed", (double)failed);
    metric_set(&applications_gauge, "pending", (double)(total - applied - failed));
    metric_set(&drifted_gauge, NULL, (double)drifted);
    metric_set(&fights_gauge, NULL, (double)fights);
    metric_set(&break_glass_gauge, NULL, (double)suspended);
}
