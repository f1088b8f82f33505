#include "fetcher/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct spec_case {
    const char *sentence;
    const char *object;
    const char *field; /* that the error names; NULL: it is read */
    int64_t interval_ms, timeout_ms;
};

static const struct spec_case cases[] = {
    {"the short form has the CRD's defaults", "{\"spec\":{\"url\":\"u\"}}", NULL, 60000, 60000},
    {"durations are read", "{\"spec\":{\"interval\":\"1h30m\",\"timeout\":\"90s\"}}", NULL, 5400000,
     90000},
    {"a second", "{\"spec\":{\"interval\":\"1s\",\"timeout\":\"1s\"}}", NULL, 1000, 1000},
    {"an interval under a second", "{\"spec\":{\"interval\":\"999ms\"}}", "spec.interval", 60000,
     60000},
    {"an interval of nothing", "{\"spec\":{\"interval\":\"0s\"}}", "spec.interval", 60000, 60000},
    {"a timeout over an hour is an hour", "{\"spec\":{\"timeout\":\"100h\"}}", NULL, 60000,
     3600000},
    {"a timeout of nothing", "{\"spec\":{\"timeout\":\"0s\"}}", "spec.timeout", 60000, 60000},
    {"an interval that is too long", "{\"spec\":{\"interval\":\"9999999999h\"}}", "spec.interval",
     60000, 60000},
    {"an interval that is none", "{\"spec\":{\"interval\":\"soon\"}}", "spec.interval", 60000,
     60000},
    {"a timeout that is none", "{\"spec\":{\"timeout\":\"-5s\"}}", "spec.timeout", 60000, 60000},
    {"both are wrong: the first is told", "{\"spec\":{\"interval\":\"x\",\"timeout\":\"y\"}}",
     "spec.interval", 60000, 60000},
    {"no spec at all", "{}", NULL, 60000, 60000},
    {"a spec of another type", "{\"spec\":[1]}", NULL, 60000, 60000},
};

static void durations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error;
        error_clear(&error);
        cJSON *object AUTO_JSON = NULL;
        assert_true(json_parse(cases[i].object, strlen(cases[i].object), NULL, &object, &error));
        struct repository_spec spec;
        bool read = repository_spec_read(object, &spec, &error);
        if (read != !cases[i].field || spec.interval_ms != cases[i].interval_ms ||
            spec.timeout_ms != cases[i].timeout_ms ||
            (cases[i].field && !strstr(error.message, cases[i].field))) {
            fail_msg("%s: %s", cases[i].sentence, error.message);
        }
        repository_spec_release(&spec);
    }
}

static void every_field_of_the_crd_is_read(void **state)
{
    (void)state;
    static const char text[] = "{\"spec\":{\"url\":\"https://h/"
                               "r\",\"ref\":{\"branch\":\"b\",\"tag\":\"t\",\"commit\":\"c\","
                               "\"semver\":\"1.x\",\"name\":\"refs/n\"},"
                               "\"secretRef\":{\"name\":\"s\"},\"suspend\":true}}";
    struct error error;
    cJSON *object AUTO_JSON = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &object, &error));
    struct repository_spec spec;
    assert_true(repository_spec_read(object, &spec, &error));
    assert_string_equal(spec.url, "https://h/r");
    assert_string_equal(spec.branch, "b");
    assert_string_equal(spec.tag, "t");
    assert_string_equal(spec.semver, "1.x");
    assert_string_equal(spec.name, "refs/n");
    assert_string_equal(spec.commit, "c");
    assert_string_equal(spec.secret, "s");
    assert_true(spec.suspend);
    repository_spec_release(&spec);
    repository_spec_release(&spec); /* empty now */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(every_field_of_the_crd_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
