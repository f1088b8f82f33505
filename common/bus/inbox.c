/* Receiving. A message is judged in this order, and the first reason to drop it is counted: size,
 * header, key, tag, time, then recipient, peer, session and replay (session.c), then its body. Up
 * to the tag, nothing in it is believed. */
#include "common/bus/internal.h"

#include "common/base/clock.h"

#include <nanomsg/nn.h>

static const struct seal_key *find_key(struct bus *bus, const struct frame_header *header)
{
    const struct seal_key *key = keyring_find(bus->keys, header->link, header->key_id);
    if (!key) {
        bus_look_at_keys(bus, clock_monotonic_ms()); /* the sender may have seen new ones first */
        key = keyring_find(bus->keys, header->link, header->key_id);
    }
    return key;
}

static bool is_stale(const struct frame_header *header)
{
    int64_t now_ms = clock_wall_ms();
    return header->time_ms < now_ms - STALE_MS || header->time_ms > now_ms + STALE_MS;
}

static bool refuse(struct bus *bus, enum bus_link link, enum bus_drop reason)
{
    bus_drop(bus, link, reason);
    return false;
}

bool inbox_open(struct bus *bus, uint8_t *message, size_t size, size_t maximum,
                struct frame_header *ret)
{
    enum bus_drop reason;
    if (size > maximum) {
        return refuse(bus, BUS_LINKS, BUS_DROP_OVERSIZE);
    }
    if (!frame_read_header(message, size, ret, &reason)) {
        return refuse(bus, BUS_LINKS, reason);
    }
    const struct seal_key *key = find_key(bus, ret);
    if (!key) {
        return refuse(bus, ret->link, BUS_DROP_KEY);
    }
    struct seal_key derived;
    keyring_derive(bus->keys, key, ret, &derived);
    if (!frame_open(ret, &derived, message, size)) {
        return refuse(bus, ret->link, BUS_DROP_TAG);
    }
    return is_stale(ret) ? refuse(bus, ret->link, BUS_DROP_STALE) : true;
}

static void take_hint(struct bus_peer *peer, uint8_t *body, size_t size)
{
    struct bus *bus = peer->bus;
    struct frame_hint hint;
    body[size] = '\0'; /* the first byte of the tag, which has served its purpose */
    if (!frame_read_hint(body, size, &hint)) {
        bus_drop(bus, peer->link, BUS_DROP_MALFORMED);
        return;
    }
    if (bus_window_look(&peer->hints, hint.id) == WINDOW_SEEN) {
        bus->stats.duplicates++;
        bus_peer_acknowledge(peer, hint.id); /* the acknowledgement was lost, or crossed it */
        return;
    }
    uint64_t epoch = peer->epoch;
    enum bus_link link = peer->link;
    if (!bus->handlers.hint(peer, hint.kind, hint.body, hint.body_size, bus->handlers.context)) {
        bus->stats.declined++;
        return;
    }
    bus->stats.received++;
    bus->stats.links[link].received++;
    if (!peer->removed && peer->epoch == epoch) {
        bus_window_mark(&peer->hints, hint.id);
        bus_peer_acknowledge(peer, hint.id);
    }
}

static void take_acks(struct bus_peer *peer, const uint8_t *body, size_t size)
{
    size_t count = 0;
    if (!frame_read_ack(body, size, &count)) {
        bus_drop(peer->bus, peer->link, BUS_DROP_MALFORMED);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (outbox_remove(&peer->outbox, frame_ack_id(body, i))) {
            peer->bus->stats.acknowledged++;
        }
    }
    peer->dirty = true; /* the way may be open for more */
}

static void take(struct bus *bus, uint8_t *message, size_t size)
{
    struct frame_header header;
    if (!inbox_open(bus, message, size, FRAME_INBOX_MAXIMUM, &header)) {
        return;
    }
    uint8_t *body = message + FRAME_HEADER_SIZE;
    size_t body_size = size - FRAME_OVERHEAD;
    if (header.type == FRAME_HELLO) {
        session_take_hello(bus, &header, body, body_size);
        return;
    }
    if (header.type != FRAME_HINT && header.type != FRAME_ACK) {
        bus_drop(bus, header.link, BUS_DROP_MALFORMED);
        return;
    }
    struct bus_peer *peer = session_admit(bus, &header);
    if (peer && header.type == FRAME_HINT) {
        take_hint(peer, body, body_size);
    } else if (peer) {
        take_acks(peer, body, body_size);
    }
}

void inbox_on_readable(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    struct bus *bus = context;
    bus_enter(bus);
    for (size_t i = 0; i < MESSAGES_PER_TURN; i++) {
        size_t size = 0;
        uint8_t *message = bus_socket_receive(bus->inbox, &size);
        if (!message) {
            break;
        }
        take(bus, message, size);
        nn_freemsg(message);
    }
    bus_leave(bus);
}
