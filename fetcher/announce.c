#include "fetcher/announce.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"

#include <event2/event.h>
#include <string.h>

/* Whatever a hint that was lost would have said is said again so often (ARCHITECTURE). */
#define REPEAT_SECONDS 60
/* A pack of 200 MB takes 7 s; this is for a machine that is busy. */
#define PACK_TIMEOUT_MS (5 * 60 * 1000)
/* Of one repository; more than that is a differ gone wrong. */
#define PACKS_WAITING_MAXIMUM 64
#define HINT_LIMITS ((struct json_limits){BUS_HINT_MAXIMUM, 4, 4096})
/* Packs that are kept pinned in the blob store, so that what is announced is there. */
#define KEPT_MAXIMUM 256
#define KEPT_BYTES_MAXIMUM ((size_t)64 << 20)
#define KEPT_PACK_MAXIMUM ((size_t)8 << 20)
/* Larger ones are dropped when for so long nothing has been fetched from this process: the differ
 * has them, or asks again. */
#define LARGE_IDLE_SECONDS 10
/* A mirror that lacks what the differ wants is fetched again, but not over and over. */
#define REFETCH_PAUSE_MS 10000

static struct metric packs = {.name = "gitmoor_fetcher_packs_total",
                              .help = "Packs that the differ asked for, by result.",
                              .type = METRIC_COUNTER,
                              .label = "result"};
static struct metric pack_bytes = {.name = "gitmoor_fetcher_pack_bytes_total",
                                   .help = "Bytes of packs made.",
                                   .type = METRIC_COUNTER};

struct kept {
    TAILQ_ENTRY(kept) link;
    char *key; /* of the repository's uid, want and have */
    struct digest digest;
    size_t size;
};

struct announcer {
    struct fetcher *fetcher;
    struct event *repeat;
    TAILQ_HEAD(kept_list, kept) kept; /* the one used last is first */
    unsigned kept_count;
    size_t kept_bytes;
    struct kept_list large; /* in the blob store, not pinned, until nobody fetches any more */
    struct event *idle;
    uint64_t chunks_served; /* when `idle` was set */
};

static void pack_wanted_free(struct pack_wanted *wanted)
{
    json_free(wanted->have);
    free(wanted->want);
    free(wanted);
}

/* ---- revision ---- */

static uint64_t tell(struct bus_peer *peer, const char *kind, const cJSON *body)
{
    struct buf text AUTO_BUF;
    buf_init(&text, BUS_HINT_MAXIMUM);
    json_write(body, &text);
    struct error error;
    uint64_t id = peer ? bus_send(peer, kind, text.data, text.size, &error) : 0;
    if (peer && id == 0) {
        log_warn("cannot tell the differ", "kind", kind, "error", error.message);
    }
    return id;
}

static void tell_revision(struct bus_peer *peer, void *context)
{
    struct repository *repository = context;
    const char *inbox = bus_peer_inbox(peer);
    uint64_t *before = map_get(&repository->told, inbox);
    if (before) {
        bus_unsend(peer, *before); /* what it says is old, if it is not there yet */
    } else {
        before = NEW(uint64_t);
        map_set(&repository->told, inbox, before);
    }
    cJSON *body AUTO_JSON = json_new_object();
    json_add_string(body, "repository", repository->key);
    json_add_string(body, "uid", repository->uid);
    json_add_string(body, "revision", repository->revision);
    json_add_string(body, "commit", repository->commit);
    *before = tell(peer, "revision", body);
}

void announce_revision(struct repository *repository)
{
    if (repository->commit[0] && members_may_work(repository->fetcher->members)) {
        members_each(repository->fetcher->members, "differ", tell_revision, repository);
    }
}

void announce_all(struct fetcher *fetcher)
{
    for (struct map_slot *slot = map_first(&fetcher->repositories); slot;
         slot = map_next(&fetcher->repositories, slot)) {
        announce_revision(slot->value);
    }
}

static void on_repeat(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    announce_all(context);
}

void announcer_peer_up(struct bus_peer *peer, void *fetcher)
{
    log_info("peer is up", "instance", bus_peer_instance(peer));
    announce_all(fetcher);
}

