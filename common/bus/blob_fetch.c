/* Fetching blobs. A peer has one REQ socket, made when it is needed, with one request on it at a
 * time; fetches from the same peer take turns chunk by chunk. A request without an answer is
 * repeated, sealed anew, until the deadline of its fetch, and on a socket made anew: the connection
 * of the one before may lead to a machine that is no more, or wait minutes for it. */
#include "common/bus/internal.h"

#include "common/base/memory.h"

#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <string.h>

#define RETRY_MS 3000 /* well above the time of a busy holder's turn of the loop */

struct fetch {
    TAILQ_ENTRY(fetch) entry;
    struct bus *bus;
    struct bus_peer *peer; /* NULL once it is removed */
    struct digest digest;
    char *data;
    size_t size, received;
    struct digest_state *hash;
    struct event *deadline; /* or, with an error there, the next turn of the loop */
    struct error error;
    bus_blob_fn done;
    void *context;
};

static void set_after(struct event *event, int64_t wait_ms)
{
    struct timeval delay = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
    event_add(event, &delay);
}

static void stop_asking(struct bus_peer *peer)
{
    peer->asking = NULL;
    if (peer->retry) {
        event_del(peer->retry);
    }
}

static void fetch_free(struct fetch *fetch)
{
    if (fetch->peer && fetch->peer->asking == fetch) {
        stop_asking(fetch->peer);
    }
    TAILQ_REMOVE(&fetch->bus->fetches, fetch, entry);
    struct digest ignored;
    if (fetch->hash) {
        digest_finish(fetch->hash, &ignored);
    }
    event_free(fetch->deadline);
    free(fetch->data);
    free(fetch);
}

/* Ends a fetch and tells of it: with the data, or with the error. */
static void finish(struct fetch *fetch)
{
    struct bus_peer *peer = fetch->peer;
    bus_blob_fn done = fetch->done;
    void *context = fetch->context;
    char *data = NULL;
    size_t size = fetch->size;
    struct error error = fetch->error;
    if (error.code == ERROR_NONE) {
        data = fetch->data;
        fetch->data = NULL;
    }
    struct bus *bus = fetch->bus;
    fetch_free(fetch);
    bus_enter(bus);
    done(data, data ? size : 0, data ? NULL : &error, context);
    if (peer && !peer->removed) {
        blob_fetch_pump(peer);
    }
    bus_leave(bus);
}

/* ---- asking ---- */

static struct fetch *next_fetch(const struct bus_peer *peer)
{
    struct fetch *fetch;
    TAILQ_FOREACH(fetch, &peer->bus->fetches, entry)
    {
        if (fetch->peer == peer && fetch->error.code == ERROR_NONE) {
            return fetch;
        }
    }
    return NULL;
}

static size_t next_length(const struct fetch *fetch)
{
    size_t rest = fetch->size - fetch->received;
    return rest < BUS_CHUNK_MAXIMUM ? rest : BUS_CHUNK_MAXIMUM;
}

static void on_answered(evutil_socket_t fd, short events, void *context);
static void on_retry(evutil_socket_t fd, short events, void *context);

static bool connect_request(struct bus_peer *peer, struct error *error)
{
    struct event_base *base = peer->bus->base;
    if (!peer->retry) {
        peer->retry = event_new(base, -1, 0, on_retry, peer);
    }
    if (peer->request >= 0) {
        return true;
    }
    peer->request = bus_socket_connect(NN_REQ, &peer->address, peer->address.blobs, error);
    if (peer->request < 0) {
        return false;
    }
    peer->answered = bus_socket_event(base, peer->request, NN_RCVFD, EV_PERSIST, on_answered, peer);
    event_add(peer->answered, NULL);
    return true;
}

void blob_fetch_pump(struct bus_peer *peer)
{
    struct fetch *fetch = next_fetch(peer);
    if (peer->asking || !fetch || peer->epoch == 0) {
        return;
    }
    if (!connect_request(peer, NULL)) {
        set_after(peer->retry, RETRY_MS); /* out of descriptors */
        return;
    }
    struct frame_blob_request request = {
        .digest = fetch->digest, .offset = fetch->received, .length = (uint32_t)next_length(fetch)};
    uint8_t *message = bus_socket_message(FRAME_OVERHEAD + FRAME_BLOB_REQUEST_SIZE);
    frame_write_blob_request(&request, message + FRAME_HEADER_SIZE);
    peer->asking_sequence =
        session_seal(peer, FRAME_BLOB_REQUEST, message, FRAME_BLOB_REQUEST_SIZE);
    bus_socket_send(peer->request, message); /* REQ keeps it until there is a connection */
    peer->asking = fetch;
    set_after(peer->retry, RETRY_MS);
}

static void on_retry(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    blob_fetch_reconnect(context);
}

void blob_fetch_reconnect(struct bus_peer *peer)
{
    stop_asking(peer);
    bus_socket_close(&peer->request, &peer->answered);
    blob_fetch_pump(peer);
}

/* ---- answers ---- */

