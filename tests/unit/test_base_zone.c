/* Unit tests of common/base/zone.c and zone_rule.c, against the C library's own. */
#include "common/base/zone.h"

#include "common/base/memory.h"
#include "common/base/zone_rule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define DAY 86400

static void the_clock_is_the_c_librarys(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Europe/Berlin",     "America/New_York",  "Asia/Kathmandu", "Australia/Lord_Howe",
        "Africa/Casablanca", "America/Sao_Paulo", "Pacific/Apia",   "Etc/GMT+5",
        "Asia/Tehran",       "Antarctica/Troll",  "Africa/Cairo"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct error error;
        struct zone *zone = NULL;
        assert_true(zone_load(ZONE_DIRECTORY, names[i], &zone, &error));
        setenv("TZ", names[i], 1);
        tzset();
        /* 1980 to 2100, at a step that is no divisor of a day */
        for (int64_t at = (int64_t)10 * 365 * DAY; at < (int64_t)130 * 365 * DAY; at += 40009) {
            struct tm local;
            time_t instant = (time_t)at;
            localtime_r(&instant, &local);
            struct zone_segment segment;
            zone_segment_at(zone, at, &segment);
            if (segment.offset != local.tm_gmtoff || at < segment.begin || at >= segment.end) {
                fail_msg("%s at %lld: %lld, not %ld", names[i], (long long)at,
                         (long long)segment.offset, local.tm_gmtoff);
            }
        }
        zone_free(zone);
    }
    unsetenv("TZ");
    tzset();
}

static void segments_follow_each_other_without_a_gap(void **state)
{
    (void)state;
    struct error error;
    struct zone *zone = NULL;
    assert_true(zone_load(ZONE_DIRECTORY, "Europe/Berlin", &zone, &error));
    struct zone_segment segment, next;
    zone_segment_at(zone, 1500000000, &segment);
    for (int i = 0; i < 200; i++) {
        zone_segment_at(zone, segment.end, &next);
        assert_int_equal(next.begin, segment.end);
        assert_true(next.end > next.begin);
        segment = next;
    }
    zone_free(zone);
}

static void names_never_lead_out_of_the_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"../../../etc/passwd", "/etc/passwd",     "",
                                        "Europe/Nowhere",      "Europe",          "a b",
                                        "tzdata.zi",           "Europe/Berlin/x", "."};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct error error = {0};
        struct zone *zone = NULL;
        assert_false(zone_load(ZONE_DIRECTORY, names[i], &zone, &error));
        assert_int_not_equal(error.code, ERROR_NONE);
        assert_null(zone);
    }
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    unsigned char data[8192];
    FILE *file = fopen(ZONE_DIRECTORY "/Europe/Berlin", "re");
    assert_non_null(file);
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    struct error error;
    for (size_t cut = 0; cut < size; cut++) {
        struct zone *zone = NULL;
        AUTO_FREE unsigned char *part = mem_new(cut + 1, 1);
        memcpy(part, data, cut);
        assert_false(zone_parse(part, cut, &zone, &error));
    }
    for (size_t i = 0; i < size; i++) { /* each byte turned: refused or not, nothing breaks */
        struct zone *zone = NULL;
        data[i] ^= 0xff;
        zone_parse(data, size, &zone, &error);
        zone_free(zone);
        data[i] ^= 0xff;
    }
}

static void rules_are_posixs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"CET-1CEST,M3.5.0,M10.5.0/3", true},
        {"UTC0", true},
        {"<+0330>-3:30", true},
        {"<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", true},
        {"EST5EDT,J60,300/24", true},
        {"", false},
        {"CET", false},
        {"CET-1CEST", false},
        {"CET-1CEST,M13.5.0,M10.5.0", false},
        {"CET-1CEST,M3.6.0,M10.5.0", false},
        {"CET-1CEST,M3.5.0", false},
        {"CET-1CEST,M3.5.0,M10.5.0/3x", false},
        {"<+03-3", false},
        {"CET-999", false},
        {"CET-1CEST,J0,J1", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct zone_rule rule;
        if (zone_rule_parse(cases[i].text, &rule) != cases[i].valid) {
            fail_msg("\"%s\"", cases[i].text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_is_the_c_librarys),
        cmocka_unit_test(segments_follow_each_other_without_a_gap),
        cmocka_unit_test(names_never_lead_out_of_the_directory),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(rules_are_posixs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
