#include "applier/link.h"

#include "applier/answers.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"
#include "common/run/log.h"
#include "common/run/metrics.h"

#include <stdio.h>
#include <string.h>

/* A plan or result up to this size stands in the hint, escaped; else it goes as a blob. */
#define INLINE_MAXIMUM ((size_t)48 * 1024)
#define FETCH_TIMEOUT_MS 60000
/* Texts of plans that are held at once. Beyond, plans are not taken for now. */
#define PLANS_MAXIMUM ((size_t)512 << 20)

static struct metric plans_refused = {
    .name = "gitmoor_applier_plans_refused_total",
    .help = "Plans that were not carried out because they are malformed or could not be fetched.",
    .type = METRIC_COUNTER};

static struct metric plans_declined = {
    .name = "gitmoor_applier_plans_declined_total",
    .help = "Times a plan was not taken for now, since another differ has the application.",
    .type = METRIC_COUNTER};

/* A plan whose text is on its way. */
struct fetch {
    struct link *link;
    char *id;
    size_t size;
};

struct link {
    struct event_base *base;
    struct bus *bus;
    struct schedule *schedule;
    struct map fetches; /* plan id → fetch */
    struct map peers;   /* plan id → the peer that asked last, for plans not yet answered */
    size_t fetch_bytes;
    struct answers *answers;
    link_may_ask_fn may_ask; /* or NULL */
    void *may_ask_context;
    bool ready;
};

struct link *link_new(struct event_base *base)
{
    struct link *link = NEW(struct link);
    link->base = base;
    return link;
}

static void fetch_free(void *value)
{
    struct fetch *fetch = value;
    free(fetch->id);
    free(fetch);
}

void link_free(struct link *link)
{
    if (!link) {
        return;
    }
    for (struct map_slot *slot = map_first(&link->fetches); slot;
         slot = map_next(&link->fetches, slot)) {
        bus_blob_cancel(link->bus, slot->value);
    }
    map_release(&link->fetches, fetch_free);
    map_release(&link->peers, NULL);
    answers_free(link->answers);
    free(link);
}

void link_attach(struct link *link, struct bus *bus, struct schedule *schedule)
{
    link->bus = bus;
    link->schedule = schedule;
    link->answers = answers_new(link->base, bus);
}

void link_set_ready(struct link *link, bool ready)
{
    link->ready = ready;
}

void link_set_gate(struct link *link, link_may_ask_fn may_ask, void *context)
{
    link->may_ask = may_ask;
    link->may_ask_context = context;
}

/* ---- Results ---- */

static void send_answer(struct link *link, struct bus_peer *peer, const char *id)
{
    const struct answer *answer = answers_get(link->answers, id);
    struct error error;
    if (!bus_send(peer, "result", answer->body, answer->size, &error)) {
        log_warn("cannot send a result", "plan", id, "error", error.message);
    }
}

/* The result in the hint itself; false if it is too large for that. */
static bool write_inline(const char *id, const char *text, size_t size, struct buf *out)
{
    if (size >= INLINE_MAXIMUM) {
        return false;
    }
    AUTO_JSON cJSON *hint = json_new_object();
    json_add_string(hint, "id", id);
    json_add_string(hint, "text", text);
    return json_write(hint, out);
}

/* The result as a blob, and a hint that names it. False if the store has no room for it. */
static bool write_blob(struct link *link, const char *id, const char *text, size_t size,
                       struct digest *ret, struct buf *out)
{
    AUTO_JSON cJSON *hint = json_new_object();
    json_add_string(hint, "id", id);
    struct error error;
    bool ok = bus_blob_put(link->bus, text, size, false, ret, &error);
    if (ok) {
        char hex[DIGEST_HEX_SIZE];
        digest_to_hex(ret, hex);
        json_add_string(hint, "digest", hex);
        json_add_int(hint, "size", (int64_t)size);
    } else {
        log_error("cannot keep a result", "plan", id, "error", error.message);
        json_add_string(hint, "error", error.message);
    }
    buf_clear(out);
    json_write(hint, out);
    return ok;
}

/* Keeps the result, as the hint that tells of it, and sends it to the peer that asked. */
static void give_answer(struct link *link, const char *id, const char *text, size_t size)
{
    AUTO_BUF struct buf body;
    buf_init(&body, BUS_HINT_MAXIMUM);
    struct digest digest;
    bool is_blob =
        !write_inline(id, text, size, &body) && write_blob(link, id, text, size, &digest, &body);
    answers_put(link->answers, id, body.data, body.size, is_blob ? &digest : NULL, size);
    struct bus_peer *peer = map_remove(&link->peers, id);
    if (peer) {
        send_answer(link, peer, id);
    }
}

void link_take_result(const char *id, enum result_outcome outcome, char *text, size_t size,
                      void *context)
{
    struct link *link = context;
    char bytes[24];
    snprintf(bytes, sizeof bytes, "%zu", size);
    log_debug("plan finished", "plan", id, "outcome", result_outcome_name(outcome), "bytes", bytes);
    give_answer(link, id, text, size);
    free(text);
}

/* The plan will not be carried out at all. */
static void refuse(struct link *link, const char *id, const struct error *why)
{
    struct result nothing;
    result_init(&nothing);
    size_t size;
    AUTO_FREE char *text = result_finish(&nothing, id, RESULT_FAILED, 0, why, &size);
    result_release(&nothing);
    metric_add(&plans_refused, NULL, 1);
    log_warn("plan refused", "plan", id, "error", why->message);
    give_answer(link, id, text, size);
}

/* ---- Plans ---- */

