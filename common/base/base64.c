#include "common/base/base64.h"

#include "common/base/memory.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool base64_decode(const char *text, size_t size, struct buf *out)
{
    unsigned bits = 0, count = 0, padding = 0;
    for (size_t i = 0; i < size; i++) {
        int value = value_of(text[i]);
        if (is_blank(text[i])) {
            continue;
        }
        if (text[i] == '=' && count % 4 >= 2 && padding < 2) {
            padding++;
            value = 0;
        } else if (value < 0 || padding > 0) {
            return false;
        }
        bits = bits << 6 | (unsigned)value;
        if (++count % 4 == 0) {
            const unsigned char bytes[] = {(unsigned char)(bits >> 16), (unsigned char)(bits >> 8),
                                           (unsigned char)bits};
            if (!buf_append(out, bytes, sizeof bytes - padding)) {
                return false;
            }
            bits = 0;
        }
    }
    return count % 4 == 0;
}

char *base64_decode_text(const char *text)
{
    if (!text) {
        return NULL;
    }
    AUTO_BUF struct buf out;
    buf_init(&out, strlen(text));
    if (!base64_decode(text, strlen(text), &out) || memchr(out.data, '\0', out.size)) {
        return NULL;
    }
    return buf_detach(&out);
}

char *base64_encode(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    char *text = mem_new((size + 2) / 3 * 4 + 1, 1), *end = text;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned bits = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) |
                        (left > 2 ? bytes[i + 2] : 0);
        *end++ = alphabet[bits >> 18];
        *end++ = alphabet[bits >> 12 & 63];
        *end++ = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        *end++ = left > 2 ? alphabet[bits & 63] : '=';
    }
    return text;
}
