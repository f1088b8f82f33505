/* The pre-scan of JSON text: one pass, no recursion, that refuses all that RFC 8259 and the limits
 * refuse, and remembers where the numbers stand. cJSON's own parser accepts raw control characters,
 * invalid UTF-8, "\u0000", numbers such as "01" and "1.", and says nothing useful about a fault. */
#include "common/data/json_internal.h"

#include "common/base/memory.h"

#include <math.h>
#include <string.h>

void json_scan_init(struct json_scan *scan, const char *text, size_t size,
                    const struct json_limits *limits)
{
    memset(scan, 0, offsetof(struct json_scan, is_object));
    scan->text = scan->at = text;
    scan->end = text + size;
    scan->limits = *limits;
    if (scan->limits.depth > JSON_DEPTH_MAXIMUM) {
        scan->limits.depth = JSON_DEPTH_MAXIMUM;
    }
    scan->code = ERROR_NONE;
    scan->why = NULL;
}

void json_scan_release(struct json_scan *scan)
{
    free(scan->numbers);
    scan->numbers = NULL;
}

static bool fail(struct json_scan *scan, enum error_code code, const char *why)
{
    scan->code = code;
    scan->why = why;
    return false;
}

void json_scan_position(const struct json_scan *scan, size_t *ret_line, size_t *ret_column)
{
    size_t line = 1, column = 1;
    for (const char *at = scan->text; at < scan->at; at++) {
        if (*at == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*at & 0xC0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

static bool is_continuation(const char *at, const char *end)
{
    return at < end && ((unsigned char)*at & 0xC0) == 0x80;
}

size_t json_utf8_size(const char *at, const char *end)
{
    unsigned char first = (unsigned char)*at;
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xC2 || first > 0xF4 || !is_continuation(at + 1, end)) {
        return 0;
    }
    if (first < 0xE0) {
        return 2;
    }
    unsigned char second = (unsigned char)at[1];
    if (!is_continuation(at + 2, end)) {
        return 0;
    }
    if (first < 0xF0) { /* neither overlong nor a surrogate */
        return (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ? 0 : 3;
    }
    if (!is_continuation(at + 3, end) || (first == 0xF0 && second < 0x90) ||
        (first == 0xF4 && second > 0x8F)) {
        return 0;
    }
    return 4;
}

static bool skip_blanks(struct json_scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r')) {
        scan->at++;
    }
    return scan->at < scan->end || fail(scan, ERROR_INVALID, "the text ends too early");
}

/* The four hex digits at `at`, or -1. */
static int hex4(const char *at, const char *end)
{
    if (end - at < 4) {
        return -1;
    }
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = at[i] >= '0' && at[i] <= '9'   ? at[i] - '0'
                    : at[i] >= 'a' && at[i] <= 'f' ? at[i] - 'a' + 10
                    : at[i] >= 'A' && at[i] <= 'F' ? at[i] - 'A' + 10
                                                   : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

static bool scan_unicode_escape(struct json_scan *scan)
{
    int unit = hex4(scan->at + 2, scan->end);
    if (unit < 0) {
        return fail(scan, ERROR_INVALID, "\\u needs four hexadecimal digits");
    }
    if (unit == 0) {
        return fail(scan, ERROR_INVALID, "\\u0000 is not allowed in a string");
    }
    if (unit < 0xD800 || unit > 0xDFFF) {
        scan->at += 6;
        return true;
    }
    bool paired =
        unit < 0xDC00 && scan->end - scan->at >= 12 && scan->at[6] == '\\' && scan->at[7] == 'u';
    int low = paired ? hex4(scan->at + 8, scan->end) : -1;
    if (low < 0xDC00 || low > 0xDFFF) {
        return fail(scan, ERROR_INVALID, "half of a surrogate pair stands alone");
    }
    scan->at += 12;
    return true;
}

static bool scan_escape(struct json_scan *scan)
{
    if (scan->end - scan->at < 2) {
        return fail(scan, ERROR_INVALID, "a string is not ended");
    }
    if (scan->at[1] == 'u') {
        return scan_unicode_escape(scan);
    }
    if (!memchr("\"\\/bfnrt", scan->at[1], 8)) {
        return fail(scan, ERROR_INVALID, "unknown escape in a string");
    }
    scan->at += 2;
    return true;
}

/* Whether any of eight bytes is a quote, a backslash, a control character or not ASCII. */
static bool needs_care(const char *at)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t word;
    memcpy(&word, at, sizeof word);
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    return ((word | (word - ones * 0x20) | (quote - ones) | (backslash - ones)) & highs) != 0;
}

static bool scan_string(struct json_scan *scan)
{
    const char *start = scan->at++;
    for (;;) {
        while (scan->end - scan->at >= 8 && !needs_care(scan->at)) {
            scan->at += 8;
        }
        if (scan->at == scan->end) {
            scan->at = start;
            return fail(scan, ERROR_INVALID, "a string is not ended");
        }
        unsigned char character = (unsigned char)*scan->at;
        if (character == '"') {
            scan->at++;
            return true;
        }
        if (character == '\\') {
            if (!scan_escape(scan)) {
                return false;
            }
        } else if (character < 0x20) {
            return fail(scan, ERROR_INVALID, "a control character in a string must be escaped");
        } else {
            size_t size = json_utf8_size(scan->at, scan->end);
            if (size == 0) {
                return fail(scan, ERROR_INVALID, "invalid UTF-8");
            }
            scan->at += size;
        }
    }
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9') {
        at++;
    }
    return at;
}

size_t json_number_size(const char *text, const char *end)
{
    const char *at = text;
    if (at < end && *at == '-') {
        at++;
    }
    const char *digits = at;
    at = skip_digits(at, end);
    if (at == digits || (*digits == '0' && at - digits > 1)) {
        return 0;
    }
    if (at < end && *at == '.') {
        digits = ++at;
        at = skip_digits(at, end);
        if (at == digits) {
            return 0;
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) {
            at++;
        }
        digits = at;
        at = skip_digits(at, end);
        if (at == digits) {
            return 0;
        }
    }
    return (size_t)(at - text);
}

/* As Go, whose float64 the API server reads numbers into, refuses what a double cannot hold. */
static bool is_beyond_double(const char *text, size_t size)
{
    if (!memchr(text, 'e', size) && !memchr(text, 'E', size)) {
        return false; /* at most 63 digits */
    }
    char copy[JSON_NUMBER_MAXIMUM + 1];
    memcpy(copy, text, size);
    copy[size] = '\0';
    return isinf(strtod(copy, NULL));
}

static bool scan_number(struct json_scan *scan)
{
    size_t size = json_number_size(scan->at, scan->end);
    if (size == 0) {
        return fail(scan, ERROR_INVALID, "malformed number");
    }
    if (size > JSON_NUMBER_MAXIMUM) {
        return fail(scan, ERROR_LIMIT, "a number is longer than 63 characters");
    }
    if (is_beyond_double(scan->at, size)) {
        return fail(scan, ERROR_INVALID, "a number is too large");
    }
    if (scan->number_count == scan->number_capacity) {
        scan->number_capacity = scan->number_capacity ? scan->number_capacity * 2 : 64;
        scan->numbers = mem_resize(scan->numbers, scan->number_capacity, sizeof *scan->numbers);
    }
    scan->numbers[scan->number_count++] =
        (struct json_span){.start = (size_t)(scan->at - scan->text), .size = size};
    scan->at += size;
    return true;
}

static bool scan_word(struct json_scan *scan, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(scan->end - scan->at) < size || memcmp(scan->at, word, size) != 0) {
        return fail(scan, ERROR_INVALID, "a value is expected here");
    }
    scan->at += size;
    return true;
}