static void forget_peer(struct repository *repository, const struct bus_peer *peer)
{
    struct pack_wanted *wanted = TAILQ_FIRST(&repository->packs);
    bool under_way = repository->job && !repository->job_is_fetch;
    free(map_remove(&repository->told, bus_peer_inbox(peer)));
    while (wanted) {
        struct pack_wanted *next = TAILQ_NEXT(wanted, link);
        if (wanted->peer == peer && under_way && wanted == TAILQ_FIRST(&repository->packs)) {
            wanted->peer = NULL; /* its child runs on: nobody is answered */
        } else if (wanted->peer == peer) {
            TAILQ_REMOVE(&repository->packs, wanted, link);
            repository->packs_count--;
            pack_wanted_free(wanted);
        }
        wanted = next;
    }
}

void announcer_peer_gone(struct bus_peer *peer, void *context)
{
    struct fetcher *fetcher = context;
    for (struct map_slot *slot = map_first(&fetcher->repositories); slot;
         slot = map_next(&fetcher->repositories, slot)) {
        forget_peer(slot->value, peer);
    }
}

/* ---- Packs that are kept ---- */

static char *key_of(const struct repository *repository, const struct pack_wanted *wanted)
{
    struct buf key AUTO_BUF;
    buf_init(&key, 2 * BUS_HINT_MAXIMUM);
    buf_append_format(&key, "%s %s ", repository->uid, wanted->want);
    json_write(wanted->have, &key);
    return buf_detach(&key);
}

static void forget(struct announcer *announcer, struct kept *kept)
{
    TAILQ_REMOVE(&announcer->kept, kept, link);
    announcer->kept_count--;
    announcer->kept_bytes -= kept->size;
    bus_blob_drop(announcer->fetcher->bus, &kept->digest);
    free(kept->key);
    free(kept);
}

static struct kept *recall(struct announcer *announcer, const char *key)
{
    struct kept *kept;
    TAILQ_FOREACH(kept, &announcer->kept, link)
    {
        if (text_equal(kept->key, key)) {
            TAILQ_REMOVE(&announcer->kept, kept, link);
            TAILQ_INSERT_HEAD(&announcer->kept, kept, link);
            return kept;
        }
    }
    return NULL;
}

static bool holds_digest(const struct announcer *announcer, const struct digest *digest)
{
    const struct kept *kept;
    TAILQ_FOREACH(kept, &announcer->kept, link)
    {
        if (digest_equal(&kept->digest, digest)) {
            return true;
        }
    }
    return false;
}

static void forget_large(struct announcer *announcer)
{
    struct kept *kept;
    while ((kept = TAILQ_FIRST(&announcer->large))) {
        TAILQ_REMOVE(&announcer->large, kept, link);
        bus_blob_drop(announcer->fetcher->bus, &kept->digest);
        free(kept);
    }
}

static void watch_idle(struct announcer *announcer)
{
    const struct timeval period = {.tv_sec = LARGE_IDLE_SECONDS};
    announcer->chunks_served = bus_stats(announcer->fetcher->bus)->blob_chunks_served;
    event_add(announcer->idle, &period);
}

static void on_idle(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct announcer *announcer = context;
    if (bus_stats(announcer->fetcher->bus)->blob_chunks_served == announcer->chunks_served) {
        forget_large(announcer);
    } else {
        watch_idle(announcer);
    }
}

static bool lend(struct announcer *announcer, const char *pack, size_t size, struct digest *ret,
                 struct error *error)
{
    if (!bus_blob_put(announcer->fetcher->bus, pack, size, false, ret, error)) {
        return false;
    }
    struct kept *kept = NEW(struct kept);
    kept->digest = *ret;
    TAILQ_INSERT_TAIL(&announcer->large, kept, link);
    watch_idle(announcer);
    return true;
}

/* Puts the pack into the blob store; small ones are pinned there, as long as they are kept. */
static bool keep(struct announcer *announcer, char *key, const char *pack, size_t size,
                 struct digest *ret, struct error *error)
{
    AUTO_FREE char *owned = key;
    digest_of(pack, size, ret);
    struct bus *bus = announcer->fetcher->bus;
    if (size > KEPT_PACK_MAXIMUM) {
        return lend(announcer, pack, size, ret, error);
    }
    if (holds_digest(announcer, ret)) {
        return bus_blob_put(bus, pack, size, false, ret, error);
    }
    while (announcer->kept_count > 0 && (announcer->kept_count >= KEPT_MAXIMUM ||
                                         announcer->kept_bytes + size > KEPT_BYTES_MAXIMUM)) {
        forget(announcer, TAILQ_LAST(&announcer->kept, kept_list));
    }
    if (!bus_blob_put(bus, pack, size, true, ret, error)) {
        return false;
    }
    struct kept *kept = NEW(struct kept);
    kept->key = owned;
    owned = NULL;
    kept->digest = *ret;
    kept->size = size;
    TAILQ_INSERT_HEAD(&announcer->kept, kept, link);
    announcer->kept_count++;
    announcer->kept_bytes += size;
    return true;
}

