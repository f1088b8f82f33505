/* AES-256-GCM through EVP. A failure of OpenSSL here other than a tag that does not fit means that
 * it is out of memory or lacks the cipher: the process ends, as for any other lack of memory. */
#include "common/crypto/seal.h"

#include "common/base/digest.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

static void require(int ok)
{
    if (ok != 1) {
        abort();
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_digits(const char *text, uint8_t ret[SEAL_KEY_SIZE])
{
    for (size_t i = 0; i < SEAL_KEY_SIZE; i++) {
        int high = hex_value(text[i * 2]);
        int low = high < 0 ? -1 : hex_value(text[i * 2 + 1]);
        if (low < 0) {
            return false;
        }
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool seal_key_parse(const char *text, struct seal_key *ret, struct error *error)
{
    static const char blanks[] = " \t\r\n";
    struct seal_key key;
    const char *digits = text + strspn(text, blanks);
    size_t count = strcspn(digits, blanks);
    const char *rest = digits + count;
    rest += strspn(rest, blanks);
    /* The message never repeats the text: it may be a secret with a typing error in it. */
    if (count != (size_t)SEAL_KEY_SIZE * 2 || *rest != '\0') {
        return error_set(error, ERROR_INVALID,
                         "a key is %d hex digits, as `openssl rand -hex %d` prints; this has %zu "
                         "characters%s",
                         SEAL_KEY_SIZE * 2, SEAL_KEY_SIZE, count,
                         *rest == '\0' ? "" : " and then more text");
    }
    if (!parse_digits(digits, key.bytes)) {
        OPENSSL_cleanse(&key, sizeof key);
        return error_set(error, ERROR_INVALID,
                         "a key is %d hex digits, as `openssl rand -hex %d` prints; this has other "
                         "characters in it",
                         SEAL_KEY_SIZE * 2, SEAL_KEY_SIZE);
    }
    struct digest digest;
    digest_of(key.bytes, sizeof key.bytes, &digest);
    key.id = (uint32_t)digest.bytes[0] << 24 | (uint32_t)digest.bytes[1] << 16 |
             (uint32_t)digest.bytes[2] << 8 | digest.bytes[3];
    *ret = key;
    OPENSSL_cleanse(&key, sizeof key);
    return true;
}

void seal_key_derive(const struct seal_key *key, const void *context, size_t size,
                     struct seal_key *ret)
{
    uint8_t bytes[SEAL_KEY_SIZE];
    unsigned length = sizeof bytes;
    require(HMAC(EVP_sha256(), key->bytes, SEAL_KEY_SIZE, context, size, bytes, &length) != NULL);
    memcpy(ret->bytes, bytes, sizeof bytes);
    ret->id = key->id;
    OPENSSL_cleanse(bytes, sizeof bytes);
}

void seal_encrypt(const struct seal_key *key, const uint8_t nonce[SEAL_NONCE_SIZE],
                  const void *header, size_t header_size, const void *plain, size_t size,
                  uint8_t *ret_sealed)
{
    require(size <= INT_MAX && header_size <= INT_MAX);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    require(context != NULL);
    int length = 0;
    require(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key->bytes, nonce));
    require(EVP_EncryptUpdate(context, NULL, &length, header, (int)header_size));
    if (size > 0) {
        require(EVP_EncryptUpdate(context, ret_sealed, &length, plain, (int)size));
    }
    require(EVP_EncryptFinal_ex(context, ret_sealed + size, &length));
    require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_SIZE, ret_sealed + size));
    EVP_CIPHER_CTX_free(context);
}

bool seal_decrypt(const struct seal_key *key, const uint8_t nonce[SEAL_NONCE_SIZE],
                  const void *header, size_t header_size, const uint8_t *sealed, size_t size,
                  uint8_t *ret_plain)
{
    if (size < SEAL_TAG_SIZE || size > INT_MAX || header_size > INT_MAX) {
        return false;
    }
    size_t plain_size = size - SEAL_TAG_SIZE;
    uint8_t tag[SEAL_TAG_SIZE], end[1];
    memcpy(tag, sealed + plain_size, sizeof tag);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    require(context != NULL);
    int length = 0;
    require(EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key->bytes, nonce));
    require(EVP_DecryptUpdate(context, NULL, &length, header, (int)header_size));
    if (plain_size > 0) {
        require(EVP_DecryptUpdate(context, ret_plain, &length, sealed, (int)plain_size));
    }
    require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_SIZE, tag));
    bool fits = EVP_DecryptFinal_ex(context, end, &length) == 1;
    EVP_CIPHER_CTX_free(context);
    if (!fits && plain_size > 0) {
        OPENSSL_cleanse(ret_plain, plain_size);
    }
    return fits;
}

void seal_random(void *ret, size_t size)
{
    require(size <= INT_MAX);
    require(RAND_bytes(ret, (int)size));
}