/* Takes the text. */
static void take_plan(struct link *link, const char *id, char *text, size_t size)
{
    struct plan *plan = NULL;
    struct error error;
    bool ok = plan_parse(text, size, &plan, &error);
    if (ok && strcmp(plan->id, id) != 0) {
        ok = error_set(&error, ERROR_INVALID, "plan: its id is not that of the hint");
    }
    if (!ok) {
        refuse(link, id, &error);
        plan_free(plan);
        free(text);
        return;
    }
    char count[24];
    snprintf(count, sizeof count, "%zu", plan->count);
    log_debug("plan taken", "plan", id, "application", plan->name, "namespace", plan->namespace_,
              "revision", plan->revision, "operations", count);
    schedule_submit(link->schedule, plan, text, size);
}

static void on_fetched(char *data, size_t size, const struct error *error, void *context)
{
    struct fetch *fetch = context;
    struct link *link = fetch->link;
    map_remove(&link->fetches, fetch->id);
    link->fetch_bytes -= fetch->size;
    if (data) {
        take_plan(link, fetch->id, data, size);
    } else {
        struct error why = *error;
        why.retryable = true; /* the differ can make it anew */
        error_prefix(&why, "cannot fetch the plan");
        refuse(link, fetch->id, &why);
    }
    fetch_free(fetch);
}

static void start_fetch(struct link *link, struct bus_peer *peer, const char *id,
                        const struct digest *digest, size_t size)
{
    struct fetch *fetch = NEW(struct fetch);
    fetch->link = link;
    fetch->id = mem_string(id);
    fetch->size = size;
    map_set(&link->fetches, id, fetch);
    link->fetch_bytes += size;
    bus_blob_fetch(peer, digest, size, FETCH_TIMEOUT_MS, on_fetched, fetch);
}

/* Takes a plan that is new. False: not now. */
static bool take_new(struct link *link, struct bus_peer *peer, const char *id, const cJSON *hint)
{
    const char *text = json_string(hint, "text");
    int64_t size = text ? (int64_t)strlen(text) : json_int(hint, "size", -1);
    struct digest digest;
    if (size < 0 || (size_t)size > PLAN_TEXT_MAXIMUM ||
        (!text && !digest_from_hex(json_string(hint, "digest"), &digest))) {
        struct error why;
        error_set(&why, ERROR_INVALID, "the hint of a plan holds neither text nor digest and size");
        map_set(&link->peers, id, peer);
        refuse(link, id, &why);
        return true;
    }
    if (schedule_bytes(link->schedule) + link->fetch_bytes + (size_t)size > PLANS_MAXIMUM) {
        return false;
    }
    map_set(&link->peers, id, peer);
    if (text) {
        take_plan(link, id, mem_string(text), (size_t)size);
    } else {
        start_fetch(link, peer, id, &digest, (size_t)size);
    }
    return true;
}

/* A hint that names no application comes from an older differ, during an upgrade. */
static bool may_ask(const struct link *link, struct bus_peer *peer, const cJSON *hint)
{
    const char *application = json_string(hint, "application");
    if (!link->may_ask || !application || link->may_ask(peer, application, link->may_ask_context)) {
        return true;
    }
    metric_add(&plans_declined, NULL, 1);
    return false;
}

static bool take_plan_hint(struct link *link, struct bus_peer *peer, const char *id,
                           const cJSON *hint)
{
    if (answers_get(link->answers, id)) {
        send_answer(link, peer, id);
        return true;
    }
    if (schedule_has(link->schedule, id) || map_has(&link->fetches, id)) {
        map_set(&link->peers, id, peer);
        return true;
    }
    return link->ready && may_ask(link, peer, hint) && take_new(link, peer, id, hint);
}

/* A plan that is still being fetched is dropped; one that is unknown is none. */
static void take_cancel_hint(struct link *link, const char *id)
{
    struct fetch *fetch = map_remove(&link->fetches, id);
    if (!fetch) {
        schedule_cancel(link->schedule, id);
        return;
    }
    bus_blob_cancel(link->bus, fetch);
    link->fetch_bytes -= fetch->size;
    fetch_free(fetch);
    struct result nothing;
    result_init(&nothing);
    size_t size;
    AUTO_FREE char *text = result_finish(&nothing, id, RESULT_CANCELLED, 0, NULL, &size);
    result_release(&nothing);
    give_answer(link, id, text, size);
}

bool link_take_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                    void *context)
{
    struct link *link = context;
    AUTO_JSON cJSON *hint = NULL;
    struct error error;
    if (!json_parse(body, size, NULL, &hint, &error)) {
        log_warn("malformed hint", "kind", kind, "error", error.message);
        return true; /* it would be as malformed the next time */
    }
    const char *id = json_string(hint, "id");
    if (text_is_empty(id) || strlen(id) > PLAN_ID_MAXIMUM) {
        log_warn("hint without an id", "kind", kind);
        return true;
    }
    if (strcmp(kind, "plan") == 0) {
        return take_plan_hint(link, peer, id, hint);
    }
    if (strcmp(kind, "cancel") == 0) {
        take_cancel_hint(link, id);
    } else {
        log_warn("hint of unknown kind", "kind", kind);
    }
    return true;
}

void link_forget_peer(struct bus_peer *peer, void *context)
{
    struct link *link = context;
    const char **ids = map_sorted_keys(&link->peers);
    for (size_t i = 0, count = link->peers.count; i < count; i++) {
        if (map_get(&link->peers, ids[i]) == peer) {
            map_remove(&link->peers, ids[i]);
        }
    }
    free(ids);
}
