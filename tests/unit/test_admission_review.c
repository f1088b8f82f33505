/* The AdmissionReview as text: what is refused as malformed, and what the answer looks like. */
#include "admission/review.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SUBJECT                                                                                    \
    "\"kind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Secret\"},\"resource\":{\"group\":"    \
    "\"\",\"version\":\"v1\",\"resource\":\"secrets\"},\"userInfo\":{\"username\":\"a\"},"
#define HEAD "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":"
#define FIELDS                                                                                     \
    "\"managedFields\":[{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"apiVersion\":\"v1\","   \
    "\"fieldsV1\":{\"f:data\":{"
#define SECRET(fields, data)                                                                       \
    "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\",\"namespace\":"       \
    "\"prod\",\"labels\":{\"gitmoor.io/managed-by\":\"prod.shop\"}," FIELDS fields                 \
    "}}}]},\"data\":{" data "}}"

static bool judge(const char *text, struct review *ret, struct error *error)
{
    static const struct verdict_settings settings = {.applier = "applier",
                                                     .controllers = verdict_default_controllers};
    struct application_set none;
    application_set_init(&none);
    bool judged = review_judge(text, strlen(text), &settings, &none, ret, error);
    application_set_release(&none);
    return judged;
}

static const struct {
    const char *name;
    const char *text;
    const char *message; /* part of it */
} malformed[] = {
    {"nothing at all", "", "line 1"},
    {"trailing garbage", HEAD "{}} x", "line 1"},
    {"a duplicate key", "{\"kind\":\"AdmissionReview\",\"kind\":\"AdmissionReview\"}", "kind"},
    {"an escaped NUL", HEAD "{\"uid\":\"\\u0000\"}}", "line 1"},
    {"another kind", "{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}", "AdmissionReview"},
    {"a foreign version",
     "{\"apiVersion\":\"admission.k8s.io/v1beta1\",\"kind\":\"AdmissionReview\",\"request\":{}}",
     "admission.k8s.io/v1 is wanted"},
    {"no request", "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\"}",
     "no request"},
    {"no uid", HEAD "{" SUBJECT "\"operation\":\"CREATE\",\"object\":{}}}", "request.uid"},
    {"an unknown operation", HEAD "{\"uid\":\"u\"," SUBJECT "\"operation\":\"PATCH\"}}",
     "request.operation is PATCH"},
    {"an update without the old object",
     HEAD "{\"uid\":\"u\"," SUBJECT "\"operation\":\"UPDATE\",\"object\":{}}}",
     "request.oldObject is missing"},
    {"a deletion whose old object is null",
     HEAD "{\"uid\":\"u\"," SUBJECT "\"operation\":\"DELETE\",\"oldObject\":null}}",
     "request.oldObject is missing"},
    {"no kind", HEAD "{\"uid\":\"u\",\"operation\":\"CREATE\",\"object\":{}}}",
     "request.kind.kind"},
};

static void test_what_is_not_a_review_is_refused_with_the_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        struct review review;
        struct error error = {0};
        bool judged = judge(malformed[i].text, &review, &error);
        if (judged || !strstr(error.message, malformed[i].message)) {
            fail_msg("%s: %s", malformed[i].name, judged ? "was judged" : error.message);
        }
    }
}

static void test_a_review_of_too_many_levels_is_refused(void **state)
{
    (void)state;
    AUTO_BUF struct buf text;
    buf_init(&text, REVIEW_MAXIMUM);
    buf_append_string(&text, HEAD);
    for (unsigned i = 0; i < 1000; i++) {
        buf_append_string(&text, "{\"a\":");
    }
    struct review review;
    struct error error = {0};
    assert_false(judge(text.data, &review, &error));
    assert_int_equal(error.code, ERROR_LIMIT);
}

