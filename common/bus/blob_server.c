/* Serving blobs: one request, one answer, in lock-step, as REP has it. A request that is dropped
 * gets no answer; who asked asks again until its own deadline. */
#include "common/bus/internal.h"

#include <nanomsg/nn.h>

static void answer(struct bus_peer *peer, const struct frame_header *header,
                   const struct frame_blob_request *request)
{
    struct bus *bus = peer->bus;
    struct frame_blob_answer answer = {.request = header->sequence};
    const struct blob *blob = blob_store_find(&bus->blobs, &request->digest);
    if (blob && request->offset <= blob->size) {
        size_t rest = blob->size - (size_t)request->offset;
        answer.found = true;
        answer.total = blob->size;
        answer.data = (const uint8_t *)blob->data + request->offset;
        answer.data_size = request->length < rest ? request->length : rest;
    }
    size_t size = FRAME_BLOB_ANSWER_SIZE + answer.data_size;
    uint8_t *message = bus_socket_message(FRAME_OVERHEAD + size);
    frame_write_blob_answer(&answer, message + FRAME_HEADER_SIZE);
    session_seal(peer, FRAME_BLOB_ANSWER, message, size);
    if (bus_socket_send(bus->server, message)) {
        bus->stats.blob_chunks_served++;
    }
}

static void serve(struct bus *bus, uint8_t *message, size_t size)
{
    struct frame_header header;
    if (!inbox_open(bus, message, size, FRAME_OVERHEAD + FRAME_BLOB_REQUEST_SIZE, &header)) {
        return;
    }
    struct frame_blob_request request;
    if (header.type != FRAME_BLOB_REQUEST ||
        !frame_read_blob_request(message + FRAME_HEADER_SIZE, size - FRAME_OVERHEAD, &request)) {
        bus_drop(bus, header.link, BUS_DROP_MALFORMED);
        return;
    }
    struct bus_peer *peer = session_admit(bus, &header);
    if (peer) {
        answer(peer, &header, &request);
    }
}

void blob_server_on_readable(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    struct bus *bus = context;
    bus_enter(bus);
    for (size_t i = 0; i < MESSAGES_PER_TURN; i++) {
        size_t size = 0;
        uint8_t *message = bus_socket_receive(bus->server, &size);
        if (!message) {
            break;
        }
        serve(bus, message, size);
        nn_freemsg(message);
    }
    bus_leave(bus);
}
