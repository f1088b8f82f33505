#include "common/base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool text_equal(const char *left, const char *right)
{
    if (!left || !right) {
        return left == right;
    }
    return strcmp(left, right) == 0;
}

bool text_is_empty(const char *text)
{
    return !text || !*text;
}

bool text_has_prefix(const char *text, const char *prefix)
{
    return text && strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_has_suffix(const char *text, const char *suffix)
{
    if (!text) {
        return false;
    }
    size_t size = strlen(text), end = strlen(suffix);
    return size >= end && memcmp(text + size - end, suffix, end) == 0;
}

const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

static const struct duration_unit {
    const char *name;
    double milliseconds;
} duration_units[] = {
    /* longest names first, so that "ms" is not read as "m" */
    {"ms", 1}, {"us", 1e-3}, {"µs", 1e-3}, {"ns", 1e-6}, {"h", 3600000}, {"m", 60000}, {"s", 1000},
};

bool text_parse_duration(const char *text, int64_t *ret_milliseconds)
{
    static const double longest = 10.0 * 365 * 24 * 3600 * 1000;
    if (text_is_empty(text)) {
        return false;
    }
    if (strcmp(text, "0") == 0) {
        *ret_milliseconds = 0;
        return true;
    }
    double total = 0;
    while (*text) {
        size_t digits = strspn(text, "0123456789.");
        if (digits == 0 || digits > 20) {
            return false;
        }
        char *end;
        double value = strtod(text, &end);
        if (end != text + digits) {
            return false;
        }
        text = end;
        const struct duration_unit *unit = NULL;
        for (size_t i = 0; i < sizeof duration_units / sizeof duration_units[0] && !unit; i++) {
            if (text_has_prefix(text, duration_units[i].name)) {
                unit = &duration_units[i];
            }
        }
        if (!unit) {
            return false;
        }
        text += strlen(unit->name);
        total += value * unit->milliseconds;
        if (total > longest) {
            return false;
        }
    }
    *ret_milliseconds = (int64_t)total;
    return true;
}

bool text_parse_int(const char *text, int64_t *ret)
{
    if (text_is_empty(text) || (*text != '-' && (*text < '0' || *text > '9'))) {
        return false;
    }
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text) {
        return false;
    }
    *ret = value;
    return true;
}

/* The length of the UTF-8 sequence that starts here, 0 if there is none (RFC 3629: no overlong
 * forms, no surrogates, nothing past U+10FFFF). */
static size_t utf8_sequence(const unsigned char *c, size_t left)
{
    if (c[0] < 0x80) {
        return 1;
    }
    size_t size = c[0] >= 0xF0 ? 4 : c[0] >= 0xE0 ? 3 : 2;
    if (c[0] < 0xC2 || c[0] > 0xF4 || size > left) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((c[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    if ((c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xED && c[1] > 0x9F) ||
        (c[0] == 0xF0 && c[1] < 0x90) || (c[0] == 0xF4 && c[1] > 0x8F)) {
        return 0;
    }
    return size;
}

bool text_is_utf8(const char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0; i < size;) {
        size_t step = utf8_sequence(bytes + i, size - i);
        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}
