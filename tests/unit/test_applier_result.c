/* Unit tests of applier/result.c. */
#include "applier/result.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void the_text_is_a_head_and_a_line_for_each_operation(void **state)
{
    (void)state;
    struct result result;
    result_init(&result);
    struct result_success applied = {.uid = "u", .resource_version = "7"};
    digest_of("abc", 3, &applied.fingerprint);
    result_add_success(&result, 0, true, &applied);
    result_add_success(&result, 1, false, &(struct result_success){.gone = true});
    result_add_success(&result, 2, false, &(struct result_success){.uid = "v", .replaced = true});
    struct error error;
    error_set(&error, ERROR_DENIED, "configmaps \"x\" is forbidden");
    const struct result_failure failure = {.status = 403, .reason = "Forbidden"};
    result_add_failure(&result, 3, false, &failure, &error);
    size_t size;
    AUTO_FREE char *text = result_finish(&result, "p-1", RESULT_FAILED, 5, NULL, &size);
    assert_string_equal(
        text,
        "{\"id\":\"p-1\",\"outcome\":\"failed\",\"requests\":5}\n"
        "{\"fingerprint\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\","
        "\"i\":0,\"ok\":true,\"phase\":\"preflight\",\"resourceVersion\":\"7\",\"uid\":\"u\"}\n"
        "{\"gone\":true,\"i\":1,\"ok\":true,\"phase\":\"apply\"}\n"
        "{\"i\":2,\"ok\":true,\"phase\":\"apply\",\"replaced\":true,\"uid\":\"v\"}\n"
        "{\"i\":3,\"message\":\"configmaps \\\"x\\\" is forbidden\",\"ok\":false,\"phase\":"
        "\"apply\",\"reason\":\"Forbidden\",\"retryable\":false,\"status\":403}\n");
    assert_int_equal(size, strlen(text));
    assert_int_equal(result.failures, 1);
    result_release(&result);
}

static void a_plan_refused_as_a_whole_says_why_in_the_head(void **state)
{
    (void)state;
    struct result result;
    result_init(&result);
    struct error why;
    error_set(&why, ERROR_UNAVAILABLE, "not known");
    size_t size;
    AUTO_FREE char *text = result_finish(&result, "p", RESULT_FAILED, 0, &why, &size);
    assert_string_equal(text, "{\"id\":\"p\",\"message\":\"not known\",\"outcome\":\"failed\","
                              "\"requests\":0,\"retryable\":true}\n");
    result_release(&result);
}

static void after_many_failures_messages_are_short_but_whole_characters(void **state)
{
    (void)state;
    struct result result;
    result_init(&result);
    struct error error;
    char text[1201] = "";
    for (int i = 0; i < 400; i++) {
        memcpy(text + i * 3, "\xe2\x82\xac", 4);
    }
    error_set(&error, ERROR_INVALID, "%s", text);
    for (size_t i = 0; i < 300; i++) {
        const struct result_failure failure = {.status = 422, .reason = "Invalid"};
        result_add_failure(&result, i, true, &failure, &error);
    }
    size_t size;
    AUTO_FREE char *whole = result_finish(&result, "p", RESULT_INVALID, 300, NULL, &size);
    assert_true(text_is_utf8(whole, size));
    size_t line = 0, full = 0;
    for (char *rest = whole, *next; (next = strsep(&rest, "\n")) && *next; line++) {
        AUTO_JSON cJSON *tree = NULL;
        assert_true(json_parse(next, strlen(next), NULL, &tree, NULL));
        const char *message = json_string(tree, "message");
        full += message && strlen(message) == 1200;
        assert_true(!message || strlen(message) == 1200 || strlen(message) == 255);
    }
    assert_int_equal(line, 301);
    assert_int_equal(full, 200);
    result_release(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_is_a_head_and_a_line_for_each_operation),
        cmocka_unit_test(a_plan_refused_as_a_whole_says_why_in_the_head),
        cmocka_unit_test(after_many_failures_messages_are_short_but_whole_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
