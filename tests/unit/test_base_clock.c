/* Unit tests of common/base/clock.c. */
#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static void times_are_written_as_kubernetes_writes_them(void **state)
{
    (void)state;
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    clock_format_rfc3339(1763963959999, text);
    assert_string_equal(text, "2025-11-24T05:59:19Z");
    clock_format_micro(1763963959007, text);
    assert_string_equal(text, "2025-11-24T05:59:19.007000Z");
    clock_format_rfc3339(4102444799000, text);
    assert_string_equal(text, "2099-12-31T23:59:59Z");
    clock_format_rfc3339(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59Z");
    clock_format_micro(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999000Z");
    clock_format_micro(-1000, text);
    assert_string_equal(text, "1969-12-31T23:59:59.000000Z");
}

static void both_forms_and_offsets_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t wall_ms;
    } cases[] = {
        {"2025-11-24T05:59:19Z", true, 1763963959000},
        {"2025-11-24T05:59:19.007000Z", true, 1763963959007},
        {"2025-11-24T05:59:19.123456789Z", true, 1763963959123},
        {"2025-11-24T05:59:19.5Z", true, 1763963959500},
        {"2025-11-24T07:29:19+01:30", true, 1763963959000},
        {"2025-11-24T00:59:19-05:00", true, 1763963959000},
        {"2024-02-29T00:00:00Z", true, 1709164800000},
        {"2025-11-24T05:59:19", false, 0},
        {"2025-11-24 05:59:19Z", false, 0},
        {"2025-11-24T05:59:19.Z", false, 0},
        {"2025-11-24T05:59:19Zx", false, 0},
        {"2025-11-24T05:59:19+0100", false, 0},
        {"2025-11-24T05:59:19+01:00x", false, 0},
        {"2025-11-24T05:59:19+-1:00", false, 0},
        {"2025-11-24T05:59:19+ 1:00", false, 0},
        {"2025-11-24T05:59:19+25:00", false, 0},
        {"2025-11-24T05:59:19+01:60", false, 0},
        {"2025-13-24T05:59:19Z", false, 0},
        {" 2025-11-24T05:59:19Z", false, 0},
        {"", false, 0},
        {NULL, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t got = 0;
        bool ok = clock_parse_rfc3339(cases[i].text, &got);
        if (ok != cases[i].ok || got != cases[i].wall_ms) {
            fail_msg("\"%s\": %d, %lld", cases[i].text ? cases[i].text : "NULL", ok,
                     (long long)got);
        }
    }
}

static void the_time_zone_of_the_process_does_not_matter(void **state)
{
    (void)state;
    setenv("TZ", "Pacific/Chatham", 1);
    tzset();
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(1763963959999, text);
    assert_string_equal(text, "2025-11-24T05:59:19Z");
    int64_t got = 0;
    assert_true(clock_parse_rfc3339(text, &got));
    assert_int_equal(got, 1763963959000);
    unsetenv("TZ");
    tzset();
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    int64_t before = clock_monotonic_us();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_monotonic_us();
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_monotonic_ms() >= before / 1000);
    assert_true(clock_wall_ms() > 1700000000000);
}

static void waits_double_up_to_the_maximum(void **state)
{
    (void)state;
    assert_int_equal(clock_backoff_ms(1000, 0, 60000), 1000);
    assert_int_equal(clock_backoff_ms(1000, 1, 60000), 2000);
    assert_int_equal(clock_backoff_ms(1000, 5, 60000), 32000);
    assert_int_equal(clock_backoff_ms(1000, 6, 60000), 60000);
    assert_int_equal(clock_backoff_ms(1000, 4000000000, 60000), 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_as_kubernetes_writes_them),
        cmocka_unit_test(both_forms_and_offsets_are_read),
        cmocka_unit_test(the_time_zone_of_the_process_does_not_matter),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
        cmocka_unit_test(waits_double_up_to_the_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
