/* Opening, closing, draining, and the public calls that are only a look or a hand-over. */
#include "common/bus/internal.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>
#include <stdio.h>
#include <string.h>

#define BLOB_STORE_DEFAULT ((size_t)256 << 20)
#define KEY_LOOK_URGENT_MS 200 /* between looks that messages with unknown keys can cause */

const char *bus_link_name(enum bus_link link)
{
    static const char *const names[BUS_LINKS] = {"fetcher-differ", "differ-applier",
                                                 "admission-differ"};
    return names[link];
}

const char *bus_drop_name(enum bus_drop drop)
{
    static const char *const names[BUS_DROPS] = {
        [BUS_DROP_MALFORMED] = "malformed",
        [BUS_DROP_VERSION] = "version",
        [BUS_DROP_OVERSIZE] = "oversize",
        [BUS_DROP_KEY] = "key",
        [BUS_DROP_TAG] = "tag",
        [BUS_DROP_REPLAY] = "replay",
        [BUS_DROP_STALE] = "stale",
        [BUS_DROP_RECIPIENT] = "recipient",
        [BUS_DROP_SESSION] = "session",
        [BUS_DROP_UNKNOWN_PEER] = "unknown-peer",
    };
    return names[drop];
}

void bus_drop(struct bus *bus, enum bus_link link, enum bus_drop reason)
{
    bus->stats.dropped[reason]++;
    bus->stats.links[link].dropped[reason]++;
}

/* ---- turns ---- */

void bus_enter(struct bus *bus)
{
    bus->depth++;
}

/* The end of a turn: one message acknowledges all that was taken in it, and peers that a handler
 * removed go. */
void bus_leave(struct bus *bus)
{
    if (--bus->depth > 0) {
        return;
    }
    struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->dirty) {
            bus_peer_flush(peer);
        }
    }
    while (!TAILQ_EMPTY(&bus->removed)) {
        peer = TAILQ_FIRST(&bus->removed);
        TAILQ_REMOVE(&bus->removed, peer, entry);
        bus_peer_free(peer);
    }
}

/* ---- keys ---- */

static void read_keys(struct bus *bus, int64_t now_ms)
{
    struct error error = {0};
    bus->keys_looked_ms = now_ms;
    if (keyring_reload(bus->keys, &error)) {
        bus->stats.key_changes++;
        struct bus_peer *peer;
        TAILQ_FOREACH(peer, &bus->peers, entry)
        {
            peer->hello_ms = 0; /* tell each which keys we can open now */
            peer->dirty = true;
        }
    }
    if (error.code != ERROR_NONE && bus->handlers.problem) {
        bus->handlers.problem(&error, bus->handlers.context);
    }
}

void bus_look_at_keys(struct bus *bus, int64_t now_ms)
{
    if (now_ms - bus->keys_looked_ms >= KEY_LOOK_URGENT_MS) {
        read_keys(bus, now_ms);
    }
}

static void on_key_timer(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    struct bus *bus = context;
    bus_enter(bus);
    read_keys(bus, clock_monotonic_ms());
    bus_leave(bus);
}

static bool open_keys(struct bus *bus, const char *directory, struct error *error)
{
    bus->keys = keyring_new(directory, error);
    if (!bus->keys) {
        return false;
    }
    if (directory) {
        struct timeval period = {.tv_sec = KEY_LOOK_MS / 1000};
        bus->key_timer = event_new(bus->base, -1, EV_PERSIST, on_key_timer, bus);
        event_add(bus->key_timer, &period);
    }
    return true;
}

/* Who can reach a tcp port must not be able to speak on it. */
static bool is_allowed(const struct bus *bus, const struct address *address, struct error *error)
{
    if (keyring_is_open(bus->keys) && !address->is_ipc) {
        return error_set(error, ERROR_DENIED,
                         "the bus does not use %s without keys: give a directory with the keys of "
                         "its links (--bus-keys), or use ipc://",
                         address->inbox);
    }
    return true;
}

/* ---- opening and closing ---- */

