/* What the settings refuse beyond the table's own checks. */
#include "admission/settings.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool parse(const char *flag, struct error *error)
{
    const char *arguments[] = {"gitmoor-admission", "--applier=me", flag, NULL};
    char **argv = (char **)(uintptr_t)arguments;
    int argc = flag ? 3 : 2;
    struct admission_settings settings;
    return settings_parse(admission_settings_table, "gitmoor-admission", "", &argc, &argv,
                          &settings, error) &&
           admission_settings_check(&settings, error);
}

static void test_the_defaults_are_good(void **state)
{
    (void)state;
    struct error error = {0};
    if (!parse(NULL, &error)) {
        fail_msg("%s", error.message);
    }
}

static const struct {
    const char *flag;
    const char *words; /* NULL: it is good */
} cases[] = {
    {"--applier=", "--applier"},
    {"--failure-policy=fail", "Fail or Ignore"},
    {"--failure-policy=Ignore", NULL},
    {"--webhook-timeout=500ms", "whole seconds"},
    {"--webhook-timeout=4s", "between 1 and 3"},
    {"--webhook-timeout=0s", "between 1 and 3"},
    {"--webhook-timeout=3s", NULL},
    {"--webhook-url=http://127.0.0.1:9443", "https://"},
    {"--webhook-url=https://127.0.0.1:9443/review", "without a path"},
    {"--webhook-url=https://[::1]:9443", NULL},
    {"--webhook-connections=0", "between 1"},
    {"--service-port=70000", "65535"},
    {"--certificate-days=0", "between 1"},
};

static void test_each_bad_value_is_refused_and_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {0};
        bool good = parse(cases[i].flag, &error);
        if (good != !cases[i].words || (!good && !strstr(error.message, cases[i].words))) {
            fail_msg("%s: %s", cases[i].flag, good ? "taken" : error.message);
        }
    }
}

static void test_lists_are_split_at_commas(void **state)
{
    (void)state;
    AUTO_FREE const char **items = admission_split("a,,b:*,");
    assert_string_equal(items[0], "a");
    assert_string_equal(items[1], "b:*");
    assert_null(items[2]);
    AUTO_FREE const char **none = admission_split("");
    assert_null(none[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_defaults_are_good),
        cmocka_unit_test(test_each_bad_value_is_refused_and_named),
        cmocka_unit_test(test_lists_are_split_at_commas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
