/* What of an Application's spec is refused, as by the CRD's own rules: for objects that were stored
 * before it had them. */
#include "differ/spec.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void read_spec(const char *spec, struct application_spec *ret)
{
    struct error error = {0};
    AUTO_JSON cJSON *object = NULL;
    AUTO_FREE char *text = mem_format("{\"metadata\":{\"namespace\":\"n\"},\"spec\":%s}", spec);
    if (!json_parse(text, strlen(text), NULL, &object, &error)) {
        fail_msg("%s", error.message);
    }
    application_spec_read(object, ret);
}

static void a_health_timeout_is_a_second_or_more(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        const char *told; /* in the error; NULL: it is fine */
        int64_t timeout;
    } cases[] = {
        {"{}", NULL, 300000},
        {"{\"health\":{}}", NULL, 300000},
        {"{\"health\":{\"timeout\":\"1s\"}}", NULL, 1000},
        {"{\"health\":{\"timeout\":\"1h30m\"}}", NULL, 5400000},
        {"{\"health\":{\"timeout\":\"0s\"}}", "\"0s\"", 300000},
        {"{\"health\":{\"timeout\":\"0\"}}", "\"0\"", 300000},
        {"{\"health\":{\"timeout\":\"0h0.0m\"}}", "\"0h0.0m\"", 300000},
        {"{\"health\":{\"timeout\":\"999ms\"}}", "\"999ms\"", 300000},
        {"{\"health\":{\"timeout\":\"-5m\"}}", "\"-5m\"", 300000},
        {"{\"health\":{\"timeout\":\"9999999999h\"}}", "\"9999999999h\"", 300000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct application_spec spec;
        read_spec(cases[i].spec, &spec);
        bool as_wanted = cases[i].told ? spec.error && strstr(spec.error, cases[i].told) &&
                                             strstr(spec.error, "spec.health.timeout")
                                       : !spec.error;
        if (!as_wanted || spec.health_timeout != cases[i].timeout) {
            fail_msg("%s: %s, %lld", cases[i].spec, spec.error ? spec.error : "no error",
                     (long long)spec.health_timeout);
        }
        application_spec_release(&spec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_health_timeout_is_a_second_or_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
