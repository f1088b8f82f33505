/* The live replicas of a role, by their Leases. See lease.h. */
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/internal.h"
#include "common/kube/lease.h"
#include "common/kube/watch.h"

#include <event2/event.h>
#include <string.h>

#define CHECK_MS 500
#define BURY_MS 5000
#define CLOCK_SKEW_MS 30000 /* between machines, for a Lease that we see for the first time */
#define SECONDS_MAXIMUM 3600

struct peer {
    struct kube_peer shown;
    char *path, *version; /* of its Lease: the resourceVersion */
    int64_t seen;         /* monotonic ms of the last change of its Lease */
    int64_t duration_ms;
    bool alive;
    bool buried; /* its Lease ran out, and is being deleted */
};

struct kube_peers {
    struct kube_client *client;
    char *path; /* of the Leases */
    struct kube_store *store;
    struct event *timer;
    struct map peers; /* by name of the Lease */
    void (*changed)(void *context);
    void *context;
    const struct kube_lease *own; /* or NULL */
    bool suspended;               /* the watch is in trouble */
    bool stale;                   /* the own Lease is */
    bool dirty;                   /* told at the end of the turn, once */
};

static void peer_free(void *value)
{
    struct peer *peer = value;
    if (peer) {
        free((char *)peer->shown.instance);
        free((char *)peer->shown.address);
        free(peer->path);
        free(peer->version);
        free(peer);
    }
}

/* `changed` is called by the timer, never from within the store. */
static void note(struct kube_peers *peers)
{
    if (!peers->dirty) {
        peers->dirty = true;
        event_active(peers->timer, EV_TIMEOUT, 0);
    }
}

static void replace(const char **text, const char *value, bool *changed)
{
    if (!text_equal(*text, value)) {
        free((char *)*text);
        *text = mem_string(value);
        *changed = true;
    }
}

/* Whether a Lease that we have not seen before can still be alive, by the clocks on the wall. */
static bool is_recent(const cJSON *lease, int64_t duration_ms)
{
    int64_t renewed = 0;
    const char *time = json_string_path(lease, "spec.renewTime");
    return clock_parse_rfc3339(text_or_empty(time), &renewed) &&
           renewed + duration_ms + CLOCK_SKEW_MS > clock_wall_ms();
}

static char *path_of(const struct kube_peers *peers, const char *name)
{
    AUTO_BUF struct buf path = {0};
    buf_init(&path, 65536);
    buf_append_format(&path, "%s/", peers->path);
    buf_append_percent(&path, name);
    return mem_string(path.data);
}

static void update(struct kube_peers *peers, const char *name, const cJSON *lease, bool is_new)
{
    struct peer *peer = map_get(&peers->peers, name);
    const cJSON *spec = json_object(lease, "spec");
    const cJSON *annotations = json_object(json_object(lease, "metadata"), "annotations");
    int64_t seconds = json_int(spec, "leaseDurationSeconds", KUBE_LEASE_SECONDS);
    bool changed = false;
    if (!peer) {
        peer = NEW(struct peer);
        peer->path = path_of(peers, name);
        map_set(&peers->peers, name, peer);
    }
    free(peer->version);
    peer->version = mem_string(json_string_path(lease, "metadata.resourceVersion"));
    peer->duration_ms = 1000 * (seconds < 1                 ? 1
                                : seconds > SECONDS_MAXIMUM ? SECONDS_MAXIMUM
                                                            : seconds);
    replace(&peer->shown.instance, text_or_empty(json_string(spec, "holderIdentity")), &changed);
    replace(&peer->shown.address, text_or_empty(json_string(annotations, KUBE_ADDRESS_ANNOTATION)),
            &changed);
    peer->seen = clock_monotonic_ms();
    peer->buried = false;
    bool alive = *peer->shown.instance && (!is_new || is_recent(lease, peer->duration_ms));
    if (changed || alive != peer->alive) {
        peer->alive = alive;
        note(peers);
    }
}

static void on_changed(const char *namespace_, const char *name, const cJSON *now,
                       const cJSON *before, void *context)
{
    struct kube_peers *peers = context;
    (void)namespace_;
    if (now) {
        update(peers, name, now, before == NULL);
    } else {
        peer_free(map_remove(&peers->peers, name));
        note(peers);
    }
}

static void on_synced(void *context)
{
    note(context);
}

/* To renew. */
static void give_time(struct kube_peers *peers)
{
    for (struct map_slot *slot = map_first(&peers->peers); slot;
         slot = map_next(&peers->peers, slot)) {
        struct peer *peer = slot->value;
        peer->seen = clock_monotonic_ms();
    }
}

/* Whether a Lease that is not renewed says something about its holder. */
static bool may_judge(struct kube_peers *peers)
{
    bool was_stale = peers->stale;
    peers->stale = peers->own && !kube_lease_is_fresh(peers->own);
    if (was_stale && !peers->stale) {
        give_time(peers);
    }
    return !peers->stale && !peers->suspended;
}

static void on_trouble(const struct error *error, void *context)
{
    struct kube_peers *peers = context;
    peers->suspended = error != NULL;
    if (!error) {
        give_time(peers);
    }
}

static void on_buried(const struct kube_response *response, void *context)
{
    (void)response; /* another was faster, or it is alive after all: the watch tells */
    (void)context;
}