static bool check_options(const struct bus_options *options, struct error *error)
{
    if (!options->instance || !frame_instance_is_valid(options->instance)) {
        return error_set(error, ERROR_INVALID,
                         "the bus instance \"%s\" is not 1 to %d printable characters without "
                         "blanks",
                         text_or_empty(options->instance), FRAME_INSTANCE_SIZE - 1);
    }
    if (!options->handlers.hint) {
        return error_set(error, ERROR_INTERNAL, "a bus was opened without a handler of hints");
    }
    if (options->advertise && strlen(options->advertise) >= FRAME_ADDRESS_SIZE) {
        return error_set(error, ERROR_INVALID, "the advertised bus address \"%s\" is too long",
                         options->advertise);
    }
    return true;
}

static bool bind_sockets(struct bus *bus, struct error *error)
{
    const struct address *address = &bus->address;
    if (address->is_ipc && !bus_address_make_directory(address, error)) {
        return false;
    }
    bus->inbox = bus_socket_bind(NN_PULL, address, address->inbox, error);
    bus->server = bus->inbox < 0 ? -1 : bus_socket_bind(NN_REP, address, address->blobs, error);
    if (bus->server < 0) {
        return false;
    }
    bus->inbox_readable =
        bus_socket_event(bus->base, bus->inbox, NN_RCVFD, EV_PERSIST, inbox_on_readable, bus);
    bus->server_readable = bus_socket_event(bus->base, bus->server, NN_RCVFD, EV_PERSIST,
                                            blob_server_on_readable, bus);
    event_add(bus->inbox_readable, NULL);
    event_add(bus->server_readable, NULL);
    return true;
}

struct bus *bus_new(struct event_base *base, const struct bus_options *options, struct error *error)
{
    struct address address;
    if (!check_options(options, error) || !bus_address_parse(options->inbox, &address, error)) {
        return NULL;
    }
    struct bus *bus = NEW(struct bus);
    bus->base = base;
    bus->handlers = options->handlers;
    bus->address = address;
    bus->inbox = bus->server = -1;
    TAILQ_INIT(&bus->peers);
    TAILQ_INIT(&bus->removed);
    TAILQ_INIT(&bus->fetches);
    snprintf(bus->instance, sizeof bus->instance, "%s", options->instance);
    snprintf(bus->advertise, sizeof bus->advertise, "%s",
             options->advertise ? options->advertise : address.inbox);
    blob_store_init(&bus->blobs,
                    options->blob_store_maximum ? options->blob_store_maximum : BLOB_STORE_DEFAULT);
    if (!open_keys(bus, options->key_directory, error) || !is_allowed(bus, &address, error) ||
        !bind_sockets(bus, error)) {
        bus_free(bus);
        return NULL;
    }
    return bus;
}

void bus_free(struct bus *bus)
{
    if (!bus) {
        return;
    }
    blob_fetch_free_all(bus);
    while (!TAILQ_EMPTY(&bus->peers)) {
        struct bus_peer *peer = TAILQ_FIRST(&bus->peers);
        TAILQ_REMOVE(&bus->peers, peer, entry);
        bus_peer_free(peer);
    }
    bus_socket_close(&bus->inbox, &bus->inbox_readable);
    bus_socket_close(&bus->server, &bus->server_readable);
    if (bus->key_timer) {
        event_free(bus->key_timer);
    }
    keyring_free(bus->keys);
    blob_store_release(&bus->blobs);
    free(bus);
}

/* ---- draining ---- */

static bool is_empty(const struct bus *bus)
{
    const struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->outbox.count > 0) {
            return false;
        }
    }
    return true;
}

static bool is_worth_waiting(const struct bus *bus, int64_t now_ms)
{
    const struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->outbox.count > 0 && (peer->epoch == 0 || session_is_up(peer, now_ms))) {
            return true;
        }
    }
    return false;
}

static void on_drain_timer(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    *(bool *)context = true;
}

bool bus_drain(struct bus *bus, int64_t timeout_ms)
{
    bool late = false;
    struct event *timer = event_new(bus->base, -1, 0, on_drain_timer, &late);
    struct timeval delay = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    event_add(timer, &delay);
    while (!late && is_worth_waiting(bus, clock_monotonic_ms())) {
        if (event_base_loop(bus->base, EVLOOP_ONCE) != 0 || event_base_got_break(bus->base)) {
            break;
        }
    }
    event_free(timer);
    return is_empty(bus);
}

