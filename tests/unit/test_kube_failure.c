/* Unit tests of common/kube/failure.c: Status objects as errors. */
#include "common/kube/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_status_objects(void **state)
{
    (void)state;
    static const struct {
        int http_status;
        const char *status; /* NULL: no Status object */
        enum error_code code;
        bool retryable;
        const char *message;
        const char *reason;
    } cases[] = {
        {404, "{\"message\":\"configmaps \\\"a\\\" not found\",\"reason\":\"NotFound\"}",
         ERROR_NOT_FOUND, false, "configmaps \"a\" not found", "NotFound"},
        {401, "{\"message\":\"Unauthorized\"}", ERROR_DENIED, false, "Unauthorized", ""},
        {403, "{\"message\":\"forbidden\"}", ERROR_DENIED, false, "forbidden", ""},
        {409,
         "{\"message\":\"m\",\"reason\":\"Conflict\",\"details\":{\"causes\":[{\"message\":"
         "\"conflict with \\\"k\\\"\",\"field\":\".data.a\"}]}}",
         ERROR_CONFLICT, false, "m; .data.a: conflict with \"k\"", "Conflict"},
        {422,
         "{\"message\":\"x is invalid: data.k: Required value\",\"details\":{\"causes\":["
         "{\"message\":\"Required value\",\"field\":\"data.k\"}]}}",
         ERROR_INVALID, false, "x is invalid: data.k: Required value", ""},
        {400, "{\"message\":\"m\"}", ERROR_INVALID, false, "m", ""},
        {413, "{\"message\":\"m\"}", ERROR_LIMIT, false, "m", ""},
        {408, "{\"message\":\"m\"}", ERROR_TIMEOUT, true, "m", ""},
        {410, "{\"message\":\"too old\",\"reason\":\"Expired\"}", ERROR_NOT_FOUND, false, "too old",
         "Expired"},
        {429, "{\"message\":\"m\"}", ERROR_UNAVAILABLE, true, "m", ""},
        {500, "{\"message\":\"m\"}", ERROR_UNAVAILABLE, true, "m", ""},
        {504, "{\"message\":\"m\"}", ERROR_UNAVAILABLE, true, "m", ""},
        {503, NULL, ERROR_UNAVAILABLE, true, "the API server answered 503", ""},
        {302, NULL, ERROR_INVALID, false, "the API server answered 302", ""},
        {404, "{\"message\":1,\"reason\":{}}", ERROR_NOT_FOUND, false,
         "the API server answered 404", ""},
        {403, "[]", ERROR_DENIED, false, "the API server answered 403", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_JSON cJSON *status = NULL;
        struct error error;
        char reason[64];
        if (cases[i].status) {
            assert_true(json_parse(cases[i].status, strlen(cases[i].status), NULL, &status, NULL));
        }
        kube_status_to_error(cases[i].http_status, status, &error, reason);
        assert_string_equal(error.message, cases[i].message);
        assert_string_equal(reason, cases[i].reason);
        assert_int_equal(error.code, cases[i].code);
        assert_int_equal(error.retryable, cases[i].retryable);
    }
}

static void test_a_hundred_causes_are_not_all_told(void **state)
{
    (void)state;
    AUTO_JSON cJSON *status = json_new_object();
    json_add_string(status, "message", "m");
    cJSON *causes = json_add_array(json_add_object(status, "details"), "causes");
    for (int i = 0; i < 100; i++) {
        char text[32];
        snprintf(text, sizeof(text), "cause %d.", i);
        json_add_string(json_append(causes, json_new_object()), "message", text);
    }
    struct error error;
    char reason[64];
    kube_status_to_error(422, status, &error, reason);
    assert_non_null(strstr(error.message, "cause 9."));
    assert_null(strstr(error.message, "cause 10."));
    assert_non_null(strstr(error.message, "; and more"));
}

static void test_a_reason_of_any_length_fits(void **state)
{
    (void)state;
    AUTO_JSON cJSON *status = json_new_object();
    char long_text[9000];
    memset(long_text, 'r', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = '\0';
    json_add_string(status, "reason", long_text);
    json_add_string(status, "message", long_text);
    struct error error;
    char reason[64];
    kube_status_to_error(500, status, &error, reason);
    assert_int_equal(strlen(reason), 63);
    assert_true(strlen(error.message) < ERROR_MESSAGE_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_objects),
        cmocka_unit_test(test_a_hundred_causes_are_not_all_told),
        cmocka_unit_test(test_a_reason_of_any_length_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