static void take_chunk(struct fetch *fetch, const struct frame_blob_answer *answer)
{
    struct error *error = &fetch->error;
    if (!answer->found) {
        error_set(error, ERROR_NOT_FOUND, "%s no longer holds the blob", fetch->peer->instance);
        return;
    }
    if (answer->total != fetch->size || answer->data_size != next_length(fetch)) {
        error_set(
            error, ERROR_INVALID,
            "%s announced a blob of %zu bytes but serves one of %llu, %zu of %zu bytes at once",
            fetch->peer->instance, fetch->size, (unsigned long long)answer->total,
            answer->data_size, next_length(fetch));
        return;
    }
    if (answer->data_size > 0) {
        memcpy(fetch->data + fetch->received, answer->data, answer->data_size);
        digest_update(fetch->hash, answer->data, answer->data_size);
        fetch->received += answer->data_size;
    }
    if (fetch->received < fetch->size) {
        return;
    }
    struct digest digest;
    digest_finish(fetch->hash, &digest);
    fetch->hash = NULL;
    if (!digest_equal(&digest, &fetch->digest)) {
        error_set(error, ERROR_INVALID, "the blob that %s serves does not match its digest",
                  fetch->peer->instance);
    }
}

static void take_answer(struct bus_peer *peer, uint8_t *message, size_t size)
{
    struct bus *bus = peer->bus;
    struct frame_header header;
    if (!inbox_open(bus, message, size, FRAME_BLOB_MAXIMUM, &header)) {
        return;
    }
    struct frame_blob_answer answer;
    if (header.type != FRAME_BLOB_ANSWER ||
        !frame_read_blob_answer(message + FRAME_HEADER_SIZE, size - FRAME_OVERHEAD, &answer)) {
        bus_drop(bus, header.link, BUS_DROP_MALFORMED);
        return;
    }
    struct bus_peer *sender = session_admit(bus, &header);
    if (!sender) {
        return;
    }
    struct fetch *fetch = peer->asking;
    if (sender != peer || !fetch || answer.request != peer->asking_sequence) {
        bus_drop(bus, header.link, BUS_DROP_REPLAY);
        return;
    }
    stop_asking(peer);
    bus->stats.blob_chunks_fetched++;
    take_chunk(fetch, &answer);
    if (fetch->error.code != ERROR_NONE || fetch->received == fetch->size) {
        finish(fetch);
        return;
    }
    TAILQ_REMOVE(&bus->fetches, fetch, entry);
    TAILQ_INSERT_TAIL(&bus->fetches, fetch, entry);
    blob_fetch_pump(peer);
}

static void on_answered(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    struct bus_peer *peer = context;
    struct bus *bus = peer->bus;
    size_t size = 0;
    uint8_t *message = bus_socket_receive(peer->request, &size);
    if (!message) {
        return;
    }
    bus_enter(bus);
    take_answer(peer, message, size);
    nn_freemsg(message);
    bus_leave(bus);
}

/* ---- the public calls ---- */

static void on_deadline(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    struct fetch *fetch = context;
    if (fetch->error.code == ERROR_NONE) {
        error_set(&fetch->error, ERROR_TIMEOUT, "fetching a blob from %s: %zu of %zu bytes in time",
                  fetch->peer->address.blobs, fetch->received, fetch->size);
    }
    finish(fetch);
}

static void prepare(struct fetch *fetch)
{
    if (fetch->size > BUS_BLOB_MAXIMUM) {
        error_set(&fetch->error, ERROR_LIMIT, "a blob of %zu bytes is too large: at most %zu",
                  fetch->size, BUS_BLOB_MAXIMUM);
        return;
    }
    /* The size is a peer's word: memory that is not there is its failure, not ours. */
    fetch->data = malloc(fetch->size + 1);
    if (!fetch->data) {
        error_set(&fetch->error, ERROR_LIMIT, "no memory for a blob of %zu bytes", fetch->size);
        return;
    }
    fetch->data[fetch->size] = '\0';
    connect_request(fetch->peer, &fetch->error);
}

void bus_blob_fetch(struct bus_peer *peer, const struct digest *digest, size_t size,
                    int64_t timeout_ms, bus_blob_fn done, void *context)
{
    struct fetch *fetch = NEW(struct fetch);
    fetch->bus = peer->bus;
    fetch->peer = peer;
    fetch->digest = *digest;
    fetch->size = size;
    fetch->done = done;
    fetch->context = context;
    fetch->hash = digest_new();
    fetch->deadline = event_new(peer->bus->base, -1, 0, on_deadline, fetch);
    TAILQ_INSERT_TAIL(&peer->bus->fetches, fetch, entry);
    prepare(fetch);
    bool failed = fetch->error.code != ERROR_NONE;
    set_after(fetch->deadline, failed || timeout_ms < 0 ? 0 : timeout_ms);
    if (!failed) {
        blob_fetch_pump(peer);
    }
}

void bus_blob_cancel(struct bus *bus, const void *context)
{
    struct fetch *fetch = TAILQ_FIRST(&bus->fetches);
    while (fetch) {
        struct fetch *next = TAILQ_NEXT(fetch, entry);
        struct bus_peer *peer = fetch->peer;
        if (fetch->context == context) {
            fetch_free(fetch);
            if (peer) {
                blob_fetch_pump(peer);
            }
        }
        fetch = next;
    }
}

void blob_fetch_abandon(struct bus_peer *peer)
{
    struct fetch *fetch;
    TAILQ_FOREACH(fetch, &peer->bus->fetches, entry)
    {
        if (fetch->peer == peer) {
            error_set(&fetch->error, ERROR_UNAVAILABLE, "the peer %s is gone", peer->address.inbox);
            fetch->peer = NULL;
            set_after(fetch->deadline, 0);
        }
    }
    peer->asking = NULL;
}

void blob_fetch_free_all(struct bus *bus)
{
    while (!TAILQ_EMPTY(&bus->fetches)) {
        fetch_free(TAILQ_FIRST(&bus->fetches));
    }
}
