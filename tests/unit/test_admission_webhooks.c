/* The webhook configurations: what every entry must have, and what must not be in any. */
#include "admission/webhooks.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const controllers[] = {"system:kube-controller-manager", "system:x:*", NULL};

static const struct webhooks_options in_cluster = {
    .namespace_ = "moor",
    .service = "guard",
    .service_port = 8443,
    .ca_bundle = "PEM",
    .failure_policy = "Fail",
    .timeout_seconds = 2,
    .applier = "it's \\me",
    .controllers = controllers,
};

static const char *const kinds[WEBHOOKS_KINDS] = {
    [WEBHOOKS_VALIDATING] = "ValidatingWebhookConfiguration",
    [WEBHOOKS_MUTATING] = "MutatingWebhookConfiguration",
};

static void each(const struct webhooks_options *options,
                 void (*check)(const cJSON *webhook, bool observer))
{
    for (unsigned kind = 0; kind < WEBHOOKS_KINDS; kind++) {
        AUTO_JSON cJSON *configuration = webhooks_configuration((enum webhooks_kind)kind, options);
        assert_string_equal(json_string(configuration, "kind"), kinds[kind]);
        assert_string_equal(json_string_path(configuration, "metadata.name"), WEBHOOKS_NAME);
        assert_true(json_size(json_array(configuration, "webhooks")) > 0);
        for (const cJSON *webhook = json_first(json_array(configuration, "webhooks")); webhook;
             webhook = webhook->next) {
            check(webhook, text_has_prefix(json_string(webhook, "name"), "reasons."));
        }
    }
}

static bool has_item(const cJSON *array, const char *text)
{
    for (const cJSON *item = json_first(array); item; item = item->next) {
        if (cJSON_IsString(item) && strcmp(item->valuestring, text) == 0) {
            return true;
        }
    }
    return false;
}

static const char *expression(const cJSON *webhook)
{
    const cJSON *conditions = json_array(webhook, "matchConditions");
    assert_int_equal(json_size(conditions), 1); /* the server evaluates each one there is */
    return json_string(json_first(conditions), "expression");
}

static void check_basics(const cJSON *webhook, bool observer)
{
    assert_string_equal(json_string(webhook, "sideEffects"), "None");
    assert_string_equal(json_string(webhook, "matchPolicy"), "Equivalent");
    assert_string_equal(json_string(webhook, "failurePolicy"), observer ? "Ignore" : "Fail");
    assert_int_equal(json_int(webhook, "timeoutSeconds", 0), observer ? 1 : 2);
    const cJSON *space = json_first(json_get_path(webhook, "namespaceSelector.matchExpressions"));
    assert_string_equal(json_string(space, "operator"), "NotIn");
    assert_true(has_item(json_array(space, "values"), "moor"));
    assert_true(has_item(json_array(space, "values"), "kube-system"));
    assert_string_equal(json_string_path(webhook, "clientConfig.caBundle"), "UEVN");
    assert_string_equal(json_string_path(webhook, "clientConfig.service.name"), "guard");
    assert_null(json_get_path(webhook, "clientConfig.url"));
}

static void test_every_webhook_is_narrow_and_has_no_side_effects(void **state)
{
    (void)state;
    each(&in_cluster, check_basics);
}

static void check_exemptions(const cJSON *webhook, bool observer)
{
    const char *text = expression(webhook);
    assert_true(text_has_prefix(text, "(!((has(request.userInfo.username)")); /* first of all */
    assert_non_null(strstr(text, "'it\\'s \\\\me'"));                         /* quoted for CEL */
    bool exempt = strstr(text, "(!(has(request.userInfo.groups)") != NULL;
    assert_true(exempt != observer);
    assert_non_null(strstr(text, "'gitmoor:break-glass' in request.userInfo.groups"));
}

static void test_the_applier_and_break_glass_are_exempt_everywhere(void **state)
{
    (void)state;
    each(&in_cluster, check_exemptions);
}

