#include "fetcher/base64.h"

#include <string.h>

static int value_of(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
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
