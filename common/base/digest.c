#include "common/base/digest.h"

#include "common/base/memory.h"

#include <openssl/evp.h>
#include <string.h>

struct digest_state {
    EVP_MD_CTX *context;
};

/* OpenSSL reports failure here only when it is out of memory or has no SHA-256 at all. */
static void require(int ok)
{
    if (ok != 1) {
        abort();
    }
}

void digest_of(const void *data, size_t size, struct digest *ret)
{
    require(EVP_Digest(data, size, ret->bytes, NULL, EVP_sha256(), NULL));
}

struct digest_state *digest_new(void)
{
    struct digest_state *state = NEW(struct digest_state);
    state->context = EVP_MD_CTX_new();
    require(state->context && EVP_DigestInit_ex(state->context, EVP_sha256(), NULL));
    return state;
}

void digest_update(struct digest_state *state, const void *data, size_t size)
{
    require(EVP_DigestUpdate(state->context, data, size));
}

void digest_finish(struct digest_state *state, struct digest *ret)
{
    require(EVP_DigestFinal_ex(state->context, ret->bytes, NULL));
    EVP_MD_CTX_free(state->context);
    free(state);
}

bool digest_equal(const struct digest *left, const struct digest *right)
{
    return memcmp(left->bytes, right->bytes, DIGEST_SIZE) == 0;
}

bool digest_is_zero(const struct digest *digest)
{
    static const struct digest zero;
    return digest_equal(digest, &zero);
}

void digest_to_hex(const struct digest *digest, char ret_hex[DIGEST_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        ret_hex[i * 2] = digits[digest->bytes[i] >> 4];
        ret_hex[i * 2 + 1] = digits[digest->bytes[i] & 15];
    }
    ret_hex[DIGEST_SIZE * 2] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return -1;
}

bool digest_from_hex(const char *hex, struct digest *ret)
{
    if (!hex || strlen(hex) != DIGEST_SIZE * 2) {
        return false;
    }
    struct digest digest;
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        int high = hex_value(hex[i * 2]), low = hex_value(hex[i * 2 + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        digest.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret = digest;
    return true;
}
