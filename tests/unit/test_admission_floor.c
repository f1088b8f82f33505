/* The floor as it is written; what it refuses is shown by tests/e2e/admission. */
#include "admission/floor.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const controllers[] = {"system:x:*", NULL};

static const struct webhooks_options options = {
    .namespace_ = "moor",
    .failure_policy = "Ignore",
    .applier = "it's \\me",
    .controllers = controllers,
};

static const cJSON *conditions_of(const cJSON *policy)
{
    return json_get_path(policy, "spec.matchConditions");
}

static void the_policy_is_as_narrow_as_the_webhook(void **state)
{
    (void)state;
    AUTO_JSON cJSON *policy = floor_policy(&options, "", 0);
    assert_string_equal(json_string(policy, "kind"), "ValidatingAdmissionPolicy");
    assert_string_equal(json_string_path(policy, "metadata.name"), WEBHOOKS_NAME);
    assert_string_equal(json_string_path(policy, "spec.failurePolicy"), "Fail");
    const cJSON *constraints = json_get_path(policy, "spec.matchConstraints");
    const cJSON *label = json_first(json_get_path(constraints, "objectSelector.matchExpressions"));
    assert_string_equal(json_string(label, "key"), GITMOOR_LABEL);
    const cJSON *space =
        json_first(json_get_path(constraints, "namespaceSelector.matchExpressions"));
    assert_string_equal(json_first(json_array(space, "values"))->next->valuestring, "moor");
    assert_int_equal(json_size(conditions_of(policy)), 1);
    const char *guarded = json_string(json_first(conditions_of(policy)), "expression");
    assert_true(text_has_prefix(guarded, "(!((has(request.userInfo.username)"));
    assert_non_null(strstr(guarded, "'it\\'s \\\\me'"));
    assert_non_null(strstr(guarded, "'gitmoor:break-glass' in request.userInfo.groups"));
    assert_non_null(strstr(guarded, "request.userInfo.username.startsWith('system:x:')"));
}

static void each_refusal_has_a_plain_message_beside_the_made_one(void **state)
{
    (void)state;
    AUTO_JSON cJSON *policy = floor_policy(&options, "", 0);
    unsigned count = 0;
    for (const cJSON *validation = json_first(json_get_path(policy, "spec.validations"));
         validation; validation = validation->next) {
        assert_false(text_is_empty(json_string(validation, "expression")));
        assert_false(text_is_empty(json_string(validation, "message")));
        assert_false(text_is_empty(json_string(validation, "messageExpression")));
        assert_true(strlen(json_string(validation, "messageExpression")) < 100000);
        assert_string_equal(json_string(validation, "reason"), "Forbidden");
        count++;
    }
    assert_int_equal(count, 8);
}

static void what_no_application_declares_any_more_is_nobodys(void **state)
{
    (void)state;
    AUTO_JSON cJSON *policy = floor_policy(&options, "+prod.shop\n", 1700000000000);
    assert_int_equal(floor_since(policy), 1700000000000);
    for (const cJSON *validation = json_first(json_get_path(policy, "spec.validations"));
         validation; validation = validation->next) {
        assert_true(
            text_has_prefix(json_string(validation, "expression"), "variables.orphaned || ("));
    }
    AUTO_JSON cJSON *other = floor_binding();
    assert_int_equal(floor_since(other), 0);
}

static void the_binding_refuses_and_is_audited(void **state)
{
    (void)state;
    AUTO_JSON cJSON *binding = floor_binding();
    assert_string_equal(json_string(binding, "kind"), "ValidatingAdmissionPolicyBinding");
    assert_string_equal(json_string_path(binding, "spec.policyName"), WEBHOOKS_NAME);
    const cJSON *actions = json_get_path(binding, "spec.validationActions");
    assert_string_equal(json_first(actions)->valuestring, "Deny");
    assert_string_equal(json_first(actions)->next->valuestring, "Audit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_policy_is_as_narrow_as_the_webhook),
        cmocka_unit_test(each_refusal_has_a_plain_message_beside_the_made_one),
        cmocka_unit_test(what_no_application_declares_any_more_is_nobodys),
        cmocka_unit_test(the_binding_refuses_and_is_audited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
