/* Unit tests of common/run/log.c: what lands on standard error is one line of JSON. */
#include "common/run/log.h"

#include "common/base/memory.h"
#include "common/data/json.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char captured[131072];

/* Runs `write` with standard error in a file, and reads what it wrote into `captured`. */
static size_t capture(void (*write_log)(void))
{
    char path[] = "/tmp/gitmoor-test-log-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    int before = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    write_log();
    dup2(before, STDERR_FILENO);
    close(before);
    ssize_t size = pread(file, captured, sizeof captured - 1, 0);
    close(file);
    assert_true(size >= 0);
    captured[size] = '\0';
    return (size_t)size;
}

/* Parses what was captured, which must be one line. */
static cJSON *captured_line(size_t size)
{
    assert_true(size > 0);
    assert_int_equal(captured[size - 1], '\n');
    assert_ptr_equal(strchr(captured, '\n'), captured + size - 1);
    cJSON *tree = NULL;
    struct error error;
    if (!json_parse(captured, size, NULL, &tree, &error)) {
        fail_msg("%s: %s", error.message, captured);
    }
    return tree;
}

static void write_pairs(void)
{
    log_info("applied", "application", "shop/shop", "absent", NULL, "odd",
             "a\"b\\c\nd\te\x01 f \xff g \xc3\xa4 \xc3");
}

static void a_line_is_json_with_its_pairs_and_a_null_value_is_left_out(void **state)
{
    (void)state;
    AUTO_JSON cJSON *line = captured_line(capture(write_pairs));
    assert_string_equal(json_string(line, "level"), "info");
    assert_string_equal(json_string(line, "process"), "tester");
    assert_string_equal(json_string(line, "message"), "applied");
    assert_string_equal(json_string(line, "application"), "shop/shop");
    assert_null(json_get(line, "absent"));
    assert_string_equal(json_string(line, "odd"),
                        "a\"b\\c\nd\te\x01 f \xEF\xBF\xBD g \xc3\xa4 \xEF\xBF\xBD");
    assert_int_equal(strlen(json_string(line, "time")), strlen("2026-11-24T05:59:19.123000Z"));
}

static void write_long(void)
{
    AUTO_FREE char *text = mem_new(100001, 1);
    memset(text, 'x', 100000);
    log_warn("long", "value", text);
}

static void a_long_value_is_cut_and_the_line_stays_whole(void **state)
{
    (void)state;
    AUTO_JSON cJSON *line = captured_line(capture(write_long));
    const char *value = json_string(line, "value");
    assert_true(strlen(value) < 9000);
    assert_string_equal(value + strlen(value) - strlen("…"), "…");
}

static void write_many_long(void)
{
    AUTO_FREE char *text = mem_new(8001, 1);
    memset(text, 'y', 8000);
    log_warn("many", "a", text, "b", text, "c", text, "d", text, "e", text, "f", text, "g", text,
             "h", text, "i", text);
}

static void too_many_values_leave_the_message(void **state)
{
    (void)state;
    AUTO_JSON cJSON *line = captured_line(capture(write_many_long));
    assert_string_equal(json_string(line, "message"), "many");
    assert_string_equal(json_string(line, "truncated"), "true");
}

static void write_debug(void)
{
    log_debug("quiet");
}

static void below_the_level_nothing_is_written(void **state)
{
    (void)state;
    assert_int_equal(capture(write_debug), 0);
    assert_true(log_open("tester", "debug", NULL));
    assert_true(capture(write_debug) > 0);
    assert_true(log_open("tester", "info", NULL));
}

static void an_unknown_level_is_refused(void **state)
{
    (void)state;
    struct error error;
    assert_false(log_open("tester", "loud", &error));
    assert_non_null(strstr(error.message, "\"loud\""));
    assert_false(log_open("tester", NULL, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_json_with_its_pairs_and_a_null_value_is_left_out),
        cmocka_unit_test(a_long_value_is_cut_and_the_line_stays_whole),
        cmocka_unit_test(too_many_values_leave_the_message),
        cmocka_unit_test(below_the_level_nothing_is_written),
        cmocka_unit_test(an_unknown_level_is_refused),
    };
    log_open("tester", "info", NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
