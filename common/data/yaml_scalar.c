/* What scalars mean: the rules of go-yaml v2 (go.yaml.in/yaml/v2, resolve.go), by which kubectl
 * reads manifests. They are YAML 1.1's with go-yaml's own ideas of numbers, which are Go's. */
#include "common/data/yaml_internal.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json_internal.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#define TAG_PREFIX "tag:yaml.org,2002:"

static bool is_any_of(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

static bool resolve_word(const char *text, struct yaml_scalar *ret)
{
    static const char *const yes[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                      "True", "TRUE", "on",  "On",  "ON",  NULL};
    static const char *const no[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                     "False", "FALSE", "off", "Off", "OFF", NULL};
    static const char *const null[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const infinite[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
    static const char *const negative[] = {"-.inf", "-.Inf", "-.INF", NULL};
    static const char *const nan[] = {".nan", ".NaN", ".NAN", NULL};
    if (is_any_of(text, yes) || is_any_of(text, no)) {
        *ret = (struct yaml_scalar){.kind = YAML_KIND_BOOL, .boolean = is_any_of(text, yes)};
    } else if (is_any_of(text, null)) {
        *ret = (struct yaml_scalar){.kind = YAML_KIND_NULL};
    } else if (is_any_of(text, infinite)) {
        *ret = (struct yaml_scalar){.kind = YAML_KIND_FLOAT, .number = INFINITY};
    } else if (is_any_of(text, negative)) {
        *ret = (struct yaml_scalar){.kind = YAML_KIND_FLOAT, .number = -INFINITY};
    } else if (is_any_of(text, nan)) {
        *ret = (struct yaml_scalar){.kind = YAML_KIND_FLOAT, .number = NAN};
    } else {
        return false;
    }
    return true;
}

static int digit_of(char character)
{
    if (character >= '0' && character <= '9') {
        return character - '0';
    }
    int lower = tolower((unsigned char)character);
    return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 99;
}

/* Digits of the base to the end of the text; false for none, others, or too many. */
static bool parse_digits(const char *text, int base, uint64_t *ret)
{
    uint64_t value = 0;
    if (!*text) {
        return false;
    }
    for (; *text; text++) {
        int digit = digit_of(*text);
        if (digit >= base || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value)) {
            return false;
        }
    }
    *ret = value;
    return true;
}

/* As Go's strconv.ParseUint with base 0, after its sign. */
static bool parse_magnitude(const char *text, uint64_t *ret)
{
    if (text[0] != '0' || text[1] == '\0') {
        return parse_digits(text, 10, ret);
    }
    int letter = tolower((unsigned char)text[1]);
    int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    return base && text[2] ? parse_digits(text + 2, base, ret) : parse_digits(text + 1, 8, ret);
}

static bool set_integer(bool negative, uint64_t magnitude, struct yaml_scalar *ret)
{
    if (magnitude > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    int64_t value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    *ret = (struct yaml_scalar){.kind = YAML_KIND_INT, .integer = value};
    return true;
}

static bool resolve_integer(const char *text, struct yaml_scalar *ret)
{
    bool is_signed = *text == '-' || *text == '+';
    uint64_t magnitude;
    if (parse_magnitude(text + is_signed, &magnitude)) {
        if (set_integer(*text == '-', magnitude, ret)) {
            return true;
        }
        if (!is_signed) {
            *ret = (struct yaml_scalar){.kind = YAML_KIND_UNSIGNED, .unsigned_ = magnitude};
            return true;
        }
    }
    /* go-yaml reads what follows 0b once more, and there it takes a sign. */
    if (strncmp(text, "0b", 2) == 0 && (text[2] == '-' || text[2] == '+') &&
        parse_digits(text + 3, 2, &magnitude)) {
        return set_integer(text[2] == '-', magnitude, ret);
    }
    return false;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *text)
{
    text += *text == '-' || *text == '+';
    size_t whole = strspn(text, "0123456789");
    text += whole;
    if (*text == '.') {
        size_t part = strspn(++text, "0123456789");
        if (whole == 0 && part == 0) {
            return false;
        }
        text += part;
    } else if (whole == 0) {
        return false;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t exponent = strspn(text, "0123456789");
        if (exponent == 0) {
            return false;
        }
        text += exponent;
    }
    return *text == '\0';
}

/* What a float64 cannot hold stays a string. */
static bool resolve_float(const char *text, struct yaml_scalar *ret)
{
    if (!is_float(text)) {
        return false;
    }
    double value = strtod(text, NULL);
    if (isinf(value)) {
        return false;
    }
    *ret = (struct yaml_scalar){.kind = YAML_KIND_FLOAT, .number = value};
    return true;
}

/* Go's ParseFloat, which go-yaml asks about what begins with a point, takes an underscore between
 * two digits and nowhere else. */
static bool has_stray_underscore(const char *text)
{
    for (const char *at = strchr(text, '_'); at; at = strchr(at + 1, '_')) {
        if (at == text || !isdigit((unsigned char)at[-1]) || !isdigit((unsigned char)at[1])) {
            return true;
        }
    }
    return false;
}

static char *without_underscores(const char *text)
{
    char *copy = mem_string(text), *out = copy;
    for (; *text; text++) {
        if (*text != '_') {
            *out++ = *text;
        }
    }
    *out = '\0';
    return copy;
}

void yaml_scalar_resolve(const char *text, struct yaml_scalar *ret)
{
    if (resolve_word(text, ret)) {
        return;
    }
    bool has_point = *text == '.';
    if (has_point ? !has_stray_underscore(text)
                  : *text == '+' || *text == '-' || isdigit((unsigned char)*text)) {
        AUTO_FREE char *plain = without_underscores(text);
        if ((!has_point && resolve_integer(plain, ret)) || resolve_float(plain, ret)) {
            return;
        }
    }
    *ret = (struct yaml_scalar){.kind = YAML_KIND_STRING};
}

bool yaml_tag_is(const char *tag, const char *short_name)
{
    return text_has_prefix(tag, TAG_PREFIX) && strcmp(tag + sizeof TAG_PREFIX - 1, short_name) == 0;
}

/* YYYY-M-D, and what may follow it; only whether an explicit !!timestamp is plausible, since it
 * stays a string. */
static bool is_timestamp(const char *text)
{
    size_t year = strspn(text, "0123456789");
    if (year != 4 || text[4] != '-') {
        return false;
    }
    text += 5;
    size_t month = strspn(text, "0123456789");
    if (month < 1 || month > 2 || text[month] != '-') {
        return false;
    }
    text += month + 1;
    size_t day = strspn(text, "0123456789");
    return day >= 1 && day <= 2 && (!text[day] || strchr("Tt ", text[day]));
}

bool yaml_scalar_resolve_tagged(const char *tag, const char *text, struct yaml_scalar *ret,
                                const char **ret_instead)
{
    static const char *const kinds[] = {"a string",   "null",       "a boolean",
                                        "an integer", "an integer", "a float"};
    struct yaml_scalar scalar = {.kind = YAML_KIND_STRING};
    bool fits = true;
    if (yaml_tag_is(tag, "timestamp")) {
        fits = is_timestamp(text);
    } else if (yaml_tag_is(tag, "bool")) {
        yaml_scalar_resolve(text, &scalar);
        fits = scalar.kind == YAML_KIND_BOOL;
    } else if (yaml_tag_is(tag, "null")) {
        yaml_scalar_resolve(text, &scalar);
        fits = scalar.kind == YAML_KIND_NULL;
    } else if (yaml_tag_is(tag, "int")) {
        yaml_scalar_resolve(text, &scalar);
        fits = scalar.kind == YAML_KIND_INT || scalar.kind == YAML_KIND_UNSIGNED;
    } else if (yaml_tag_is(tag, "float")) {
        yaml_scalar_resolve(text, &scalar);
        if (scalar.kind == YAML_KIND_INT) {
            scalar.kind = YAML_KIND_FLOAT;
            scalar.number = (double)scalar.integer;
        }
        fits = scalar.kind == YAML_KIND_FLOAT;
    }
    if (!fits) {
        *ret_instead = kinds[scalar.kind];
        return false;
    }
    *ret = scalar;
    return true;
}

/* ---- !!binary ---- */

static int base64_value(char character)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = character ? strchr(alphabet, character) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* Line breaks are skipped, padding is required, nothing may follow it. */
static bool decode_base64(const char *text, unsigned char *out, size_t *ret_size)
{
    unsigned bits = 0, padding = 0;
    size_t count = 0, size = 0;
    for (; *text; text++) {
        if (*text == '\n' || *text == '\r') {
            continue;
        }
        int value = *text == '=' ? 0 : base64_value(*text);
        bool is_padding = *text == '=';
        bool is_ended = padding > 0 && count % 4 == 0;
        if (value < 0 || is_ended || (is_padding ? count % 4 < 2 : padding > 0)) {
            return false;
        }
        padding += is_padding;
        bits = bits << 6 | (unsigned)value;
        if (++count % 4 == 0) {
            out[size++] = (unsigned char)(bits >> 16);
            out[size++] = (unsigned char)(bits >> 8);
            out[size++] = (unsigned char)bits;
        }
    }
    *ret_size = size - padding;
    return count % 4 == 0;
}

char *yaml_binary_decode(const char *text)
{
    AUTO_FREE unsigned char *bytes = mem_new(strlen(text) + 4, 1);
    size_t size;
    if (!decode_base64(text, bytes, &size) || memchr(bytes, '\0', size)) {
        return NULL;
    }
    AUTO_BUF struct buf out;
    buf_init(&out, size * 3);
    const char *at = (const char *)bytes, *end = at + size;
    while (at < end) {
        size_t length = json_utf8_size(at, end);
        if (length == 0) {
            buf_append_string(&out, "\xEF\xBF\xBD");
            at++;
        } else {
            buf_append(&out, at, length);
            at += length;
        }
    }
    return buf_detach(&out);
}
