/* SSH public keys and signatures on the wire (RFC 4251, 4253, 5656, 8332, 8709, and OpenSSH's
 * PROTOCOL.u2f), checked by OpenSSL. */
#ifndef GITMOOR_FETCHER_SSH_KEY_H
#define GITMOOR_FETCHER_SSH_KEY_H

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A string of the wire: bytes that belong to somebody else. */
struct ssh_bytes {
    const uint8_t *data;
    size_t size;
};

/* Takes the next string (length as four bytes, then the bytes) off the front of `from`. */
bool ssh_take_string(struct ssh_bytes *from, struct ssh_bytes *ret);
bool ssh_take_uint32(struct ssh_bytes *from, uint32_t *ret);
bool ssh_bytes_equal(struct ssh_bytes left, struct ssh_bytes right);
bool ssh_bytes_are(struct ssh_bytes bytes, const char *text);

/* ssh-ed25519, ecdsa-sha2-nistp256/384/521, ssh-rsa, and the two sk- types of security keys. */
bool ssh_key_type_is_supported(const char *type, size_t size);

/* Whether the blob is a key of a supported type that can be used: the point is on the curve, an RSA
 * modulus has 1,024 to 16,384 bits, as OpenSSH demands. */
bool ssh_key_check(struct ssh_bytes key, struct error *error);

/* Whether `signature` (algorithm, and what that defines) is the key's over the message. */
bool ssh_key_verify(struct ssh_bytes key, struct ssh_bytes signature, const void *message,
                    size_t size, struct error *error);

/* "SHA256:…" as ssh-keygen -l prints it. */
#define SSH_FINGERPRINT_SIZE 51
void ssh_key_fingerprint(struct ssh_bytes key, char ret_text[SSH_FINGERPRINT_SIZE]);

#endif
