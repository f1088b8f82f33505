/* Unit tests of common/base/cron.c. */
#include "common/base/cron.h"

#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static int64_t seconds(const char *text)
{
    int64_t at;
    assert_true(clock_parse_rfc3339(text, &at));
    return at / 1000;
}

static void schedules_are_due_when_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *schedule, *zone, *after, *due;
    } cases[] = {
        {"0 22 * * 1-5", NULL, "2026-11-24T12:00:00Z", "2026-11-24T22:00:00Z"},
        {"0 22 * * 1-5", NULL, "2026-11-27T22:00:00Z", "2026-11-30T22:00:00Z"}, /* a weekend */
        {"0 22 * * MON-Fri", NULL, "2026-11-27T22:00:00Z", "2026-11-30T22:00:00Z"},
        {"*/15 * * * *", NULL, "2026-11-24T12:14:59Z", "2026-11-24T12:15:00Z"},
        {"5/20 * * * *", NULL, "2026-11-24T12:26:00Z", "2026-11-24T12:45:00Z"},
        {"10-20/5,59 3 * * *", NULL, "2026-11-24T03:20:00Z", "2026-11-24T03:59:00Z"},
        {"0 0 29 2 *", NULL, "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"0 0 31 * *", NULL, "2026-04-01T00:00:00Z", "2026-05-31T00:00:00Z"},
        {"0 0 13 * fri", NULL, "2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z"},  /* either */
        {"0 0 1-7 * */7", NULL, "2026-11-02T00:00:00Z", "2026-12-06T00:00:00Z"}, /* both */
        {"0 12 * jan,JUL sun", NULL, "2026-02-01T00:00:00Z", "2026-07-05T12:00:00Z"},
        {"0 0 * * 7", NULL, "2026-11-24T00:00:00Z", "2026-11-29T00:00:00Z"},
        {"0 0 * * fri-sun", NULL, "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"},
        {"0 0 * * sun-sun", NULL, "2026-11-24T00:00:00Z", "2026-11-29T00:00:00Z"}, /* one day */
        {"0 22 * * *", "Europe/Berlin", "2026-11-24T00:00:00Z", "2026-11-24T21:00:00Z"},
        {"0 22 * * *", "Europe/Berlin", "2026-07-24T00:00:00Z", "2026-07-24T20:00:00Z"},
        {"0 8 * * *", "Asia/Kathmandu", "2026-11-24T00:00:00Z", "2026-11-24T02:15:00Z"},
        /* the clock is put forward from 2:00 to 3:00: what it skips is due at the jump */
        {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
        {"0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
        /* put back from 3:00 to 2:00: what it shows twice is due twice */
        {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
        {"0 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-03T15:30:00Z"},
        {"0 0 1 1 *", "Europe/Berlin", "2060-06-01T00:00:00Z", "2060-12-31T23:00:00Z"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error = {0};
        struct cron cron;
        struct zone *zone = NULL;
        if (!cron_parse(cases[i].schedule, &cron, &error)) {
            fail_msg("\"%s\": %s", cases[i].schedule, error.message);
        }
        assert_true(!cases[i].zone || zone_load(ZONE_DIRECTORY, cases[i].zone, &zone, &error));
        int64_t due = cron_next(&cron, zone, seconds(cases[i].after));
        char shown[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(due * 1000, shown);
        if (strcmp(shown, cases[i].due) != 0) {
            fail_msg("\"%s\" after %s: %s, not %s", cases[i].schedule, cases[i].after, shown,
                     cases[i].due);
        }
        zone_free(zone);
    }
}

static void what_is_no_schedule_is_refused_by_field(void **state)
{
    (void)state;
    static const struct {
        const char *schedule, *word;
    } cases[] = {
        {"", "five fields"},       {"* * * *", "five fields"},   {"* * * * * *", "more than"},
        {"60 * * * *", "minute"},  {"* 24 * * *", "hour"},       {"* * 0 * *", "day of month"},
        {"* * * 13 *", "month"},   {"* * * * 8", "day of week"}, {"5-1 * * * *", "minute"},
        {"*/0 * * * *", "step"},   {"1- * * * *", "no end"},     {"a * * * *", "minute"},
        {"1,, * * * *", "minute"}, {"* * * foo *", "month"},     {"* * 30 2 *", "no such day"},
        {"@daily", "minute"},      {"1.5 * * * *", "minute"},    {"99999999999 * * * *", "minute"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error = {0};
        struct cron cron;
        if (cron_parse(cases[i].schedule, &cron, &error) || !strstr(error.message, cases[i].word)) {
            fail_msg("\"%s\": %s", cases[i].schedule, error.message);
        }
    }
    struct error error;
    struct cron cron;
    assert_false(cron_parse(NULL, &cron, &error));
}

/* The C library's clock, minute by minute, over a year with both jumps. */
static void each_minute_of_a_year_is_judged_as_by_the_c_library(void **state)
{
    (void)state;
    struct error error;
    struct cron cron;
    struct zone *zone = NULL;
    assert_true(cron_parse("*/10 1-3,22 * * *", &cron, &error));
    assert_true(zone_load(ZONE_DIRECTORY, "Europe/Berlin", &zone, &error));
    setenv("TZ", "Europe/Berlin", 1);
    tzset();
    int64_t begin = seconds("2026-01-01T00:00:00Z"), end = seconds("2027-01-01T00:00:00Z");
    int64_t next = cron_next(&cron, zone, begin - 1);
    for (int64_t at = begin; at < end; at += 60) {
        struct tm local;
        time_t instant = (time_t)at;
        localtime_r(&instant, &local);
        bool due = local.tm_min % 10 == 0 &&
                   ((local.tm_hour >= 1 && local.tm_hour <= 3) || local.tm_hour == 22);
        assert_int_equal(due, next == at);
        next = next == at ? cron_next(&cron, zone, at) : next;
    }
    zone_free(zone);
    unsetenv("TZ");
    tzset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_are_due_when_they_say),
        cmocka_unit_test(what_is_no_schedule_is_refused_by_field),
        cmocka_unit_test(each_minute_of_a_year_is_judged_as_by_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
