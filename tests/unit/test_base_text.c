/* Unit tests of common/base/text.c. */
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void null_equals_only_null_and_has_no_prefix(void **state)
{
    (void)state;
    assert_true(text_equal(NULL, NULL));
    assert_false(text_equal(NULL, ""));
    assert_false(text_equal("", NULL));
    assert_true(text_equal("a", "a"));
    assert_true(text_is_empty(NULL));
    assert_true(text_is_empty(""));
    assert_false(text_is_empty(" "));
    assert_false(text_has_prefix(NULL, ""));
    assert_false(text_has_suffix(NULL, ""));
    assert_true(text_has_prefix("abc", "ab"));
    assert_false(text_has_prefix("a", "ab"));
    assert_true(text_has_suffix("abc", "bc"));
    assert_true(text_has_suffix("abc", ""));
    assert_false(text_has_suffix("c", "bc"));
    assert_string_equal(text_or_empty(NULL), "");
}

static void durations_are_gos(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t milliseconds; /* -1: refused */
    } cases[] = {
        {"0", 0},
        {"1m", 60000},
        {"90s", 90000},
        {"1h30m", 5400000},
        {"1.5s", 1500},
        {"200ms", 200},
        {"1m0s", 60000},
        {"2h45m30.5s", 9930500},
        {"1500us", 1},
        {"1500µs", 1},
        {"2000000ns", 2},
        {".5s", 500},
        {"1.s", 1000},
        {"0s", 0},
        {"87600h", 315360000000},
        {"87601h", -1},
        {"9999999999h", -1},
        {"", -1},
        {NULL, -1},
        {"1", -1},
        {"s", -1},
        {"-1s", -1},
        {"1 s", -1},
        {"1d", -1},
        {"1s ", -1},
        {" 1s", -1},
        {".s", -1},
        {"1..5s", -1},
        {"1e3s", -1},
        {"0x1s", -1},
        {"infs", -1},
        {"1M", -1},
        {"1m1", -1},
        {"00", -1},
        {"99999999999999999999999999999s", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t got = -1;
        bool ok = text_parse_duration(cases[i].text, &got);
        if (ok != (cases[i].milliseconds >= 0) || got != cases[i].milliseconds) {
            fail_msg("\"%s\": %d, %lld", cases[i].text ? cases[i].text : "NULL", ok,
                     (long long)got);
        }
    }
}

static void integers_are_whole_decimal_and_in_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"42", true, 42},
        {"-7", true, -7},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"", false, 0},
        {NULL, false, 0},
        {"-", false, 0},
        {"- 1", false, 0},
        {"--1", false, 0},
        {"-+1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"0x10", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t got = 0;
        bool ok = text_parse_int(cases[i].text, &got);
        if (ok != cases[i].ok || got != cases[i].value) {
            fail_msg("\"%s\": %d, %lld", cases[i].text ? cases[i].text : "NULL", ok,
                     (long long)got);
        }
    }
}

/* Encodes as RFC 3629 would if it allowed everything up to 21 bits. */
static size_t encode(uint32_t point, size_t size, char out[4])
{
    static const unsigned char heads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    if (size == 1) {
        out[0] = (char)point;
        return 1;
    }
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    out[0] = (char)(heads[size] | point);
    return size;
}

static void utf8_is_every_code_point_in_its_shortest_form_alone(void **state)
{
    (void)state;
    char text[4];
    for (uint32_t point = 0; point < 0x200000; point++) {
        size_t shortest = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        bool surrogate = point >= 0xD800 && point <= 0xDFFF;
        bool valid = !surrogate && point <= 0x10FFFF;
        size_t size = encode(point, shortest, text);
        if (text_is_utf8(text, size) != valid || (size > 1 && text_is_utf8(text, size - 1))) {
            fail_msg("U+%X", point);
        }
        for (size_t longer = shortest + 1; longer <= 4; longer++) {
            if (text_is_utf8(text, encode(point, longer, text))) {
                fail_msg("U+%X in %zu bytes", point, longer);
            }
        }
    }
    assert_true(text_is_utf8("", 0));
    assert_false(text_is_utf8("\x80", 1));
    assert_false(text_is_utf8("\xF8\x88\x80\x80\x80", 5));
    assert_false(text_is_utf8("a\xFF", 2));
    assert_false(text_is_utf8("\xC3(", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_equals_only_null_and_has_no_prefix),
        cmocka_unit_test(durations_are_gos),
        cmocka_unit_test(integers_are_whole_decimal_and_in_range),
        cmocka_unit_test(utf8_is_every_code_point_in_its_shortest_form_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