/* A scalar as a whole, or the opening of a container; `ret_opened` tells which. */
static bool scan_value(struct json_scan *scan, bool *ret_opened)
{
    *ret_opened = false;
    if (++scan->nodes > scan->limits.nodes) {
        return fail(scan, ERROR_LIMIT, "too many values");
    }
    switch (*scan->at) {
    case '{':
    case '[':
        if (scan->depth >= scan->limits.depth) {
            return fail(scan, ERROR_LIMIT, "nested too deeply");
        }
        scan->is_object[scan->depth++] = *scan->at++ == '{';
        *ret_opened = true;
        return true;
    case '"':
        return scan_string(scan);
    case 't':
        return scan_word(scan, "true");
    case 'f':
        return scan_word(scan, "false");
    case 'n':
        return scan_word(scan, "null");
    default:
        if (*scan->at == '-' || (*scan->at >= '0' && *scan->at <= '9')) {
            return scan_number(scan);
        }
        return fail(scan, ERROR_INVALID, "a value is expected here");
    }
}

static bool scan_key(struct json_scan *scan)
{
    if (*scan->at != '"') {
        return fail(scan, ERROR_INVALID, "a key in quotes is expected here");
    }
    if (++scan->keys == scan->stop_at_key) {
        return fail(scan, ERROR_INVALID, "");
    }
    if (!scan_string(scan) || !skip_blanks(scan)) {
        return false;
    }
    if (*scan->at != ':') {
        return fail(scan, ERROR_INVALID, "\":\" is expected here");
    }
    scan->at++;
    return skip_blanks(scan);
}

/* In the innermost open container: its next member with what leads to it, or its end. `fresh`:
 * nothing of it has been read yet; in and out. */
static bool scan_step(struct json_scan *scan, bool *fresh)
{
    bool is_object = scan->is_object[scan->depth - 1];
    if (!skip_blanks(scan)) {
        return false;
    }
    if (*scan->at == (is_object ? '}' : ']')) {
        scan->at++;
        scan->depth--;
        *fresh = false;
        return true;
    }
    if (!*fresh) {
        if (*scan->at != ',') {
            return fail(scan, ERROR_INVALID,
                        is_object ? "\",\" or \"}\" is expected here"
                                  : "\",\" or \"]\" is expected here");
        }
        scan->at++;
        if (!skip_blanks(scan)) {
            return false;
        }
    }
    return (!is_object || scan_key(scan)) && scan_value(scan, fresh);
}

bool json_scan_value(struct json_scan *scan)
{
    bool fresh = false;
    if ((size_t)(scan->end - scan->text) > scan->limits.bytes) {
        return fail(scan, ERROR_LIMIT, "the text is too large");
    }
    if (!skip_blanks(scan) || !scan_value(scan, &fresh)) {
        return false;
    }
    while (scan->depth > 0) {
        if (!scan_step(scan, &fresh)) {
            return false;
        }
    }
    return true;
}

bool json_scan_run(struct json_scan *scan)
{
    if (!json_scan_value(scan)) {
        return false;
    }
    if (skip_blanks(scan)) {
        return fail(scan, ERROR_INVALID, "nothing may follow the value");
    }
    scan->code = ERROR_NONE; /* the end of the text is what is wanted here */
    scan->why = NULL;
    return true;
}
