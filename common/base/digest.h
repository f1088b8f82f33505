/* SHA-256 digests: of blobs on the bus, of rendered objects, of live fields. */
#ifndef GITMOOR_BASE_DIGEST_H
#define GITMOOR_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE 32
#define DIGEST_HEX_SIZE (DIGEST_SIZE * 2 + 1) /* with the NUL */

struct digest {
    uint8_t bytes[DIGEST_SIZE];
};

void digest_of(const void *data, size_t size, struct digest *ret);

/* Piecewise: digest_new, digest_update…, digest_finish (which frees). */
struct digest_state;
struct digest_state *digest_new(void);
void digest_update(struct digest_state *state, const void *data, size_t size);
void digest_finish(struct digest_state *state, struct digest *ret);

bool digest_equal(const struct digest *left, const struct digest *right);
bool digest_is_zero(const struct digest *digest); /* as a zeroed struct is: "not known" */
void digest_to_hex(const struct digest *digest, char ret_hex[DIGEST_HEX_SIZE]);
bool digest_from_hex(const char *hex, struct digest *ret); /* exactly 64 hex digits */

#endif
