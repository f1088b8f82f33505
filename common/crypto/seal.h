/* Sealed messages: AES-256-GCM (OpenSSL EVP) with the header as authenticated data. */
#ifndef GITMOOR_CRYPTO_SEAL_H
#define GITMOOR_CRYPTO_SEAL_H

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define SEAL_KEY_SIZE 32
#define SEAL_NONCE_SIZE 12
#define SEAL_TAG_SIZE 16

struct seal_key {
    uint8_t bytes[SEAL_KEY_SIZE];
    uint32_t id; /* first four bytes of the key's SHA-256: tells current from previous */
};

/* 64 hex digits, white space around them allowed. */
bool seal_key_parse(const char *text, struct seal_key *ret, struct error *error);

/* A key for one use, named by `context` (any bytes): HMAC-SHA256 of it under `key`. It keeps the id
 * of `key`. Two contexts give two unrelated keys, so that each may count its nonces from nought. */
void seal_key_derive(const struct seal_key *key, const void *context, size_t size,
                     struct seal_key *ret);

/* Encrypts `size` bytes into ret_sealed (size + SEAL_TAG_SIZE bytes: ciphertext, then tag); in
 * place is allowed. The caller never uses a nonce twice with one key. */
void seal_encrypt(const struct seal_key *key, const uint8_t nonce[SEAL_NONCE_SIZE],
                  const void *header, size_t header_size, const void *plain, size_t size,
                  uint8_t *ret_sealed);

/* Decrypts `size` bytes (ciphertext and tag) into ret_plain (size - SEAL_TAG_SIZE bytes); in
 * place is allowed. False if the tag does not fit, with ret_plain zeroed. */
bool seal_decrypt(const struct seal_key *key, const uint8_t nonce[SEAL_NONCE_SIZE],
                  const void *header, size_t header_size, const uint8_t *sealed, size_t size,
                  uint8_t *ret_plain);

/* Bytes that nobody can guess. */
void seal_random(void *ret, size_t size);

#endif
