/* Sessions: one life of us as a peer, one life of the peer. A life begins when a process adds the
 * other as a peer, so it is over when the process ends and when it removes the other: both forget
 * what was under way, and the other side must learn of both. Each has an epoch, a random number.
 *
 * Each hello carries a random challenge, and an answer repeats it. A peer whose hello repeats our
 * challenge is alive now, is reached at the address it was added with, and holds the link's key:
 * its epoch is taken over. Everything else must name both epochs; so what was captured during an
 * earlier life of either side is worthless, whatever its time says. Within a session the window
 * of sequences refuses replays.
 * The exchange takes three messages, and no more than one answer goes out per hello. */
#include "common/bus/internal.h"

#include "common/base/clock.h"

#include <string.h>

#define HELLO_FIRST_MS 100 /* without a session; doubles up to the heartbeat */

/* ---- sealing ---- */

static bool can_open(const struct bus_peer *peer, const struct seal_key *key)
{
    return key && (peer->keys[0] == key->id || peer->keys[1] == key->id);
}

/* The current key, unless the peer has said that it holds only the previous one so far: while keys
 * are being changed, the two ends see the new files at different times. */
static const struct seal_key *key_for(const struct bus_peer *peer)
{
    const struct seal_key *current = keyring_current(peer->bus->keys, peer->link);
    const struct seal_key *previous = keyring_previous(peer->bus->keys, peer->link);
    if (peer->keys_known && !can_open(peer, current) && can_open(peer, previous)) {
        return previous;
    }
    return current;
}

uint64_t session_seal(struct bus_peer *peer, enum frame_type type, uint8_t *message,
                      size_t body_size)
{
    struct bus *bus = peer->bus;
    const struct seal_key *key = key_for(peer);
    struct frame_header header = {
        .type = type,
        .link = peer->link,
        .key_id = key->id,
        .sender_epoch = peer->own_epoch,
        .recipient_epoch = type == FRAME_HELLO ? 0 : peer->epoch,
        .sequence = ++bus->sequence,
        .time_ms = clock_wall_ms(),
    };
    memcpy(header.instance, bus->instance, sizeof header.instance);
    struct seal_key derived;
    keyring_derive(bus->keys, key, &header, &derived);
    frame_seal(&header, &derived, message, body_size);
    return header.sequence;
}

/* ---- hello ---- */

static int64_t until_next_hello(struct bus_peer *peer)
{
    if (peer->epoch != 0 && !peer->wanting) {
        return HEARTBEAT_MS;
    }
    int64_t wait = peer->hellos < 6 ? (int64_t)HELLO_FIRST_MS << peer->hellos : HEARTBEAT_MS;
    peer->hellos++;
    return wait < HEARTBEAT_MS ? wait : HEARTBEAT_MS;
}

bool session_send_hello(struct bus_peer *peer, int64_t now_ms)
{
    struct bus *bus = peer->bus;
    const struct seal_key *current = keyring_current(bus->keys, peer->link);
    const struct seal_key *previous = keyring_previous(bus->keys, peer->link);
    struct frame_hello hello = {
        .challenge = peer->challenge,
        .echo = peer->echo,
        .answer_wanted = peer->epoch == 0 || peer->wanting,
        .keys = {current->id, previous ? previous->id : current->id},
        .inbox = bus->advertise,
        .inbox_size = strlen(bus->advertise),
    };
    size_t size = frame_hello_size(&hello);
    uint8_t *message = bus_socket_message(FRAME_OVERHEAD + size);
    frame_write_hello(&hello, message + FRAME_HEADER_SIZE);
    session_seal(peer, FRAME_HELLO, message, size);
    if (!bus_socket_send(peer->push, message)) {
        return false;
    }
    peer->echo = 0;
    peer->hello_ms = now_ms + until_next_hello(peer);
    return true;
}

/* ---- who is it ---- */

static struct bus_peer *find_session(struct bus *bus, const struct frame_header *header)
{
    struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->link == header->link && strcmp(peer->instance, header->instance) == 0) {
            return peer;
        }
    }
    return NULL;
}

static struct bus_peer *find_challenged(struct bus *bus, enum bus_link link, uint64_t echo)
{
    struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (echo != 0 && peer->link == link && peer->challenge == echo) {
            return peer;
        }
    }
    return NULL;
}

/* Whom to answer: the peer at the address that the hello names, or the one known by that instance,
 * or the only one of the link. A wrong guess is harmless: only who gets the answer can repeat the
 * challenge in it. */
static struct bus_peer *find_greeted(struct bus *bus, const struct frame_header *header,
                                     const struct frame_hello *hello)
{
    struct bus_peer *peer, *only = NULL;
    size_t count = 0;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->link != header->link) {
            continue;
        }
        if (strlen(peer->address.inbox) == hello->inbox_size &&
            memcmp(peer->address.inbox, hello->inbox, hello->inbox_size) == 0) {
            return peer;
        }
        only = peer;
        count++;
    }
    peer = find_session(bus, header);
    if (peer) {
        return peer;
    }
    return count == 1 ? only : NULL;
}

/* ---- session ---- */

uint64_t session_random(void)
{
    uint64_t random;
    do {
        seal_random(&random, sizeof random);
    } while (random == 0);
    return random;
}

/* An instance that moved to another address leaves its old peer without a session. */
static void end_other_session(struct bus_peer *kept, struct bus_peer *other, int64_t now_ms)
{
    struct bus *bus = kept->bus;
    if (session_is_up(other, now_ms) && bus->handlers.problem) {
        struct error error;
        error_set(&error, ERROR_CONFLICT,
                  "%s and %s both call themselves %s on the bus: give each process an --instance "
                  "of its own",
                  other->address.inbox, kept->address.inbox, kept->instance);
        bus->handlers.problem(&error, bus->handlers.context);
    }
    other->epoch = 0;
    other->instance[0] = '\0';
}

