/* The floor as it is written; what it refuses is shown by tests/e2e/admission. */
#include "admission/floor.h"

#include "common/base/memory.h"
#include "common/base/text.h"

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

static void put(struct application_set *set, const char *name, const char *protection)
{
    AUTO_FREE char *text = mem_format(
        "{\"apiVersion\":\"gitmoor.io/v1alpha1\",\"kind\":\"Application\",\"metadata\":{\"name\":"
        "\"%s\",\"namespace\":\"prod\"},\"spec\":{\"protection\":\"%s\"}}",
        name, protection);
    AUTO_JSON cJSON *tree = NULL;
    struct application *application = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &tree, NULL));
    assert_true(application_from_json(tree, &application, NULL));
    application_set_put(set, application);
}

static void applications_that_are_not_enforced_are_listed_in_order(void **state)
{
    (void)state;
    struct application_set set;
    application_set_init(&set);
    AUTO_FREE char *none = floor_lax(&set);
    assert_string_equal(none, "");
    assert_int_equal(floor_lax_count(none), 0);
    put(&set, "shop", "Enforce");
    put(&set, "lax", "Warn");
    put(&set, "open", "Off");
    put(&set, "bank", "Off");
    put(&set, "newer", "SomethingNew");
    AUTO_FREE char *lax = floor_lax(&set);
    assert_string_equal(lax, "prod.bank\nprod.lax\nprod.open\n");
    assert_int_equal(floor_lax_count(lax), 3);
    application_set_release(&set);
}

static const cJSON *conditions_of(const cJSON *policy)
{
    return json_get_path(policy, "spec.matchConditions");
}

static void the_policy_is_as_narrow_as_the_webhook(void **state)
{
    (void)state;
    AUTO_JSON cJSON *policy = floor_policy(&options, "");
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
    AUTO_JSON cJSON *policy = floor_policy(&options, "");
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

/* CEL's parser takes 100,000 characters, and the server 64 conditions. */
static void a_long_list_is_cut_into_expressions_that_the_server_takes(void **state)
{
    (void)state;
    AUTO_BUF struct buf lax;
    buf_init(&lax, (size_t)1 << 20);
    for (unsigned i = 0; i < FLOOR_LAX_MAXIMUM; i++) {
        buf_append_format(&lax, "%046u.%016u\n", i, i); /* as long as a label may be */
    }
    assert_int_equal(floor_lax_count(lax.data), FLOOR_LAX_MAXIMUM);
    AUTO_JSON cJSON *policy = floor_policy(&options, lax.data);
    assert_in_range(json_size(conditions_of(policy)), 2, 64);
    size_t seen = 0, total = 0;
    for (const cJSON *condition = json_first(conditions_of(policy)); condition;
         condition = condition->next) {
        const char *text = json_string(condition, "expression");
        total += strlen(text);
        assert_true(strlen(text) < 100000);
        for (const char *at = text; (at = strstr(at, "'00000")); at++) {
            seen++;
        }
    }
    assert_int_equal(seen, FLOOR_LAX_MAXIMUM);
    assert_true(total < 1000000);
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
        cmocka_unit_test(applications_that_are_not_enforced_are_listed_in_order),
        cmocka_unit_test(the_policy_is_as_narrow_as_the_webhook),
        cmocka_unit_test(each_refusal_has_a_plain_message_beside_the_made_one),
        cmocka_unit_test(a_long_list_is_cut_into_expressions_that_the_server_takes),
        cmocka_unit_test(the_binding_refuses_and_is_audited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