/* ---- peers ---- */

struct bus_peer *bus_peer_add(struct bus *bus, enum bus_link link, const char *inbox,
                              struct error *error)
{
    struct address address;
    if (!bus_address_parse(inbox, &address, error) || !is_allowed(bus, &address, error)) {
        return NULL;
    }
    struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->link == link && strcmp(peer->address.inbox, address.inbox) == 0) {
            return peer;
        }
    }
    if (!keyring_current(bus->keys, link)) {
        error_set(error, ERROR_NOT_FOUND,
                  "there is no bus key for the link %s: put it into the directory of the bus keys "
                  "as %s.key",
                  bus_link_name(link), bus_link_name(link));
        return NULL;
    }
    peer = bus_peer_new(bus, link, &address, error);
    if (peer) {
        TAILQ_INSERT_TAIL(&bus->peers, peer, entry);
        bus_peer_flush(peer);
    }
    return peer;
}

void bus_peer_remove(struct bus *bus, struct bus_peer *peer)
{
    bus_enter(bus);
    peer->removed = true;
    TAILQ_REMOVE(&bus->peers, peer, entry);
    TAILQ_INSERT_TAIL(&bus->removed, peer, entry);
    blob_fetch_abandon(peer);
    bus_peer_close(peer);
    bus_leave(bus);
}

struct bus_peer *bus_peer_of_link(struct bus *bus, enum bus_link link)
{
    struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->link == link) {
            return peer;
        }
    }
    return NULL;
}

enum bus_link bus_peer_link(const struct bus_peer *peer)
{
    return peer->link;
}

const char *bus_peer_instance(const struct bus_peer *peer)
{
    return peer->instance;
}

const char *bus_peer_inbox(const struct bus_peer *peer)
{
    return peer->address.inbox;
}

bool bus_peer_is_up(const struct bus_peer *peer)
{
    return session_is_up(peer, clock_monotonic_ms());
}

/* ---- hints ---- */

uint64_t bus_send(struct bus_peer *peer, const char *kind, const void *body, size_t size,
                  struct error *error)
{
    if (!frame_kind_is_valid(kind, strlen(kind))) {
        error_set(error, ERROR_INVALID,
                  "\"%s\" is no kind of hint: 1 to %d letters, digits, -, _ .", kind,
                  FRAME_KIND_MAXIMUM);
        return 0;
    }
    if (size > BUS_HINT_MAXIMUM) {
        error_set(error, ERROR_LIMIT,
                  "a hint of %zu bytes is too large: at most %zu; larger things travel as blobs",
                  size, BUS_HINT_MAXIMUM);
        return 0;
    }
    struct outbox_hint *hint = outbox_add(&peer->outbox, kind, body, size, error);
    if (!hint) {
        return 0;
    }
    uint64_t id = hint->id;
    if (peer->epoch != 0 && !peer->blocked) {
        bus_peer_flush(peer);
    }
    return id;
}

void bus_unsend(struct bus_peer *peer, uint64_t id)
{
    outbox_remove(&peer->outbox, id);
}

/* ---- blobs ---- */

bool bus_blob_put(struct bus *bus, const void *data, size_t size, bool pinned, struct digest *ret,
                  struct error *error)
{
    bool put = blob_store_put(&bus->blobs, data, size, pinned, ret, error);
    bus->stats.blob_bytes_stored = bus->blobs.bytes;
    return put;
}

void bus_blob_drop(struct bus *bus, const struct digest *digest)
{
    blob_store_drop(&bus->blobs, digest);
    bus->stats.blob_bytes_stored = bus->blobs.bytes;
}

const struct bus_stats *bus_stats(const struct bus *bus)
{
    return &bus->stats;
}

struct bus_link_state bus_link_state(const struct bus *bus, enum bus_link link)
{
    struct bus_link_state state = {0};
    const struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->link == link) {
            state.peers++;
            state.up += bus_peer_is_up(peer);
            state.waiting += peer->outbox.count;
        }
    }
    return state;
}
