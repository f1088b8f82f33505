#include "common/kube/base64.h"
#include "common/base/memory.h"

#include <stdint.h>
#include <string.h>

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

char *kube_base64_decode(const char *text)
{
    AUTO_FREE char *out = mem_new(strlen(text) / 4 * 3 + 4, 1);
    size_t size = 0;
    unsigned count = 0;
    unsigned padding = 0;
    uint32_t bits = 0;
    for (const char *c = text; *c; c++) {
        int digit = digit_of(*c);
        if (strchr(" \t\r\n", *c)) {
            continue;
        }
        if (*c == '=') {
            padding++;
        } else if (digit < 0 || padding) {
            return NULL;
        }
        bits = bits << 6 | (digit < 0 ? 0 : (uint32_t)digit);
        if (++count % 4 == 0) {
            out[size++] = (char)(bits >> 16);
            out[size++] = (char)(bits >> 8);
            out[size++] = (char)bits;
        }
    }
    if (count % 4 != 0 || padding > 2 || (padding && size < 3)) {
        return NULL;
    }
    size -= padding;
    if (memchr(out, '\0', size)) {
        return NULL;
    }
    out[size] = '\0';
    char *ret = out;
    out = NULL;
    return ret;
}
