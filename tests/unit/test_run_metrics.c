/* Unit tests of common/run/metrics.c: the text exposition format 0.0.4. */
#include "common/run/metrics.h"

#include "common/run/usage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct metric pairs = {.name = "gitmoor_test_pairs",
                              .help = "Pairs.",
                              .type = METRIC_GAUGE,
                              .label = "first",
                              .second_label = "second"};
static const double bounds[] = {0.01, 0.1, 1, 0};
static struct metric requests = {.name = "gitmoor_test_requests_total",
                                 .help = "Requests.",
                                 .type = METRIC_COUNTER,
                                 .label = "result"};
static struct metric objects = {
    .name = "gitmoor_test_objects", .help = "Objects.", .type = METRIC_GAUGE};
static struct metric seconds = {.name = "gitmoor_test_seconds",
                                .help = "Time.",
                                .type = METRIC_HISTOGRAM,
                                .label = "phase",
                                .bounds = bounds};
static struct metric plain_seconds = {.name = "gitmoor_test_plain_seconds",
                                      .help = "Time.",
                                      .type = METRIC_HISTOGRAM,
                                      .bounds = bounds};
static struct metric silent = {
    .name = "gitmoor_test_silent", .help = "Never used.", .type = METRIC_GAUGE};

static void assert_exposed(const char *part)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 1 << 20);
    metrics_write(&text);
    if (!strstr(text.data, part)) {
        fail_msg("\"%s\" is not in:\n%s", part, text.data);
    }
}

static void assert_not_exposed(const char *part)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 1 << 20);
    metrics_write(&text);
    if (strstr(text.data, part)) {
        fail_msg("\"%s\" is in:\n%s", part, text.data);
    }
}

static void series_stand_under_their_help_and_type_in_order(void **state)
{
    (void)state;
    metric_add(&requests, "ok", 1);
    metric_add(&requests, "ok", 2);
    metric_add(&requests, "failed", 1);
    assert_exposed("# HELP gitmoor_test_requests_total Requests.\n"
                   "# TYPE gitmoor_test_requests_total counter\n"
                   "gitmoor_test_requests_total{result=\"failed\"} 1\n"
                   "gitmoor_test_requests_total{result=\"ok\"} 3\n");
}

static void a_metric_may_have_two_labels(void **state)
{
    (void)state;
    metric_set_two(&pairs, "a", "x", 1);
    metric_set_two(&pairs, "a", "y\"", 2);
    metric_set_two(&pairs, "", "x", 3);
    assert_exposed("gitmoor_test_pairs{first=\"\",second=\"x\"} 3\n"
                   "gitmoor_test_pairs{first=\"a\",second=\"x\"} 1\n"
                   "gitmoor_test_pairs{first=\"a\",second=\"y\\\"\"} 2\n");
}

static void label_values_are_escaped(void **state)
{
    (void)state;
    metric_add(&requests, "a\"b\\c\nd", 1);
    assert_exposed("{result=\"a\\\"b\\\\c\\nd\"} 1\n");
}

static void numbers_keep_their_value(void **state)
{
    (void)state;
    metric_set(&objects, NULL, 9007199254740991.0);
    assert_exposed("gitmoor_test_objects 9007199254740991\n");
    metric_set(&objects, NULL, 0.1);
    assert_exposed("gitmoor_test_objects 0.1\n");
    metric_set(&objects, NULL, 1.0 / 3);
    assert_exposed("gitmoor_test_objects 0.33333333333333331\n");
    metric_set(&objects, NULL, -2);
    assert_exposed("gitmoor_test_objects -2\n");
}

static void buckets_are_cumulative_and_end_in_infinity(void **state)
{
    (void)state;
    metric_observe(&seconds, "dry-run", 0.01);
    metric_observe(&seconds, "dry-run", 0.5);
    metric_observe(&seconds, "dry-run", 7);
    assert_exposed("gitmoor_test_seconds_bucket{phase=\"dry-run\",le=\"0.01\"} 1\n"
                   "gitmoor_test_seconds_bucket{phase=\"dry-run\",le=\"0.1\"} 1\n"
                   "gitmoor_test_seconds_bucket{phase=\"dry-run\",le=\"1\"} 2\n"
                   "gitmoor_test_seconds_bucket{phase=\"dry-run\",le=\"+Inf\"} 3\n"
                   "gitmoor_test_seconds_sum{phase=\"dry-run\"} 7.51\n"
                   "gitmoor_test_seconds_count{phase=\"dry-run\"} 3\n");
    metric_observe(&plain_seconds, NULL, 0.05);
    assert_exposed("gitmoor_test_plain_seconds_bucket{le=\"0.1\"} 1\n");
    assert_exposed("gitmoor_test_plain_seconds_sum 0.05\n");
}

static void all_series_may_go_at_once(void **state)
{
    (void)state;
    metric_set(&requests, "one", 1);
    metric_set(&requests, "two", 2);
    metric_clear(&requests);
    assert_not_exposed("{result=");
    metric_set(&requests, "two", 3);
    assert_exposed("{result=\"two\"} 3\n");
    assert_not_exposed("one");
}

static void a_metric_that_was_never_used_is_not_exposed(void **state)
{
    (void)state;
    metric_clear(&silent);
    assert_not_exposed("gitmoor_test_silent");
}

static void read_objects(void *context)
{
    metric_set(&objects, NULL, *(double *)context);
}

static void collectors_are_asked_at_each_exposition(void **state)
{
    (void)state;
    static double value = 17;
    metrics_on_collect(read_objects, &value);
    assert_exposed("gitmoor_test_objects 17\n");
    value = 18;
    assert_exposed("gitmoor_test_objects 18\n");
}

static double exposed_value(const char *name)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 1 << 20);
    metrics_write(&text);
    const char *line = strstr(text.data, name);
    assert_non_null(line);
    return strtod(line + strlen(name), NULL);
}

static void a_process_tells_its_memory_cpu_time_and_version(void **state)
{
    (void)state;
    usage_register();
    usage_register();
    assert_exposed("gitmoor_build_info{version=\"" GITMOOR_VERSION "\"} 1\n");
    assert_true(exposed_value("\nprocess_resident_memory_bytes ") > 500e3);
    assert_true(exposed_value("\nprocess_resident_memory_bytes ") <
                exposed_value("\nprocess_virtual_memory_bytes "));
    assert_true(exposed_value("\nprocess_open_fds ") >= 3);
    assert_true(exposed_value("\nprocess_start_time_seconds ") > 1.6e9);
    assert_true(exposed_value("\nprocess_cpu_seconds_total ") >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_stand_under_their_help_and_type_in_order),
        cmocka_unit_test(a_metric_may_have_two_labels),
        cmocka_unit_test(label_values_are_escaped),
        cmocka_unit_test(numbers_keep_their_value),
        cmocka_unit_test(buckets_are_cumulative_and_end_in_infinity),
        cmocka_unit_test(all_series_may_go_at_once),
        cmocka_unit_test(a_metric_that_was_never_used_is_not_exposed),
        cmocka_unit_test(collectors_are_asked_at_each_exposition),
        cmocka_unit_test(a_process_tells_its_memory_cpu_time_and_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
