/* The bus's readers of what peers send. The first byte chooses: 0 the whole message as it comes
 * from a socket, else the body of that type, as after a tag that fitted. What is read is written
 * again and must give the same bytes. */
#include "common/bus/frame.h"

#include <stdlib.h>
#include <string.h>

static void check(bool good)
{
    if (!good) {
        abort();
    }
}

static void try_message(const uint8_t *data, size_t size)
{
    struct frame_header header;
    enum bus_drop drop = BUS_DROPS;
    if (!frame_read_header(data, size, &header, &drop)) {
        check(drop == BUS_DROP_MALFORMED || drop == BUS_DROP_VERSION);
        return;
    }
    uint8_t written[FRAME_HEADER_SIZE];
    frame_write_header(&header, written);
    check(memcmp(written, data, sizeof written) == 0);
    static const struct seal_key link_key = {.bytes = {1}};
    struct seal_key key;
    uint8_t *copy = malloc(size);
    check(copy != NULL);
    memcpy(copy, data, size);
    frame_derive_key(&link_key, &header, &key);
    frame_open(&header, &key, copy, size);
    free(copy);
}

static void try_hello(const uint8_t *data, size_t size, uint8_t *again)
{
    struct frame_hello hello;
    if (frame_read_hello(data, size, &hello)) {
        check(frame_hello_size(&hello) == size);
        frame_write_hello(&hello, again);
        check(memcmp(again, data, size) == 0);
    }
}

static void try_hint(const uint8_t *data, size_t size, uint8_t *again)
{
    struct frame_hint hint;
    if (frame_read_hint(data, size, &hint)) {
        check(frame_hint_size(&hint) == size && strlen(hint.kind) <= FRAME_KIND_MAXIMUM);
        frame_write_hint(&hint, again);
        check(memcmp(again, data, size) == 0);
    }
}

static void try_ack(const uint8_t *data, size_t size, uint8_t *again)
{
    size_t count = 0;
    if (frame_read_ack(data, size, &count)) {
        check(count <= FRAME_ACK_MAXIMUM);
        uint64_t ids[FRAME_ACK_MAXIMUM];
        for (size_t i = 0; i < count; i++) {
            ids[i] = frame_ack_id(data, i);
        }
        frame_write_ack(ids, count, again);
        check(memcmp(again, data, size) == 0);
    }
}

static void try_blob(uint8_t type, const uint8_t *data, size_t size, uint8_t *again)
{
    struct frame_blob_request request;
    struct frame_blob_answer answer;
    if (type == FRAME_BLOB_REQUEST && frame_read_blob_request(data, size, &request)) {
        frame_write_blob_request(&request, again);
        check(memcmp(again, data, size) == 0);
    } else if (type == FRAME_BLOB_ANSWER && frame_read_blob_answer(data, size, &answer)) {
        frame_write_blob_answer(&answer, again);
        check(memcmp(again, data, size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t type = data[0];
    /* Of exactly the size, so that a read past the end is noticed. */
    uint8_t *body = malloc(size), *again = malloc(size);
    check(body && again);
    memcpy(body, data + 1, size - 1);
    body = realloc(body, size - 1 > 0 ? size - 1 : 1);
    size--;
    switch (type) {
    case 0:
        try_message(body, size);
        break;
    case FRAME_HELLO:
        try_hello(body, size, again);
        break;
    case FRAME_HINT:
        try_hint(body, size, again);
        break;
    case FRAME_ACK:
        try_ack(body, size, again);
        break;
    default:
        try_blob(type, body, size, again);
        break;
    }
    free(body);
    free(again);
    return 0;
}
