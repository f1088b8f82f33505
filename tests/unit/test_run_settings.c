/* Unit tests of common/run/settings.c. */
#include "common/run/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct sample {
    const char *name;
    const char *label;
    int64_t count;
    int64_t memory;
    int64_t interval;
    bool loud;
};

static const struct setting table[] = {
    {"name", SETTING_STRING, offsetof(struct sample, name), "shop", "NAME", "A name.", false},
    {"data-dir", SETTING_STRING, offsetof(struct sample, label), NULL, "DIR", "A label.", false},
    {"count", SETTING_INT, offsetof(struct sample, count), "3", "N", "A count.", false},
    {"memory", SETTING_SIZE, offsetof(struct sample, memory), "64Mi", "SIZE", "Bytes.", false},
    {"interval", SETTING_DURATION, offsetof(struct sample, interval), "1m30s", "TIME", "How often.",
     false},
    {"loud", SETTING_BOOL, offsetof(struct sample, loud), NULL, NULL, "Be loud.", false},
    {0},
};

static const struct setting table_with_need[] = {
    {"bus", SETTING_STRING, offsetof(struct sample, name), NULL, "ADDRESS", "Inbox.", true},
    {0},
};

#define ARGUMENTS_MAXIMUM 12

struct parse {
    char *argv[ARGUMENTS_MAXIMUM];
    char **rest;
    int count;
    struct sample sample;
    struct error error;
    bool ok;
};

/* Parses the words of `line`, which are separated by single blanks. */
static void parse_line(const struct setting *rows, struct parse *parse, char *line)
{
    parse->count = 0;
    for (char *word = strsep(&line, " "); word; word = strsep(&line, " ")) {
        parse->argv[parse->count++] = word;
    }
    parse->rest = parse->argv;
    parse->ok = settings_parse(rows, "gitmoor-test", "a test", &parse->count, &parse->rest,
                               &parse->sample, &parse->error);
}

static void defaults_are_the_tables(void **state)
{
    (void)state;
    char line[] = "program";
    struct parse parse;
    parse_line(table, &parse, line);
    assert_true(parse.ok);
    assert_string_equal(parse.sample.name, "shop");
    assert_null(parse.sample.label);
    assert_int_equal(parse.sample.count, 3);
    assert_int_equal(parse.sample.memory, 64 << 20);
    assert_int_equal(parse.sample.interval, 90000);
    assert_false(parse.sample.loud);
    assert_int_equal(parse.count, 0);
}

static void both_flag_forms_and_operands_in_any_place(void **state)
{
    (void)state;
    char line[] = "program first --name=a=b --count -7 second --loud --memory 2Gi -- --third -";
    struct parse parse;
    parse_line(table, &parse, line);
    assert_true(parse.ok);
    assert_string_equal(parse.sample.name, "a=b");
    assert_int_equal(parse.sample.count, -7);
    assert_int_equal(parse.sample.memory, (int64_t)2 << 30);
    assert_true(parse.sample.loud);
    assert_int_equal(parse.count, 4);
    assert_string_equal(parse.rest[0], "first");
    assert_string_equal(parse.rest[1], "second");
    assert_string_equal(parse.rest[2], "--third");
    assert_string_equal(parse.rest[3], "-");
}

static void the_environment_beats_defaults_and_flags_beat_the_environment(void **state)
{
    (void)state;
    setenv("GITMOOR_DATA_DIR", "/from/environment", 1);
    setenv("GITMOOR_COUNT", "5", 1);
    setenv("GITMOOR_LOUD", "true", 1);
    char line[] = "program --count=6 --loud=false";
    struct parse parse;
    parse_line(table, &parse, line);
    unsetenv("GITMOOR_DATA_DIR");
    unsetenv("GITMOOR_COUNT");
    unsetenv("GITMOOR_LOUD");
    assert_true(parse.ok);
    assert_string_equal(parse.sample.label, "/from/environment");
    assert_int_equal(parse.sample.count, 6);
    assert_false(parse.sample.loud);
}

static void what_is_wrong_is_named_with_what_would_be_right(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *part;
    } cases[] = {
        {"program --colour red", "unknown flag --colour"},
        {"program --colour=red", "unknown flag --colour; see gitmoor-test --help"},
        {"program -x", "unknown flag -x"},
        {"program --name", "--name needs a value: --name NAME"},
        {"program --count=many", "--count: \"many\" is not a whole number"},
        {"program --count=9223372036854775808", "is not a whole number"},
        {"program --memory=64MB", "is not a size such as 64Mi"},
        {"program --memory=99999999999Gi", "is not a size"},
        {"program --memory=Mi", "is not a size"},
        {"program --memory=-1", "is not a size"},
        {"program --interval=soon", "is not a duration such as 30s"},
        {"program --loud=yes", "is not true or false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[128];
        snprintf(line, sizeof line, "%s", cases[i].line);
        struct parse parse;
        parse_line(table, &parse, line);
        assert_false(parse.ok);
        assert_int_equal(parse.error.code, ERROR_INVALID);
        if (!strstr(parse.error.message, cases[i].part)) {
            fail_msg("%s: %s", cases[i].line, parse.error.message);
        }
    }
}

static void a_bad_environment_variable_is_named(void **state)
{
    (void)state;
    setenv("GITMOOR_INTERVAL", "never", 1);
    char line[] = "program";
    struct parse parse;
    parse_line(table, &parse, line);
    unsetenv("GITMOOR_INTERVAL");
    assert_false(parse.ok);
    assert_non_null(strstr(parse.error.message, "GITMOOR_INTERVAL: \"never\""));
}

static void a_needed_setting_may_come_from_flag_or_environment(void **state)
{
    (void)state;
    char nothing[] = "program", flag[] = "program --bus=ipc:///a";
    struct parse parse;
    parse_line(table_with_need, &parse, nothing);
    assert_false(parse.ok);
    assert_non_null(strstr(parse.error.message, "--bus ADDRESS is needed (or GITMOOR_BUS)"));
    parse_line(table_with_need, &parse, flag);
    assert_true(parse.ok);
    setenv("GITMOOR_BUS", "ipc:///b", 1);
    char again[] = "program";
    parse_line(table_with_need, &parse, again);
    unsetenv("GITMOOR_BUS");
    assert_true(parse.ok);
    assert_string_equal(parse.sample.name, "ipc:///b");
}

static void help_names_every_flag_variable_and_default(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    settings_print_help(table, "gitmoor-test", "does a test", out);
    fclose(out);
    static const char *const parts[] = {"gitmoor-test: does a test",
                                        "--data-dir DIR   (GITMOOR_DATA_DIR)",
                                        "--interval TIME   (GITMOOR_INTERVAL; default: 1m30s)",
                                        "--loud   (GITMOOR_LOUD)",
                                        "Be loud.",
                                        "--version"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!strstr(text, parts[i])) {
            fail_msg("%s is not in:\n%s", parts[i], text);
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_tables),
        cmocka_unit_test(both_flag_forms_and_operands_in_any_place),
        cmocka_unit_test(the_environment_beats_defaults_and_flags_beat_the_environment),
        cmocka_unit_test(what_is_wrong_is_named_with_what_would_be_right),
        cmocka_unit_test(a_bad_environment_variable_is_named),
        cmocka_unit_test(a_needed_setting_may_come_from_flag_or_environment),
        cmocka_unit_test(help_names_every_flag_variable_and_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
