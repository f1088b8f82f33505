/* Numbers as text: nothing here goes through a double. */
#include "common/data/json_internal.h"

#include <string.h>

/* Longer texts are compared as text only. */
#define DIGITS_MAXIMUM 128

/* 0.<digits> times ten to the power of `point`; no leading or trailing zeros; zero has no digits
 * and no sign. */
struct decimal {
    bool negative;
    char digits[DIGITS_MAXIMUM];
    size_t count;
    int64_t point;
};

static int64_t read_exponent(const char *at)
{
    bool negative = *at == '-';
    int64_t value = 0;
    for (at += *at == '-' || *at == '+'; *at >= '0' && *at <= '9'; at++) {
        if (value < 1000000000) { /* far beyond any double; more would only overflow */
            value = value * 10 + (*at - '0');
        }
    }
    return negative ? -value : value;
}

static bool decimal_from_text(const char *text, struct decimal *ret)
{
    if (strlen(text) > DIGITS_MAXIMUM) {
        return false;
    }
    *ret = (struct decimal){.negative = *text == '-'};
    bool after_point = false;
    const char *at = text + ret->negative;
    for (; *at && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            after_point = true;
            continue;
        }
        if (ret->count > 0 || *at != '0') {
            ret->digits[ret->count++] = *at;
            ret->point += !after_point;
        } else {
            ret->point -= after_point;
        }
    }
    while (ret->count > 0 && ret->digits[ret->count - 1] == '0') {
        ret->count--;
    }
    if (ret->count == 0) {
        *ret = (struct decimal){.count = 0};
    } else if (*at) {
        ret->point += read_exponent(at + 1);
    }
    return true;
}

bool json_number_equal(const char *left, const char *right)
{
    if (strcmp(left, right) == 0) {
        return true;
    }
    struct decimal a, b;
    return decimal_from_text(left, &a) && decimal_from_text(right, &b) &&
           a.negative == b.negative && a.point == b.point && a.count == b.count &&
           memcmp(a.digits, b.digits, a.count) == 0;
}

bool json_is_number(const cJSON *node)
{
    return node && (node->type & 0xFF) == cJSON_Raw && node->valuestring;
}

const char *json_number_text(const cJSON *number)
{
    return json_is_number(number) ? number->valuestring : NULL;
}

bool json_to_int(const cJSON *number, int64_t *ret)
{
    struct decimal decimal;
    if (!json_is_number(number) || !decimal_from_text(number->valuestring, &decimal) ||
        decimal.point > 19 || decimal.point < (int64_t)decimal.count) {
        return false;
    }
    int64_t value = 0;
    for (int64_t i = 0; i < decimal.point; i++) {
        int digit = i < (int64_t)decimal.count ? decimal.digits[i] - '0' : 0;
        /* Downwards, since the smallest integer has no positive counterpart. */
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) {
            return false;
        }
    }
    if (!decimal.negative && __builtin_sub_overflow(0, value, &value)) {
        return false;
    }
    *ret = value;
    return true;
}
