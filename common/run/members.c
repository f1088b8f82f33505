#include "common/run/members.h"

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/lease.h"
#include "common/run/log.h"

#include <event2/event.h>
#include <string.h>

#define RELEASE_MS 2500 /* for giving the Lease back at the end */
#define CHECK_MS 250    /* how often it is looked at whether the own Lease is held */

/* The replicas of one role at the other end of a link. */
struct side {
    struct members *members;
    struct members_link link;
    char *role;
    struct bus_peer *fixed;   /* by flag */
    struct kube_peers *peers; /* by Leases */
    struct map by_inbox;      /* inbox → struct bus_peer * */
};

struct members {
    struct members_options options;
    bool leases;
    struct kube_lease *lease;
    struct kube_peers *own; /* the replicas of the own role */
    struct side sides[MEMBERS_LINKS_MAXIMUM];
    size_t count;
    struct event *timer;
    bool held; /* the own Lease, when last looked at */
    bool warned;
    bool leaving, released;
};

static void tell_changed(struct members *members)
{
    if (members->options.changed && !members->leaving) {
        members->options.changed(members->options.context);
    }
}

/* ---- Peers of the bus follow the Leases ---- */

struct sync {
    struct side *side;
    struct map seen;
};

static void keep_peer(const struct kube_peer *peer, void *context)
{
    struct sync *sync = context;
    struct side *side = sync->side;
    map_set(&sync->seen, peer->address, sync);
    if (map_has(&side->by_inbox, peer->address)) {
        return;
    }
    struct error error;
    struct bus_peer *added =
        bus_peer_add(side->members->options.bus, side->link.link, peer->address, &error);
    if (!added) {
        log_warn("a peer's address is of no use", "role", side->role, "instance", peer->instance,
                 "error", error.message);
        return;
    }
    map_set(&side->by_inbox, peer->address, added);
    log_info("peer joined", "role", side->role, "instance", peer->instance, "address",
             peer->address);
}

static void drop_gone(struct side *side, const struct map *seen)
{
    const struct members_options *options = &side->members->options;
    const char **inboxes = map_sorted_keys(&side->by_inbox);
    for (size_t i = 0, count = side->by_inbox.count; i < count; i++) {
        if (!map_has(seen, inboxes[i])) {
            log_info("peer left", "role", side->role, "address", inboxes[i]);
            struct bus_peer *peer = map_remove(&side->by_inbox, inboxes[i]);
            if (options->gone) {
                options->gone(peer, options->context);
            }
            bus_peer_remove(options->bus, peer);
        }
    }
    free(inboxes);
}

static void on_side_changed(void *context)
{
    struct side *side = context;
    struct members *members = side->members;
    struct sync sync = {.side = side};
    map_init(&sync.seen);
    kube_peers_each(side->peers, keep_peer, &sync);
    drop_gone(side, &sync.seen);
    map_release(&sync.seen, NULL);
    tell_changed(members);
}

static void on_own_changed(void *context)
{
    struct members *members = context;
    tell_changed(members);
}

/* ---- The own Lease ---- */

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct members *members = context;
    bool held = kube_lease_is_held(members->lease);
    const char *trouble = kube_lease_trouble(members->lease);
    if (held == members->held) {
        if (!held && trouble && !members->warned) {
            log_warn("cannot write the Lease of this replica", "error", trouble);
            members->warned = true;
        }
        return;
    }
    members->held = held;
    members->warned = false;
    if (held) {
        log_info("the Lease is held");
        tell_changed(members);
    } else {
        log_warn("the Lease could not be renewed in time: no new work until it is", "error",
                 trouble ? trouble : "no answer");
    }
}

static void watch_lease(struct members *members)
{
    const struct timeval interval = {.tv_usec = CHECK_MS * 1000};
    members->timer =
        event_new(process_loop(members->options.process), -1, EV_PERSIST, on_timer, members);
    event_add(members->timer, &interval);
}

/* ---- Life ---- */

static bool add_fixed(struct members *members, struct error *error)
{
    for (size_t i = 0; i < members->count; i++) {
        struct side *side = &members->sides[i];
        if (text_is_empty(side->link.inbox)) {
            continue;
        }
        side->fixed = bus_peer_add(members->options.bus, side->link.link, side->link.inbox, error);
        if (!side->fixed) {
            return false;
        }
    }
    return true;
}

/* What tells whether a replica that does not renew its Lease could. */
static void set_witness(struct members *members, const struct kube_lease *own)
{
    kube_peers_witness(members->own, own);
    for (size_t i = 0; i < members->count; i++) {
        kube_peers_witness(members->sides[i].peers, own);
    }
}