static void check_selector(const cJSON *webhook, bool observer)
{
    const cJSON *selector = json_first(json_get_path(webhook, "objectSelector.matchExpressions"));
    const cJSON *rule = json_first(json_array(webhook, "rules"));
    const cJSON *resources = json_array(rule, "resources");
    bool selects = text_equal(json_string(selector, "key"), "gitmoor.io/managed-by") &&
                   text_equal(json_string(selector, "operator"), "Exists");
    /* A Scale has no labels, and Namespaces and definitions need have none. */
    bool cannot = has_item(resources, "*/scale") || has_item(resources, "namespaces") ||
                  has_item(resources, "customresourcedefinitions");
    assert_true(selects != cannot);
    assert_false(has_item(resources, "*/*"));
    (void)observer;
}

static void test_nothing_without_our_label_waits_but_scales_and_deletions_that_cascade(void **state)
{
    (void)state;
    each(&in_cluster, check_selector);
}

static void check_scale(const cJSON *webhook, bool observer)
{
    const cJSON *resources = json_array(json_first(json_array(webhook, "rules")), "resources");
    if (has_item(resources, "*/scale")) {
        assert_non_null(strstr(expression(webhook), "oldObject.metadata.managedFields"));
        assert_string_equal(json_string(webhook, "reinvocationPolicy"), "Never");
    }
    (void)observer;
}

static void test_scale_is_asked_about_only_where_replicas_are_declared(void **state)
{
    (void)state;
    each(&in_cluster, check_scale);
}

static void check_observer(const cJSON *webhook, bool observer)
{
    for (const cJSON *rule = json_first(json_array(webhook, "rules")); observer && rule;
         rule = rule->next) {
        assert_false(has_item(json_array(rule, "apiGroups"), "*"));
        assert_false(has_item(json_array(rule, "resources"), "*"));
        assert_true(has_item(json_array(rule, "operations"), "UPDATE"));
        assert_int_equal(json_size(json_array(rule, "operations")), 1);
    }
}

static void test_a_reason_is_looked_for_only_on_what_scales(void **state)
{
    (void)state;
    each(&in_cluster, check_observer);
    AUTO_JSON cJSON *mutating = webhooks_configuration(WEBHOOKS_MUTATING, &in_cluster);
    assert_int_equal(json_size(json_array(mutating, "webhooks")), 1); /* nothing but /scale */
}

static void check_url(const cJSON *webhook, bool observer)
{
    const char *url = json_string_path(webhook, "clientConfig.url");
    assert_true(text_equal(url, "https://127.0.0.1:9443/review") ||
                text_equal(url, "https://127.0.0.1:9443/scale") ||
                text_equal(url, "https://127.0.0.1:9443/reason"));
    assert_null(json_get_path(webhook, "clientConfig.service"));
    (void)observer;
}

static void test_outside_a_cluster_the_url_takes_the_place_of_the_service(void **state)
{
    (void)state;
    struct webhooks_options options = in_cluster;
    options.url = "https://127.0.0.1:9443";
    each(&options, check_url);
}

static void test_the_setting_says_which_controllers_may_copy_the_label(void **state)
{
    (void)state;
    AUTO_JSON cJSON *configuration = webhooks_configuration(WEBHOOKS_VALIDATING, &in_cluster);
    const char *text = expression(json_first(json_array(configuration, "webhooks")));
    assert_non_null(strstr(text, "request.userInfo.username.startsWith('system:x:')"));
    assert_non_null(strstr(text, "'system:serviceaccount:kube-system:endpointslice-controller'"));
    assert_null(strstr(text, "horizontal-pod-autoscaler"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_webhook_is_narrow_and_has_no_side_effects),
        cmocka_unit_test(test_the_applier_and_break_glass_are_exempt_everywhere),
        cmocka_unit_test(
            test_nothing_without_our_label_waits_but_scales_and_deletions_that_cascade),
        cmocka_unit_test(test_scale_is_asked_about_only_where_replicas_are_declared),
        cmocka_unit_test(test_a_reason_is_looked_for_only_on_what_scales),
        cmocka_unit_test(test_outside_a_cluster_the_url_takes_the_place_of_the_service),
        cmocka_unit_test(test_the_setting_says_which_controllers_may_copy_the_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