static void test_a_refusal_echoes_the_uid_and_says_403_forbidden(void **state)
{
    (void)state;
    struct review review;
    struct error error = {0};
    assert_true(judge(HEAD "{\"uid\":\"u-7\"," SUBJECT
                           "\"operation\":\"DELETE\",\"oldObject\":" SECRET("", "") "}}",
                      &review, &error));
    AUTO_JSON cJSON *answer = review_answer(&review);
    assert_string_equal(json_string(answer, "apiVersion"), "admission.k8s.io/v1");
    assert_string_equal(json_string(answer, "kind"), "AdmissionReview");
    assert_string_equal(json_string_path(answer, "response.uid"), "u-7");
    assert_false(json_bool(json_get(answer, "response"), "allowed", true));
    assert_int_equal(json_int(json_get_path(answer, "response.status"), "code", 0), 403);
    assert_string_equal(json_string_path(answer, "response.status.reason"), "Forbidden");
    assert_string_equal(json_string_path(answer, "response.auditAnnotations.application"),
                        "prod.shop");
    review_release(&review);
}

static void test_an_allowed_request_is_answered_with_nothing_but_that(void **state)
{
    (void)state;
    struct review review;
    struct error error = {0};
    assert_true(judge(HEAD "{\"uid\":\"u\"," SUBJECT "\"operation\":\"CREATE\",\"object\":{}}}",
                      &review, &error));
    AUTO_JSON cJSON *answer = review_answer(&review);
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    assert_true(json_write(answer, &text));
    assert_string_equal(text.data, "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":"
                                   "\"AdmissionReview\",\"response\":{\"allowed\":true,"
                                   "\"uid\":\"u\"}}");
    review_release(&review);
}

static void test_values_of_secrets_never_appear(void **state)
{
    (void)state;
    struct review review;
    struct error error = {0};
    assert_true(judge(
        HEAD "{\"uid\":\"u\"," SUBJECT "\"operation\":\"UPDATE\",\"oldObject\":" SECRET(
            "\"f:password\":{}",
            "\"password\":\"aHVudGVyMg==\"") ",\"object\":" SECRET("\"f:kept\":{}",
                                                                   "\"password\":\"bmV3\"") "}}",
        &review, &error));
    AUTO_JSON cJSON *answer = review_answer(&review);
    AUTO_BUF struct buf text;
    buf_init(&text, 65536);
    assert_true(json_write(answer, &text));
    assert_non_null(strstr(text.data, ".data.password"));
    assert_null(strstr(text.data, "aHVudGVyMg"));
    assert_null(strstr(text.data, "bmV3"));
    review_release(&review);
}

static void test_more_than_ten_fields_are_counted(void **state)
{
    (void)state;
    struct review review;
    struct error error = {0};
    AUTO_BUF struct buf fields;
    buf_init(&fields, 4096);
    for (unsigned i = 10; i < 23; i++) {
        buf_append_format(&fields, "%s\"f:k%u\":{}", i > 10 ? "," : "", i);
    }
    AUTO_FREE char *text =
        mem_format(HEAD "{\"uid\":\"u\"," SUBJECT "\"operation\":\"UPDATE\",\"oldObject\":" SECRET(
                       "%s", "") ",\"object\":" SECRET("\"f:kept\":{}", "") "}}",
                   fields.data);
    assert_true(judge(text, &review, &error));
    assert_int_equal(review.verdict.fields.count, 13);
    assert_non_null(strstr(review.verdict.message, ".data.k18, .data.k19 and 3 more are declared"));
    assert_null(strstr(review.verdict.message, ".data.k20"));
    review_release(&review);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_a_review_is_refused_with_the_reason),
        cmocka_unit_test(test_a_review_of_too_many_levels_is_refused),
        cmocka_unit_test(test_a_refusal_echoes_the_uid_and_says_403_forbidden),
        cmocka_unit_test(test_an_allowed_request_is_answered_with_nothing_but_that),
        cmocka_unit_test(test_values_of_secrets_never_appear),
        cmocka_unit_test(test_more_than_ten_fields_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
