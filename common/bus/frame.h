/* The wire format: a fixed header in the clear, authenticated, and a sealed body.
 *
 *   offset size
 *        0    2  "GM"
 *        2    1  version, FRAME_VERSION
 *        3    1  type (enum frame_type)
 *        4    1  link (enum bus_link)
 *        5    3  zero
 *        8    4  key id: which of the link's keys (current or previous)
 *       12    4  zero
 *       16    8  epoch of the sender: random, new with each peer that it adds (session.c)
 *       24    8  epoch of the recipient, 0 where the sender does not know it yet (hello only)
 *       32    8  sequence: counts every message of the sender's; it is the nonce
 *       40    8  time: wall clock of the sender, milliseconds
 *       48   64  instance of the sender, padded with zeros
 *      112    n  sealed body
 *    112+n   16  tag
 *
 * Numbers are big endian. The sealing key is derived from the link's key, the instance, the
 * epoch and the link, so that no two lives share a nonce space and sequences can be nonces.
 * Everything here is a pure function of its arguments; what a peer sent is never trusted. */
#ifndef GITMOOR_BUS_FRAME_H
#define GITMOOR_BUS_FRAME_H

#include "common/base/digest.h"
#include "common/bus/bus.h"
#include "common/crypto/seal.h"

#define FRAME_VERSION 1
#define FRAME_HEADER_SIZE ((size_t)112)
#define FRAME_OVERHEAD (FRAME_HEADER_SIZE + SEAL_TAG_SIZE)
#define FRAME_INSTANCE_SIZE 64 /* with a NUL */
#define FRAME_ADDRESS_SIZE 128 /* with a NUL; sun_path is 108 */
#define FRAME_KIND_MAXIMUM 63

enum frame_type { FRAME_HELLO = 1, FRAME_HINT, FRAME_ACK, FRAME_BLOB_REQUEST, FRAME_BLOB_ANSWER };

struct frame_header {
    enum frame_type type;
    enum bus_link link;
    uint32_t key_id;
    uint64_t sender_epoch, recipient_epoch;
    uint64_t sequence;
    int64_t time_ms;
    char instance[FRAME_INSTANCE_SIZE];
};

/* Writes FRAME_HEADER_SIZE bytes. */
void frame_write_header(const struct frame_header *header, uint8_t *ret);
/* Of a whole message of `size` bytes. False: drop it, for that reason. */
bool frame_read_header(const uint8_t *message, size_t size, struct frame_header *ret,
                       enum bus_drop *ret_drop);
/* 1 to 63 printable characters of ASCII without blanks. */
bool frame_instance_is_valid(const char *instance);

/* The key that seals what this life of this instance sends over the link. */
void frame_derive_key(const struct seal_key *link_key, const struct frame_header *header,
                      struct seal_key *ret);

/* A message in one piece of memory: header, `body_size` bytes of body at FRAME_HEADER_SIZE, and
 * room for the tag. Sealed and opened in place. */
void frame_seal(const struct frame_header *header, const struct seal_key *derived, uint8_t *message,
                size_t body_size);
bool frame_open(const struct frame_header *header, const struct seal_key *derived, uint8_t *message,
                size_t size);

/* ---- bodies: sizes to allocate, writers that fill exactly those, strict readers ---- */

/* Says who is there and proves that it is alive: `echo` repeats the recipient's last challenge. */
struct frame_hello {
    uint64_t challenge, echo;
    bool answer_wanted; /* the sender has no session with the recipient yet */
    uint32_t keys[2];   /* ids of the keys it can open: current, previous (current again: none) */
    const char *inbox;  /* where the sender can be reached; read: within the body */
    size_t inbox_size;
};
size_t frame_hello_size(const struct frame_hello *hello);
void frame_write_hello(const struct frame_hello *hello, uint8_t *ret);
bool frame_read_hello(const uint8_t *body, size_t size, struct frame_hello *ret);

struct frame_hint {
    uint64_t id;      /* counts the hints of this sender to this peer, from 1 */
    const char *kind; /* NUL-terminated also when read */
    const char *body;
    size_t body_size;
};
size_t frame_hint_size(const struct frame_hint *hint);
void frame_write_hint(const struct frame_hint *hint, uint8_t *ret);
bool frame_read_hint(const uint8_t *body, size_t size, struct frame_hint *ret);
/* A word of letters, digits, '-', '_' and '.', at most FRAME_KIND_MAXIMUM long. */
bool frame_kind_is_valid(const char *kind, size_t size);

/* An acknowledgement is an array of hint ids. */
#define FRAME_ACK_MAXIMUM ((size_t)1024)
void frame_write_ack(const uint64_t *ids, size_t count, uint8_t *ret); /* 8 × count bytes */
bool frame_read_ack(const uint8_t *body, size_t size, size_t *ret_count);
uint64_t frame_ack_id(const uint8_t *body, size_t index);

struct frame_blob_request {
    struct digest digest;
    uint64_t offset;
    uint32_t length;
};
#define FRAME_BLOB_REQUEST_SIZE ((size_t)DIGEST_SIZE + 12)
void frame_write_blob_request(const struct frame_blob_request *request, uint8_t *ret);
bool frame_read_blob_request(const uint8_t *body, size_t size, struct frame_blob_request *ret);

struct frame_blob_answer {
    uint64_t request; /* sequence of the request */
    bool found;
    uint64_t total; /* size of the blob */
    const uint8_t *data;
    size_t data_size;
};
#define FRAME_BLOB_ANSWER_SIZE ((size_t)17) /* before the data */
void frame_write_blob_answer(const struct frame_blob_answer *answer, uint8_t *ret);
bool frame_read_blob_answer(const uint8_t *body, size_t size, struct frame_blob_answer *ret);

/* The largest message that an inbox, and a blob socket, takes. */
#define FRAME_INBOX_MAXIMUM (FRAME_OVERHEAD + 8 + 1 + FRAME_KIND_MAXIMUM + 1 + BUS_HINT_MAXIMUM)
#define FRAME_BLOB_MAXIMUM (FRAME_OVERHEAD + FRAME_BLOB_ANSWER_SIZE + BUS_CHUNK_MAXIMUM)

#endif
