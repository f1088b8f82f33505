/* Sending to one peer. Whatever is due (a hello, acknowledgements, hints) is kept in the peer and
 * goes out in bus_peer_flush as far as the socket takes it; when it takes no more, its descriptor
 * says when to go on. */
#include "common/bus/internal.h"

#include "common/base/clock.h"
#include "common/base/memory.h"

#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>
#include <string.h>

/* How long a socket may take nothing before it is made anew, for nanomsg does not always connect
 * again. Over tcp it leaves connecting to the kernel, which asks a machine that is not there for
 * two minutes, in ever longer intervals. And a peer that ends right after its greeting leaves a
 * connection that is never given up (docs/adr/0018). */
#define CONNECT_MS 5000
/* Acknowledgements beyond this are not kept: the hints come again. */
#define ACKS_MAXIMUM ((size_t)16384)

static void set_timer(struct bus_peer *peer, int64_t now_ms, int64_t at_ms)
{
    if (at_ms >= peer->timer_ms && peer->timer_ms > now_ms) {
        return; /* it fires early enough, and then looks again */
    }
    int64_t wait = at_ms > now_ms ? at_ms - now_ms : 0;
    struct timeval delay = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    event_add(peer->timer, &delay);
    peer->timer_ms = at_ms;
}

static void block(struct bus_peer *peer)
{
    peer->blocked = true;
    peer->blocked_ms = clock_monotonic_ms();
    event_add(peer->writable, NULL);
}

static bool send_acks(struct bus_peer *peer)
{
    while (peer->ack_count > 0) {
        size_t count = peer->ack_count < FRAME_ACK_MAXIMUM ? peer->ack_count : FRAME_ACK_MAXIMUM;
        size_t rest = peer->ack_count - count;
        uint8_t *message = bus_socket_message(FRAME_OVERHEAD + count * 8);
        frame_write_ack(peer->acks + rest, count, message + FRAME_HEADER_SIZE);
        session_seal(peer, FRAME_ACK, message, count * 8);
        if (!bus_socket_send(peer->push, message)) {
            return false;
        }
        peer->ack_count = rest;
    }
    return true;
}

static bool send_hints(struct bus_peer *peer, int64_t now_ms)
{
    struct outbox_hint *next = outbox_next(&peer->outbox);
    while (next) {
        struct frame_hint hint = {
            .id = next->id, .kind = next->kind, .body = next->body, .body_size = next->size};
        size_t size = frame_hint_size(&hint);
        uint8_t *message = bus_socket_message(FRAME_OVERHEAD + size);
        frame_write_hint(&hint, message + FRAME_HEADER_SIZE);
        session_seal(peer, FRAME_HINT, message, size);
        if (!bus_socket_send(peer->push, message)) {
            return false;
        }
        if (next->tries++ == 0) {
            peer->bus->stats.sent++;
            peer->bus->stats.links[peer->link].sent++;
        } else {
            peer->bus->stats.resent++;
            peer->bus->stats.links[peer->link].resent++;
        }
        outbox_sent(&peer->outbox, next, now_ms);
        next = outbox_next(&peer->outbox);
    }
    return true;
}

static bool send_what_is_due(struct bus_peer *peer, int64_t now_ms)
{
    if (peer->hello_ms <= now_ms && !session_send_hello(peer, now_ms)) {
        return false;
    }
    return peer->epoch == 0 || (send_acks(peer) && send_hints(peer, now_ms));
}

void bus_peer_flush(struct bus_peer *peer)
{
    int64_t now_ms = clock_monotonic_ms();
    peer->dirty = false;
    if (peer->removed) {
        return;
    }
    if (peer->push >= 0 && !peer->blocked && !send_what_is_due(peer, now_ms)) {
        block(peer);
    }
    int64_t next = peer->hello_ms, due = peer->epoch == 0 ? INT64_MAX : outbox_due(&peer->outbox);
    next = due < next ? due : next;
    if (peer->push < 0) {
        next = now_ms + CONNECT_MS;
    } else if (peer->blocked) { /* `writable` comes first; this is for is_lost */
        next = peer->blocked_ms + CONNECT_MS;
    }
    set_timer(peer, now_ms, next);
}

static void on_writable(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    struct bus_peer *peer = context;
    peer->blocked = false;
    bus_peer_flush(peer);
}

static bool connect_push(struct bus_peer *peer, struct error *error)
{
    peer->push = bus_socket_connect(NN_PUSH, &peer->address, peer->address.inbox, error);
    if (peer->push < 0) {
        return false;
    }
    peer->writable = bus_socket_event(peer->bus->base, peer->push, NN_SNDFD, 0, on_writable, peer);
    peer->connected_ms = clock_monotonic_ms();
    block(peer); /* nothing can be sent before the connection stands */
    return true;
}

/* A machine that vanished leaves a TCP connection that takes everything for a quarter of an hour
 * and delivers nothing. That the peer is heard proves nothing about this direction: what it repeats
 * of our hellos does. */
static bool is_lost(const struct bus_peer *peer, int64_t now_ms)
{
    if (peer->push < 0) {
        return false;
    }
    if (peer->blocked) {
        return now_ms - peer->blocked_ms >= CONNECT_MS;
    }
    return now_ms - peer->reached_ms > SILENCE_MS && now_ms - peer->connected_ms > SILENCE_MS;
}

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    struct bus_peer *peer = context;
    int64_t now_ms = clock_monotonic_ms();
    peer->timer_ms = INT64_MAX;
    outbox_expire(&peer->outbox, now_ms);
    if (is_lost(peer, now_ms)) {
        bus_socket_close(&peer->push, &peer->writable);
        blob_fetch_reconnect(peer);
        peer->hello_ms = 0;
    }
    if (peer->push < 0) {
        connect_push(peer, NULL); /* fails when out of descriptors: again with the next timer */
    }
    bus_peer_flush(peer);
}

void bus_peer_acknowledge(struct bus_peer *peer, uint64_t id)
{
    peer->dirty = true;
    if (peer->ack_count >= ACKS_MAXIMUM) {
        return;
    }
    if (peer->ack_count == peer->ack_capacity) {
        peer->ack_capacity = peer->ack_capacity ? peer->ack_capacity * 2 : 64;
        peer->acks = mem_resize(peer->acks, peer->ack_capacity, sizeof *peer->acks);
    }
    peer->acks[peer->ack_count++] = id;
}

struct bus_peer *bus_peer_new(struct bus *bus, enum bus_link link, const struct address *address,
                              struct error *error)
{
    struct bus_peer *peer = NEW(struct bus_peer);
    peer->bus = bus;
    peer->link = link;
    peer->address = *address;
    peer->push = peer->request = -1;
    peer->timer_ms = INT64_MAX;
    outbox_init(&peer->outbox);
    peer->own_epoch = session_random();
    peer->challenge = session_random();
    peer->timer = event_new(bus->base, -1, 0, on_timer, peer);
    if (!connect_push(peer, error)) {
        bus_peer_free(peer);
        return NULL;
    }
    return peer;
}

void bus_peer_close(struct bus_peer *peer)
{
    bus_socket_close(&peer->push, &peer->writable);
    bus_socket_close(&peer->request, &peer->answered);
    if (peer->timer) {
        event_free(peer->timer);
    }
    if (peer->retry) {
        event_free(peer->retry);
    }
    peer->timer = peer->retry = NULL;
}

void bus_peer_free(struct bus_peer *peer)
{
    bus_peer_close(peer);
    outbox_release(&peer->outbox);
    free(peer->acks);
    free(peer);
}
