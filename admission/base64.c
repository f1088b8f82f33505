#include "admission/base64.h"

#include "common/base/memory.h"

#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

char *base64_encode(const char *text)
{
    size_t size = strlen(text);
    char *encoded = mem_new(1, 4 * ((size + 2) / 3) + 1);
    EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)text, (int)size);
    return encoded;
}

char *base64_decode(const char *text)
{
    size_t size = text ? strlen(text) : 0;
    if (!text || size % 4 != 0 || size > INT_MAX) {
        return NULL;
    }
    char *decoded = mem_new(1, size / 4 * 3 + 1);
    int got = EVP_DecodeBlock((unsigned char *)decoded, (const unsigned char *)text, (int)size);
    /* OpenSSL counts the padding as if it stood for bytes. */
    for (size_t i = size; got > 0 && i > 0 && size - i < 2 && text[i - 1] == '='; i--) {
        got--;
    }
    if (got < 0 || memchr(decoded, '\0', (size_t)got)) {
        free(decoded);
        return NULL;
    }
    decoded[got] = '\0';
    return decoded;
}