/* A replica that starts now could not tell that it is dead. The precondition: it has not been
 * renewed since. */
static void bury(struct kube_peers *peers, const struct peer *peer)
{
    AUTO_JSON cJSON *options = json_new_object();
    AUTO_BUF struct buf body = {0};
    json_add_string(json_add_object(options, "preconditions"), "resourceVersion",
                    text_or_empty(peer->version));
    buf_init(&body, 4096);
    json_write(options, &body);
    struct kube_request request = {
        .method = KUBE_DELETE,
        .path = peer->path,
        .content_type = "application/json",
        .body = body.data,
        .body_size = body.size,
        .timeout_ms = BURY_MS,
    };
    kube_client_call(peers->client, &request, on_buried, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct kube_peers *peers = context;
    int64_t now = clock_monotonic_ms();
    struct timeval interval = {CHECK_MS / 1000, CHECK_MS % 1000 * 1000};
    (void)fd;
    (void)what;
    bool judging = may_judge(peers);
    for (struct map_slot *slot = map_first(&peers->peers); slot && judging;
         slot = map_next(&peers->peers, slot)) {
        struct peer *peer = slot->value;
        if (!peer->buried && now - peer->seen >= peer->duration_ms) {
            peers->dirty |= peer->alive;
            peer->alive = false;
            peer->buried = true;
            bury(peers, peer);
        }
    }
    evtimer_add(peers->timer, &interval);
    if (peers->dirty) {
        peers->dirty = false;
        peers->changed(peers->context); /* may free us */
    }
}

struct kube_peers *kube_peers_new(struct kube_client *client, const char *namespace_,
                                  const char *role, void (*changed)(void *context), void *context)
{
    struct kube_peers *peers = NEW(struct kube_peers);
    AUTO_BUF struct buf path = {0};
    AUTO_FREE char *selector = mem_format("%s=%s", KUBE_ROLE_LABEL, role);
    peers->client = client;
    peers->changed = changed;
    peers->context = context;
    map_init(&peers->peers);
    peers->timer = evtimer_new(client->base, on_timer, peers);
    event_active(peers->timer, EV_TIMEOUT, 0);
    buf_init(&path, 65536);
    buf_append_string(&path, "/apis/coordination.k8s.io/v1/namespaces/");
    buf_append_percent(&path, namespace_);
    buf_append_string(&path, "/leases");
    peers->path = mem_string(path.data);
    struct kube_store_options options = {
        .watch = {.path = path.data,
                  .api_version = "coordination.k8s.io/v1",
                  .kind = "Lease",
                  .label_selector = selector},
        .changed = on_changed,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = peers,
    };
    peers->store = kube_store_new(client, &options);
    return peers;
}

void kube_peers_witness(struct kube_peers *peers, const struct kube_lease *own)
{
    peers->own = own;
}

void kube_peers_free(struct kube_peers *peers)
{
    if (!peers) {
        return;
    }
    kube_store_free(peers->store);
    event_free(peers->timer);
    map_release(&peers->peers, peer_free);
    free(peers->path);
    free(peers);
}

bool kube_peers_is_synced(const struct kube_peers *peers)
{
    return kube_store_is_synced(peers->store);
}

size_t kube_peers_count(const struct kube_peers *peers)
{
    size_t count = 0;
    for (struct map_slot *slot = map_first(&peers->peers); slot;
         slot = map_next(&peers->peers, slot)) {
        const struct peer *peer = slot->value;
        count += peer->alive;
    }
    return count;
}

static int compare_peers(const void *left, const void *right)
{
    const struct peer *const *a = left;
    const struct peer *const *b = right;
    return strcmp((*a)->shown.instance, (*b)->shown.instance);
}

void kube_peers_each(const struct kube_peers *peers,
                     void (*visit)(const struct kube_peer *peer, void *context), void *context)
{
    AUTO_FREE const struct peer **sorted = mem_new(peers->peers.count, sizeof(*sorted));
    size_t count = 0;
    for (struct map_slot *slot = map_first(&peers->peers); slot;
         slot = map_next(&peers->peers, slot)) {
        const struct peer *peer = slot->value;
        if (peer->alive) {
            sorted[count++] = peer;
        }
    }
    qsort(sorted, count, sizeof(*sorted), compare_peers);
    for (size_t i = 0; i < count; i++) {
        visit(&sorted[i]->shown, context);
    }
}

bool kube_rendezvous_before(const char *key, const char *left, const char *right)
{
    struct digest digests[2];
    const char *names[] = {left, right};
    for (size_t i = 0; i < 2; i++) {
        AUTO_FREE char *text = mem_format("%s\n%s", key, names[i]);
        digest_of(text, strlen(text), &digests[i]);
    }
    return memcmp(digests[0].bytes, digests[1].bytes, DIGEST_SIZE) > 0;
}

bool kube_peers_owner(const struct kube_peers *peers, const char *key, struct kube_peer *ret)
{
    const struct peer *best = NULL;
    for (struct map_slot *slot = map_first(&peers->peers); slot;
         slot = map_next(&peers->peers, slot)) {
        const struct peer *peer = slot->value;
        if (peer->alive &&
            (!best || kube_rendezvous_before(key, peer->shown.instance, best->shown.instance))) {
            best = peer;
        }
    }
    if (best) {
        *ret = best->shown;
    }
    return best != NULL;
}