/* ---- pack-wanted and pack ---- */

static cJSON *new_answer(const char *repository_key, const char *want)
{
    cJSON *body = json_new_object();
    json_add_string(body, "repository", repository_key);
    json_add_string(body, "want", want);
    return body;
}

static void answer_pack(const struct repository *repository, const struct pack_wanted *wanted,
                        const struct digest *digest, size_t size)
{
    cJSON *body AUTO_JSON = new_answer(repository->key, wanted->want);
    char hex[DIGEST_HEX_SIZE];
    digest_to_hex(digest, hex);
    json_add_string(body, "digest", hex);
    json_add_int(body, "size", (int64_t)size);
    tell(wanted->peer, "pack", body);
}

static void answer_error(struct bus_peer *peer, const char *repository_key, const char *want,
                         const char *why)
{
    cJSON *body AUTO_JSON = new_answer(repository_key, want);
    json_add_string(body, "error", why);
    tell(peer, "pack", body);
}

/* What a failure says about the mirror: it is broken, or not (yet, or no longer) that far. */
static void mend_mirror(struct repository *repository, enum fetch_reason reason)
{
    bool broken = reason == FETCH_BROKEN_MIRROR || reason == FETCH_FAILED;
    int64_t since = clock_monotonic_ms() - repository->ended_ms;
    if ((broken || reason == FETCH_COMMIT_NOT_FOUND) && !repository->spec.suspend &&
        (repository->ended_ms == 0 || since > REFETCH_PAUSE_MS)) {
        repository_fetch_now(repository, broken);
    }
}

static void fail_pack(struct repository *repository, const struct pack_wanted *wanted,
                      enum fetch_reason reason, const char *why)
{
    log_warn("no pack", "repository", repository->key, "want", wanted->want, "reason",
             fetch_reason_name(reason), "error", why);
    metric_add(&packs, fetch_reason_name(reason), 1);
    answer_error(wanted->peer, repository->key, wanted->want, why);
    mend_mirror(repository, reason);
}

static void on_packed(const cJSON *answer, const char *pack, size_t pack_size,
                      const struct error *error, void *context)
{
    struct repository *repository = context;
    struct announcer *announcer = repository->fetcher->announcer;
    struct pack_wanted *wanted = TAILQ_FIRST(&repository->packs);
    TAILQ_REMOVE(&repository->packs, wanted, link);
    repository->packs_count--;
    repository->job = NULL;
    struct digest digest;
    struct error problem;
    if (!answer) {
        fail_pack(repository, wanted, error->code == ERROR_TIMEOUT ? FETCH_TIMEOUT : FETCH_FAILED,
                  error->message);
    } else if (!json_bool(answer, "ok", false)) {
        fail_pack(repository, wanted, fetch_reason_from_name(json_string(answer, "reason")),
                  text_or_empty(json_string(answer, "message")));
    } else if (!keep(announcer, key_of(repository, wanted), pack, pack_size, &digest, &problem)) {
        fail_pack(repository, wanted, FETCH_TOO_LARGE, problem.message);
    } else {
        metric_add(&packs, fetch_reason_name(FETCH_SUCCEEDED), 1);
        metric_add(&pack_bytes, NULL, (double)pack_size);
        answer_pack(repository, wanted, &digest, pack_size);
    }
    pack_wanted_free(wanted);
    repository_step(repository);
}

void announce_start_pack(struct repository *repository)
{
    const struct pack_wanted *wanted = TAILQ_FIRST(&repository->packs);
    int64_t maximum = repository->fetcher->settings->max_repository_size;
    if ((uint64_t)maximum > BUS_BLOB_MAXIMUM) {
        maximum = (int64_t)BUS_BLOB_MAXIMUM;
    }
    cJSON *request AUTO_JSON = json_new_object();
    json_add_string(request, "operation", "pack");
    json_add_string(request, "directory", repository->directory);
    json_add_string(request, "want", wanted->want);
    json_add(request, "have", json_copy(wanted->have));
    json_add_int(request, "sizeMaximum", maximum);
    const struct job_options options = {.request = request,
                                        .output_maximum = (size_t)maximum + 4096,
                                        .timeout_ms = PACK_TIMEOUT_MS,
                                        .urgent = true};
    repository->job_is_fetch = false;
    repository->job = pool_add(repository->fetcher->pool, &options, on_packed, repository);
}

