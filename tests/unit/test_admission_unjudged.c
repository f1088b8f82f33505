/* What cannot be judged is refused by its uid, if it is a review at all. */
#include "admission/unjudged.h"
#include "common/data/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define UID "705ab4f5-6393-11e8-b7cc-42010a800002"
#define HEAD                                                                                       \
    "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"uid\":\""

static void test_a_review_of_an_api_server_is_refused_by_its_uid(void **state)
{
    (void)state;
    static const char text[] = HEAD UID "\",\"kind\":{\"group\":\"\"";
    AUTO_BUF struct buf out;
    buf_init(&out, 4096);
    assert_true(unjudged_answer(text, strlen(text), "line 1: \"\\u0000\" in a string", &out));
    AUTO_JSON cJSON *answer = NULL;
    assert_true(json_parse(out.data, out.size, NULL, &answer, NULL));
    assert_string_equal(json_string_path(answer, "apiVersion"), "admission.k8s.io/v1");
    assert_string_equal(json_string_path(answer, "kind"), "AdmissionReview");
    assert_string_equal(json_string_path(answer, "response.uid"), UID);
    assert_false(json_bool(json_object(answer, "response"), "allowed", true));
    assert_string_equal(json_string_path(answer, "response.status.reason"), "Forbidden");
    const char *message = json_string_path(answer, "response.status.message");
    assert_non_null(strstr(message, "line 1: \"\\u0000\" in a string"));
    assert_non_null(strstr(message, "gitmoor.io/break-glass-reason"));
}

static void test_what_begins_otherwise_is_not_answered_as_a_review(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        HEAD,
        HEAD UID,
        HEAD "705ab4f5\",\"kind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Secret\"}",
        HEAD "705AB4F5-6393-11e8-b7cc-42010a800002\",",
        HEAD "705ab4f5-6393-11e8-b7cc-42010a80\\\"02\",",
        "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1beta1\",\"request\":{"
        "\"uid\":\"" UID "\",",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        AUTO_BUF struct buf out;
        buf_init(&out, 4096);
        if (unjudged_answer(texts[i], strlen(texts[i]), "why", &out) || out.size > 0) {
            fail_msg("answered: %s", texts[i]);
        }
    }
    /* Text after the given size is not looked at. */
    AUTO_BUF struct buf out;
    buf_init(&out, 4096);
    assert_false(unjudged_answer(HEAD UID "\",", strlen(HEAD UID), "why", &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_review_of_an_api_server_is_refused_by_its_uid),
        cmocka_unit_test(test_what_begins_otherwise_is_not_answered_as_a_review),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
