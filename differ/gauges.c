#include "differ/gauges.h"

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
void gauges_collect(void *context)
{
    struct differ *differ = context;
    struct live_stats stats = live_stats(differ->live);
    metric_set(&objects_gauge, NULL, (double)stats.objects);
    metric_set(&kinds_gauge, NULL, (double)stats.kinds);
    metric_set(&events_gauge, NULL, (double)stats.events);
    size_t applied = 0, failed = 0, total = 0, drifted = 0, fights = 0, suspended = 0;
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        const struct application *application = slot->value;
        total++;
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