static bool join(struct members *members, struct error *error)
{
    const struct members_options *options = &members->options;
    const struct process_settings *settings = options->settings;
    const char *instance = process_instance(options->process);
    const char *address =
        text_is_empty(settings->bus_advertise) ? settings->bus : settings->bus_advertise;
    if (text_is_empty(address) || text_has_prefix(address, "tcp://0.0.0.0:") ||
        text_has_prefix(address, "tcp://[::]:")) {
        return error_set(error, ERROR_INVALID,
                         "with --lease-namespace the others must be told an address that they can "
                         "reach: give --bus-advertise tcp://IP:PORT");
    }
    /* Replicas of two roles may bear the same host name. */
    AUTO_FREE char *name = mem_format("%s.%s", instance, options->role);
    const struct kube_lease_options lease = {.namespace_ = settings->lease_namespace,
                                             .name = name,
                                             .role = options->role,
                                             .instance = instance,
                                             .address = address,
                                             .pod_uid = settings->pod_uid};
    members->lease = kube_lease_new(options->client, &lease);
    watch_lease(members);
    members->own = kube_peers_new(options->client, settings->lease_namespace, options->role,
                                  on_own_changed, members);
    for (size_t i = 0; i < members->count; i++) {
        members->sides[i].peers =
            kube_peers_new(options->client, settings->lease_namespace, members->sides[i].role,
                           on_side_changed, &members->sides[i]);
    }
    set_witness(members, members->lease);
    return true;
}

struct members *members_new(const struct members_options *options, struct error *error)
{
    struct members *members = NEW(struct members);
    members->options = *options;
    members->leases = !text_is_empty(options->settings->lease_namespace);
    members->count = options->count;
    for (size_t i = 0; i < options->count; i++) {
        struct side *side = &members->sides[i];
        side->members = members;
        side->link = options->links[i];
        side->role = mem_string(options->links[i].role);
        map_init(&side->by_inbox);
    }
    bool opened = members->leases ? join(members, error) : add_fixed(members, error);
    if (!opened) {
        members_free(members);
        return NULL;
    }
    return members;
}

static void on_released(void *context)
{
    struct members *members = context;
    members->released = true;
    event_base_loopbreak(process_loop(members->options.process));
}

/* The others learn from the Lease that it is gone; that is worth waiting for. */
void members_leave(struct members *members)
{
    if (!members || !members->lease) {
        return;
    }
    struct event_base *loop = process_loop(members->options.process);
    int64_t deadline = clock_monotonic_ms() + RELEASE_MS;
    event_free(members->timer);
    members->leaving = true;
    set_witness(members, NULL);
    kube_lease_free(members->lease, on_released, members);
    members->lease = NULL;
    while (!members->released && clock_monotonic_ms() < deadline) {
        const struct timeval tick = {.tv_usec = 20000};
        event_base_loopexit(loop, &tick);
        event_base_dispatch(loop);
    }
}

void members_free(struct members *members)
{
    if (!members) {
        return;
    }
    members_leave(members);
    kube_peers_free(members->own);
    for (size_t i = 0; i < members->count; i++) {
        struct side *side = &members->sides[i];
        kube_peers_free(side->peers);
        map_release(&side->by_inbox, NULL);
        free(side->role);
    }
    free(members);
}

/* ---- Questions ---- */

bool members_is_ready(const struct members *members)
{
    return !members->leases ||
           (kube_peers_is_synced(members->own) && kube_peers_count(members->own) > 0);
}

bool members_is_mine(const struct members *members, const char *key)
{
    struct kube_peer owner;
    return !members->leases ||
           (kube_peers_owner(members->own, key, &owner) &&
            text_equal(owner.instance, process_instance(members->options.process)));
}

bool members_may_work(const struct members *members)
{
    return !members->leases || (members->lease && kube_lease_is_held(members->lease));
}

static const struct side *find_side(const struct members *members, const char *role)
{
    for (size_t i = 0; i < members->count; i++) {
        if (text_equal(members->sides[i].role, role)) {
            return &members->sides[i];
        }
    }
    return NULL;
}

struct bus_peer *members_owner(const struct members *members, const char *role, const char *key)
{
    const struct side *side = find_side(members, role);
    struct kube_peer owner;
    if (!side || !members->leases) {
        return side ? side->fixed : NULL;
    }
    return kube_peers_owner(side->peers, key, &owner) ? map_get(&side->by_inbox, owner.address)
                                                      : NULL;
}

void members_each(const struct members *members, const char *role,
                  void (*visit)(struct bus_peer *peer, void *context), void *context)
{
    const struct side *side = find_side(members, role);
    if (!side) {
        return;
    }
    if (side->fixed) {
        visit(side->fixed, context);
    }
    for (struct map_slot *slot = map_first(&side->by_inbox); slot;
         slot = map_next(&side->by_inbox, slot)) {
        visit(slot->value, context);
    }
}