void announce_drop_packs(struct repository *repository)
{
    while (!TAILQ_EMPTY(&repository->packs)) {
        struct pack_wanted *wanted = TAILQ_FIRST(&repository->packs);
        TAILQ_REMOVE(&repository->packs, wanted, link);
        answer_error(wanted->peer, repository->key, wanted->want,
                     "the repository is gone from the API");
        pack_wanted_free(wanted);
    }
    repository->packs_count = 0;
}

static bool is_commit(const char *text)
{
    return text && strlen(text) == FETCH_COMMIT_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == FETCH_COMMIT_SIZE - 1;
}

/* The haves that are commit ids; others are passed over. */
static cJSON *copy_haves(const cJSON *have)
{
    cJSON *copy = json_new_array();
    for (const cJSON *item = json_first(have); item; item = item->next) {
        if (cJSON_IsString(item) && is_commit(item->valuestring)) {
            json_append(copy, json_new_string(item->valuestring));
        }
    }
    return copy;
}

static bool is_waiting(const struct repository *repository, const struct pack_wanted *asked)
{
    const struct pack_wanted *wanted;
    TAILQ_FOREACH(wanted, &repository->packs, link)
    {
        if (wanted->peer == asked->peer && text_equal(wanted->want, asked->want) &&
            json_equal(wanted->have, asked->have)) {
            return true;
        }
    }
    return false;
}

static bool take_pack_wanted(struct fetcher *fetcher, struct bus_peer *peer, const cJSON *body)
{
    const char *key = json_string(body, "repository");
    const char *want = json_string(body, "want");
    if (!key || !is_commit(want)) {
        log_warn("malformed hint dropped", "kind", "pack-wanted");
        return true;
    }
    struct repository *repository = map_get(&fetcher->repositories, key);
    if (!repository && (!fetcher_is_synced(fetcher) || fetcher_knows(fetcher, key))) {
        return false; /* it may be known, or ours, in a moment */
    }
    if (!repository) {
        answer_error(peer, key, want, "there is no such repository in the API");
        return true;
    }
    if (repository->packs_count >= PACKS_WAITING_MAXIMUM) {
        return false;
    }
    struct pack_wanted *wanted = NEW(struct pack_wanted);
    wanted->peer = peer;
    wanted->want = mem_string(want);
    wanted->have = copy_haves(json_array(body, "have"));
    AUTO_FREE char *pack_key = key_of(repository, wanted);
    struct kept *kept = recall(fetcher->announcer, pack_key);
    if (kept) {
        metric_add(&packs, "Kept", 1);
        answer_pack(repository, wanted, &kept->digest, kept->size);
    }
    if (kept || is_waiting(repository, wanted)) {
        pack_wanted_free(wanted);
        return true;
    }
    TAILQ_INSERT_TAIL(&repository->packs, wanted, link);
    repository->packs_count++;
    repository_step(repository);
    return true;
}

bool announcer_take_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                         void *context)
{
    struct error error;
    cJSON *parsed AUTO_JSON = NULL;
    if (bus_peer_link(peer) != BUS_FETCHER_DIFFER || !text_equal(kind, "pack-wanted")) {
        log_warn("unexpected hint dropped", "kind", kind);
        return true;
    }
    if (!json_parse(body, size, &HINT_LIMITS, &parsed, &error)) {
        log_warn("malformed hint dropped", "kind", kind, "error", error.message);
        return true;
    }
    return take_pack_wanted(context, peer, parsed);
}

/* ---- Life ---- */

struct announcer *announcer_new(struct fetcher *fetcher)
{
    struct announcer *announcer = NEW(struct announcer);
    announcer->fetcher = fetcher;
    TAILQ_INIT(&announcer->kept);
    TAILQ_INIT(&announcer->large);
    announcer->idle = evtimer_new(fetcher->base, on_idle, announcer);
    announcer->repeat = event_new(fetcher->base, -1, EV_PERSIST, on_repeat, fetcher);
    const struct timeval period = {.tv_sec = REPEAT_SECONDS};
    event_add(announcer->repeat, &period);
    return announcer;
}

void announcer_free(struct announcer *announcer)
{
    if (!announcer) {
        return;
    }
    while (!TAILQ_EMPTY(&announcer->kept)) {
        forget(announcer, TAILQ_FIRST(&announcer->kept));
    }
    forget_large(announcer);
    event_free(announcer->idle);
    event_free(announcer->repeat);
    free(announcer);
}