static void end_other_sessions(struct bus_peer *kept, int64_t now_ms)
{
    struct bus_peer *peer;
    TAILQ_FOREACH(peer, &kept->bus->peers, entry)
    {
        if (peer != kept && peer->link == kept->link &&
            strcmp(peer->instance, kept->instance) == 0) {
            end_other_session(kept, peer, now_ms);
            return; /* there is one at most, and the handler may have changed the list */
        }
    }
}

static void begin(struct bus_peer *peer, const struct frame_header *header, int64_t now_ms)
{
    struct bus *bus = peer->bus;
    memcpy(peer->instance, header->instance, sizeof peer->instance);
    end_other_sessions(peer, now_ms);
    peer->epoch = header->sender_epoch;
    peer->wanting = false;
    peer->heard_ms = now_ms;
    peer->hellos = 0;
    peer->ack_count = 0;
    bus_window_clear(&peer->sequences);
    bus_window_clear(&peer->hints);
    bus_window_mark(&peer->sequences, header->sequence);
    peer->challenge = session_random();
    outbox_restart(&peer->outbox);
    blob_fetch_reconnect(peer);
    bus->stats.greeted++;
    if (!peer->removed && bus->handlers.peer_up) {
        bus->handlers.peer_up(peer, bus->handlers.context);
    }
}

static bool is_session(const struct bus_peer *peer, const struct frame_header *header)
{
    return peer && peer->epoch == header->sender_epoch &&
           strcmp(peer->instance, header->instance) == 0;
}

static bool is_new(struct bus_peer *peer, const struct frame_header *header)
{
    if (bus_window_look(&peer->sequences, header->sequence) != WINDOW_NEW) {
        bus_drop(peer->bus, peer->link, BUS_DROP_REPLAY);
        return false;
    }
    bus_window_mark(&peer->sequences, header->sequence);
    return true;
}

static void answer(struct bus_peer *peer, const struct frame_header *header,
                   const struct frame_hello *hello)
{
    memcpy(peer->keys, hello->keys, sizeof peer->keys);
    peer->keys_known = true;
    peer->echo = hello->challenge;
    peer->dirty = true;
    if (hello->answer_wanted || !is_session(peer, header)) {
        peer->hello_ms = 0;
    }
}

static bool is_own_epoch(const struct bus *bus, uint64_t epoch)
{
    const struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->own_epoch == epoch) {
            return true;
        }
    }
    return false;
}

void session_take_hello(struct bus *bus, const struct frame_header *header, const uint8_t *body,
                        size_t size)
{
    struct frame_hello hello;
    struct bus_peer *known = find_session(bus, header);
    if (is_own_epoch(bus, header->sender_epoch) || header->recipient_epoch != 0) {
        bus_drop(bus, header->link, BUS_DROP_RECIPIENT); /* our own, thrown back at us */
        return;
    }
    if (is_session(known, header) && !is_new(known, header)) {
        return;
    }
    if (!frame_read_hello(body, size, &hello)) {
        bus_drop(bus, header->link, BUS_DROP_MALFORMED);
        return;
    }
    struct bus_peer *proven = find_challenged(bus, header->link, hello.echo);
    struct bus_peer *peer = proven ? proven : find_greeted(bus, header, &hello);
    if (!peer) {
        bus_drop(bus, header->link, BUS_DROP_UNKNOWN_PEER);
        return;
    }
    answer(peer, header, &hello);
    int64_t now_ms = clock_monotonic_ms();
    if (proven) {
        peer->reached_ms = now_ms;
    }
    if (is_session(peer, header)) {
        peer->heard_ms = now_ms;
        peer->wanting = false;
    } else if (proven) {
        begin(peer, header, now_ms);
    } else {
        peer->wanting = true;
    }
}

/* Who does not know of a session asks for one. */
static void want_session(struct bus_peer *peer)
{
    bus_drop(peer->bus, peer->link, BUS_DROP_SESSION);
    if (!peer->wanting) {
        peer->wanting = true;
        peer->hello_ms = 0;
        peer->dirty = true;
    }
}

/* The peer towards which we have the epoch that the message is for. */
static struct bus_peer *find_addressed(struct bus *bus, const struct frame_header *header)
{
    struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->link == header->link && peer->own_epoch == header->recipient_epoch) {
            return peer;
        }
    }
    return NULL;
}

struct bus_peer *session_admit(struct bus *bus, const struct frame_header *header)
{
    struct bus_peer *peer = find_session(bus, header);
    struct bus_peer *addressed = find_addressed(bus, header);
    if (!bus_peer_of_link(bus, header->link) || (!peer && addressed && addressed->epoch != 0)) {
        bus_drop(bus, header->link, BUS_DROP_UNKNOWN_PEER);
        return NULL;
    }
    if (!addressed || (peer && peer != addressed)) {
        bus_drop(bus, header->link, BUS_DROP_RECIPIENT);
        return NULL;
    }
    if (!peer || peer->epoch != header->sender_epoch) {
        want_session(addressed); /* its hello was lost */
        return NULL;
    }
    /* nanomsg itself repeats requests when a connection breaks; answering twice is harmless, since
     * the answer names the request and only who asked can open it. */
    if (header->type != FRAME_BLOB_REQUEST && !is_new(peer, header)) {
        return NULL;
    }
    peer->heard_ms = clock_monotonic_ms();
    return peer;
}

bool session_is_up(const struct bus_peer *peer, int64_t now_ms)
{
    return peer->epoch != 0 && now_ms - peer->heard_ms <= SILENCE_MS;
}
