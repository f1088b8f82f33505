/* See frame.h. Readers walk a cursor that fails once and for good, and must reach the end. */
#include "common/bus/frame.h"

#include <string.h>

static const uint8_t magic[2] = {'G', 'M'};

static uint8_t *put(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    }
    return at + bytes;
}

static uint8_t *put_bytes(uint8_t *at, const void *data, size_t size)
{
    if (size > 0) {
        memcpy(at, data, size);
    }
    return at + size;
}

struct cursor {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static const uint8_t *take_bytes(struct cursor *cursor, size_t size)
{
    if (cursor->failed || cursor->left < size) {
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *bytes = cursor->at;
    cursor->at += size;
    cursor->left -= size;
    return bytes;
}

static uint64_t take(struct cursor *cursor, size_t bytes)
{
    const uint8_t *at = take_bytes(cursor, bytes);
    uint64_t value = 0;
    for (size_t i = 0; at && i < bytes; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static bool at_end(const struct cursor *cursor)
{
    return !cursor->failed && cursor->left == 0;
}

/* ---- header ---- */

void frame_write_header(const struct frame_header *header, uint8_t *ret)
{
    uint8_t *at = put_bytes(ret, magic, sizeof magic);
    at = put(at, FRAME_VERSION, 1);
    at = put(at, header->type, 1);
    at = put(at, header->link, 1);
    at = put(at, 0, 3);
    at = put(at, header->key_id, 4);
    at = put(at, 0, 4);
    at = put(at, header->sender_epoch, 8);
    at = put(at, header->recipient_epoch, 8);
    at = put(at, header->sequence, 8);
    at = put(at, (uint64_t)header->time_ms, 8);
    size_t length = strnlen(header->instance, FRAME_INSTANCE_SIZE - 1);
    memset(at, 0, FRAME_INSTANCE_SIZE);
    memcpy(at, header->instance, length);
}

bool frame_instance_is_valid(const char *instance)
{
    size_t length = strnlen(instance, FRAME_INSTANCE_SIZE);
    for (size_t i = 0; i < length; i++) {
        if (instance[i] <= ' ' || instance[i] > '~') {
            return false;
        }
    }
    return length > 0 && length < FRAME_INSTANCE_SIZE;
}

static bool take_instance(struct cursor *cursor, char ret[FRAME_INSTANCE_SIZE])
{
    const uint8_t *bytes = take_bytes(cursor, FRAME_INSTANCE_SIZE);
    if (!bytes) {
        return false;
    }
    memcpy(ret, bytes, FRAME_INSTANCE_SIZE);
    if (!frame_instance_is_valid(ret)) {
        return false;
    }
    for (size_t i = strlen(ret); i < FRAME_INSTANCE_SIZE; i++) {
        if (ret[i] != '\0') {
            return false;
        }
    }
    return true;
}

static bool take_header(struct cursor *cursor, struct frame_header *ret)
{
    uint64_t type = take(cursor, 1), link = take(cursor, 1), zero = take(cursor, 3);
    ret->key_id = (uint32_t)take(cursor, 4);
    zero |= take(cursor, 4);
    ret->sender_epoch = take(cursor, 8);
    ret->recipient_epoch = take(cursor, 8);
    ret->sequence = take(cursor, 8);
    uint64_t time_ms = take(cursor, 8);
    ret->time_ms = (int64_t)time_ms;
    if (!take_instance(cursor, ret->instance) || zero != 0 || time_ms > INT64_MAX ||
        type < FRAME_HELLO || type > FRAME_BLOB_ANSWER || link >= BUS_LINKS ||
        ret->sender_epoch == 0 || (ret->recipient_epoch == 0 && type != FRAME_HELLO)) {
        return false;
    }
    ret->type = (enum frame_type)type;
    ret->link = (enum bus_link)link;
    return true;
}

bool frame_read_header(const uint8_t *message, size_t size, struct frame_header *ret,
                       enum bus_drop *ret_drop)
{
    *ret_drop = BUS_DROP_MALFORMED;
    if (size < FRAME_OVERHEAD || memcmp(message, magic, sizeof magic) != 0) {
        return false;
    }
    if (message[2] != FRAME_VERSION) {
        *ret_drop = BUS_DROP_VERSION;
        return false;
    }
    struct cursor cursor = {.at = message + 3, .left = FRAME_HEADER_SIZE - 3};
    struct frame_header header;
    if (!take_header(&cursor, &header)) {
        return false;
    }
    *ret = header;
    return true;
}

/* ---- sealing ---- */

void frame_derive_key(const struct seal_key *link_key, const struct frame_header *header,
                      struct seal_key *ret)
{
    static const char purpose[] = "gitmoor bus 1";
    uint8_t context[sizeof purpose + 1 + 8 + FRAME_INSTANCE_SIZE] = {0};
    uint8_t *at = put_bytes(context, purpose, sizeof purpose);
    at = put(at, header->link, 1);
    at = put(at, header->sender_epoch, 8);
    memcpy(at, header->instance, strnlen(header->instance, FRAME_INSTANCE_SIZE));
    seal_key_derive(link_key, context, sizeof context, ret);
}

static void nonce_of(const struct frame_header *header, uint8_t ret[SEAL_NONCE_SIZE])
{
    put(put(ret, 0, SEAL_NONCE_SIZE - 8), header->sequence, 8);
}

void frame_seal(const struct frame_header *header, const struct seal_key *derived, uint8_t *message,
                size_t body_size)
{
    uint8_t nonce[SEAL_NONCE_SIZE];
    nonce_of(header, nonce);
    frame_write_header(header, message);
    uint8_t *body = message + FRAME_HEADER_SIZE;
    seal_encrypt(derived, nonce, message, FRAME_HEADER_SIZE, body, body_size, body);
}

bool frame_open(const struct frame_header *header, const struct seal_key *derived, uint8_t *message,
                size_t size)
{
    uint8_t nonce[SEAL_NONCE_SIZE];
    nonce_of(header, nonce);
    uint8_t *body = message + FRAME_HEADER_SIZE;
    return size >= FRAME_OVERHEAD && seal_decrypt(derived, nonce, message, FRAME_HEADER_SIZE, body,
                                                  size - FRAME_HEADER_SIZE, body);
}

/* ---- hello ---- */

size_t frame_hello_size(const struct frame_hello *hello)
{
    return 8 + 8 + 1 + 4 + 4 + hello->inbox_size;
}

void frame_write_hello(const struct frame_hello *hello, uint8_t *ret)
{
    uint8_t *at = put(ret, hello->challenge, 8);
    at = put(at, hello->echo, 8);
    at = put(at, hello->answer_wanted, 1);
    at = put(at, hello->keys[0], 4);
    at = put(at, hello->keys[1], 4);
    put_bytes(at, hello->inbox, hello->inbox_size);
}

bool frame_read_hello(const uint8_t *body, size_t size, struct frame_hello *ret)
{
    struct cursor cursor = {.at = body, .left = size};
    struct frame_hello hello;
    hello.challenge = take(&cursor, 8);
    hello.echo = take(&cursor, 8);
    uint64_t wanted = take(&cursor, 1);
    hello.keys[0] = (uint32_t)take(&cursor, 4);
    hello.keys[1] = (uint32_t)take(&cursor, 4);
    hello.inbox_size = cursor.left;
    hello.inbox = (const char *)take_bytes(&cursor, cursor.left);
    if (!at_end(&cursor) || wanted > 1 || hello.challenge == 0 ||
        hello.inbox_size >= FRAME_ADDRESS_SIZE) {
        return false;
    }
    hello.answer_wanted = wanted == 1;
    *ret = hello;
    return true;
}

/* ---- hint and acknowledgement ---- */

bool frame_kind_is_valid(const char *kind, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = kind[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.')) {
            return false;
        }
    }
    return size > 0 && size <= FRAME_KIND_MAXIMUM;
}

size_t frame_hint_size(const struct frame_hint *hint)
{
    return 8 + 1 + strlen(hint->kind) + 1 + hint->body_size;
}

void frame_write_hint(const struct frame_hint *hint, uint8_t *ret)
{
    size_t length = strlen(hint->kind);
    uint8_t *at = put(ret, hint->id, 8);
    at = put(at, length, 1);
    at = put_bytes(at, hint->kind, length + 1);
    put_bytes(at, hint->body, hint->body_size);
}

bool frame_read_hint(const uint8_t *body, size_t size, struct frame_hint *ret)
{
    struct cursor cursor = {.at = body, .left = size};
    struct frame_hint hint;
    hint.id = take(&cursor, 8);
    size_t length = (size_t)take(&cursor, 1);
    hint.kind = (const char *)take_bytes(&cursor, length);
    uint64_t end = take(&cursor, 1);
    hint.body_size = cursor.left;
    hint.body = (const char *)take_bytes(&cursor, cursor.left);
    if (!at_end(&cursor) || hint.id == 0 || end != 0 || !frame_kind_is_valid(hint.kind, length) ||
        hint.body_size > BUS_HINT_MAXIMUM) {
        return false;
    }
    *ret = hint;
    return true;
}

void frame_write_ack(const uint64_t *ids, size_t count, uint8_t *ret)
{
    for (size_t i = 0; i < count; i++) {
        put(ret + i * 8, ids[i], 8);
    }
}

bool frame_read_ack(const uint8_t *body, size_t size, size_t *ret_count)
{
    (void)body;
    if (size == 0 || size % 8 != 0 || size / 8 > FRAME_ACK_MAXIMUM) {
        return false;
    }
    *ret_count = size / 8;
    return true;
}

uint64_t frame_ack_id(const uint8_t *body, size_t index)
{
    struct cursor cursor = {.at = body + index * 8, .left = 8};
    return take(&cursor, 8);
}

/* ---- blobs ---- */

void frame_write_blob_request(const struct frame_blob_request *request, uint8_t *ret)
{
    uint8_t *at = put_bytes(ret, request->digest.bytes, DIGEST_SIZE);
    at = put(at, request->offset, 8);
    put(at, request->length, 4);
}

bool frame_read_blob_request(const uint8_t *body, size_t size, struct frame_blob_request *ret)
{
    struct cursor cursor = {.at = body, .left = size};
    struct frame_blob_request request;
    const uint8_t *digest = take_bytes(&cursor, DIGEST_SIZE);
    request.offset = take(&cursor, 8);
    request.length = (uint32_t)take(&cursor, 4);
    if (!at_end(&cursor) || request.length > BUS_CHUNK_MAXIMUM) {
        return false;
    }
    memcpy(request.digest.bytes, digest, DIGEST_SIZE);
    *ret = request;
    return true;
}

void frame_write_blob_answer(const struct frame_blob_answer *answer, uint8_t *ret)
{
    uint8_t *at = put(ret, answer->request, 8);
    at = put(at, answer->found, 1);
    at = put(at, answer->total, 8);
    put_bytes(at, answer->data, answer->data_size);
}

bool frame_read_blob_answer(const uint8_t *body, size_t size, struct frame_blob_answer *ret)
{
    struct cursor cursor = {.at = body, .left = size};
    struct frame_blob_answer answer;
    answer.request = take(&cursor, 8);
    uint64_t found = take(&cursor, 1);
    answer.total = take(&cursor, 8);
    answer.data_size = cursor.left;
    answer.data = take_bytes(&cursor, cursor.left);
    if (!at_end(&cursor) || found > 1 || answer.data_size > BUS_CHUNK_MAXIMUM ||
        (found == 0 && (answer.data_size != 0 || answer.total != 0))) {
        return false;
    }
    answer.found = found == 1;
    *ret = answer;
    return true;
}
