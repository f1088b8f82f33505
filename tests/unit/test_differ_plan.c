/* Plan texts and results: what is written, and what of a result is understood or refused. */
#include "common/base/memory.h"
#include "differ/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_plan_is_a_head_and_its_operations(void **state)
{
    (void)state;
    struct plan plan;
    struct plan_head head = {.id = "d-1",
                             .namespace_ = "shop",
                             .name = "web",
                             .uid = "u",
                             .revision = "main@sha1:1",
                             .preflight = true};
    struct desired_object object = {
        .ref =
            {.group = "", .version = "v1", .kind = "ConfigMap", .namespace_ = "shop", .name = "a"},
        .resource = {.group = "", .version = "v1", .plural = "configmaps", .namespaced = true},
        .text = "{\"x\":1}",
        .size = 7};
    plan_begin(&plan, &head);
    plan_owners(&plan, 0, &object.resource, "shop", "a", 7, "[{}]");
    plan_apply(&plan, 4, 0, &object);
    plan_give_up(&plan, 8, &object.resource, "shop", "c", "u3");
    plan_delete(&plan, 9, &object.resource, "shop", "b", "u2");
    assert_string_equal(
        plan.text.data,
        "{\"id\":\"d-1\",\"mode\":\"apply\",\"name\":\"web\",\"namespace\":\"shop\",\"preflight\":"
        "true,\"revision\":\"main@sha1:1\",\"uid\":\"u\"}\n"
        "{\"op\":\"owners\",\"path\":\"/api/v1/namespaces/shop/configmaps/a\",\"resourceVersion\":"
        "\"7\",\"stage\":0}\n[{}]\n"
        "{\"after\":0,\"op\":\"apply\",\"path\":\"/api/v1/namespaces/shop/configmaps/a\",\"stage\":"
        "4}\n{\"x\":1}\n"
        "{\"op\":\"release\",\"path\":\"/api/v1/namespaces/shop/configmaps/c\",\"stage\":8,"
        "\"uid\":\"u3\"}\n"
        "{\"op\":\"delete\",\"path\":\"/api/v1/namespaces/shop/configmaps/b\",\"stage\":9,\"uid\":"
        "\"u2\"}\n");
    assert_int_equal(plan.operations, 4);
    plan_release(&plan);
}

static void count_outcome(const struct plan_outcome *outcome, void *context)
{
    size_t *counts = context;
    counts[outcome->ok ? 0 : 1]++;
    if (outcome->ok) {
        assert_int_equal(outcome->index, 0);
        assert_string_equal(outcome->uid, "u");
        assert_int_equal(outcome->fingerprint.bytes[0], 0xab);
    } else {
        assert_int_equal(outcome->index, 1);
        assert_true(outcome->preflight);
        assert_int_equal(outcome->status, 403);
        assert_string_equal(outcome->message, "no");
    }
}

static void a_result_is_read_line_by_line(void **state)
{
    (void)state;
    static const char text[] =
        "{\"id\":\"d-1\",\"outcome\":\"failed\",\"requests\":3,\"message\":\"no such account\"}\n"
        "{\"i\":0,\"phase\":\"apply\",\"ok\":true,\"uid\":\"u\",\"resourceVersion\":\"7\","
        "\"fingerprint\":\"ab00000000000000000000000000000000000000000000000000000000000000\"}\n"
        "{\"i\":1,\"phase\":\"preflight\",\"ok\":false,\"status\":403,\"reason\":\"Forbidden\","
        "\"message\":\"no\"}\n";
    size_t counts[2] = {0};
    struct plan_result result = {.each = count_outcome, .context = counts};
    struct error error;
    assert_true(plan_result_parse(text, strlen(text), &result, &error));
    assert_string_equal(result.outcome, "failed");
    assert_int_equal(result.requests, 3);
    assert_string_equal(result.message, "no such account");
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1);
}

static void malformed_results_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\n",
        "{}",
        "{\"outcome\":\"perhaps\"}",
        "{\"outcome\":\"applied\"}\n{}",
        "{\"outcome\":\"applied\"}\n{\"i\":-1}",
        "{\"outcome\":\"applied\"}\n{\"i\":1",
        "{\"outcome\":\"applied\"}\n\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t counts[2] = {0};
        struct plan_result result = {.each = count_outcome, .context = counts};
        struct error error;
        if (plan_result_parse(texts[i], strlen(texts[i]), &result, &error)) {
            fail_msg("accepted: %s", texts[i]);
        }
        assert_true(strlen(error.message) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_is_a_head_and_its_operations),
        cmocka_unit_test(a_result_is_read_line_by_line),
        cmocka_unit_test(malformed_results_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
