#include "common/run/bus_metrics.h"

#include "common/run/metrics.h"

/* Each link that the process has peers on, or that something was dropped of, has its series: those
 * of the others would only be noise. */
static bool is_ours(const struct bus_link_state *state, const struct bus_link_stats *stats)
{
    return state->peers > 0 || stats->sent > 0 || stats->received > 0;
}

static void collect_drops(const char *link, const struct bus_link_stats *stats)
{
    static struct metric dropped = {
        .name = "gitmoor_bus_dropped_total",
        .help = "Messages dropped, by the link that they claim to be of and the reason.",
        .type = METRIC_COUNTER,
        .label = "link",
        .second_label = "reason"};
    for (unsigned reason = 0; reason < BUS_DROPS; reason++) {
        if (stats->dropped[reason] > 0) {
            metric_set_two(&dropped, link, bus_drop_name(reason), (double)stats->dropped[reason]);
        }
    }
}

static void collect_link(const struct bus *bus, enum bus_link link)
{
    static struct metric sent = {.name = "gitmoor_bus_sent_total",
                                 .help = "Hints sent for the first time, by link.",
                                 .type = METRIC_COUNTER,
                                 .label = "link"};
    static struct metric resent = {.name = "gitmoor_bus_resent_total",
                                   .help = "Hints sent again, for want of an acknowledgement.",
                                   .type = METRIC_COUNTER,
                                   .label = "link"};
    static struct metric received = {.name = "gitmoor_bus_received_total",
                                     .help = "Hints taken, by link.",
                                     .type = METRIC_COUNTER,
                                     .label = "link"};
    static struct metric waiting = {.name = "gitmoor_bus_waiting",
                                    .help = "Hints that no peer has acknowledged yet, by link.",
                                    .type = METRIC_GAUGE,
                                    .label = "link"};
    static struct metric peers = {
        .name = "gitmoor_bus_peers",
        .help = "Peers, by link and state: up (heard of within 15 s) or silent.",
        .type = METRIC_GAUGE,
        .label = "link",
        .second_label = "state"};
    const char *name = bus_link_name(link);
    const struct bus_link_stats *stats = &bus_stats(bus)->links[link];
    const struct bus_link_state state = bus_link_state(bus, link);
    if (!is_ours(&state, stats)) {
        return;
    }
    metric_set(&sent, name, (double)stats->sent);
    metric_set(&resent, name, (double)stats->resent);
    metric_set(&received, name, (double)stats->received);
    metric_set(&waiting, name, (double)state.waiting);
    metric_set_two(&peers, name, "up", (double)state.up);
    metric_set_two(&peers, name, "silent", (double)(state.peers - state.up));
}

static void collect(void *context)
{
    const struct bus *bus = context;
    for (unsigned link = 0; link < BUS_LINKS; link++) {
        collect_link(bus, link);
        collect_drops(bus_link_name(link), &bus_stats(bus)->links[link]);
    }
    collect_drops("none", &bus_stats(bus)->links[BUS_LINKS]);
}

void bus_metrics_open(struct bus *bus)
{
    if (bus) {
        metrics_on_collect(collect, bus);
    }
}
