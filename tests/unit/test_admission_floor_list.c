/* The list of applications that the floor holds; what comes of it is shown by tests/e2e/admission.
 */
#include "admission/floor_list.h"

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

static void applications_are_listed_in_order_with_what_they_want(void **state)
{
    (void)state;
    struct application_set set;
    application_set_init(&set);
    AUTO_FREE char *none = floor_list(&set);
    assert_string_equal(none, "");
    assert_int_equal(floor_list_count(none), 0);
    put(&set, "shop", "Enforce");
    put(&set, "lax", "Warn");
    put(&set, "open", "Off");
    put(&set, "newer", "SomethingNew");
    AUTO_FREE char *list = floor_list(&set);
    assert_string_equal(list, "-prod.lax\n+prod.newer\n-prod.open\n+prod.shop\n");
    assert_int_equal(floor_list_count(list), 4);
    application_set_release(&set);
}

static const char *expression_of(const cJSON *array, const char *name)
{
    for (const cJSON *item = json_first(array); item; item = item->next) {
        if (text_equal(json_string(item, "name"), name)) {
            return json_string(item, "expression");
        }
    }
    return NULL;
}

static void what_is_not_enforced_is_a_condition_and_the_rest_a_variable(void **state)
{
    (void)state;
    AUTO_JSON cJSON *conditions = json_new_array();
    AUTO_JSON cJSON *variables = json_new_array();
    const char *list = "-prod.lax\n+prod.newer\n-prod.open\n+prod.shop\n";
    floor_list_add_conditions(conditions, list, "label");
    floor_list_add_variables(variables, list, 1700000000999);
    assert_int_equal(json_size(conditions), 1);
    assert_string_equal(expression_of(conditions, "enforced-0"),
                        "!(label in ['prod.lax', 'prod.open'])");
    assert_string_equal(expression_of(variables, "listed0"),
                        "variables.label in ['prod.newer', 'prod.shop']");
    assert_string_equal(expression_of(variables, "since"), "timestamp('2023-11-14T22:13:20Z')");
    const char *orphaned = expression_of(variables, "orphaned");
    assert_non_null(strstr(orphaned, "timestamp(e.time) < variables.since"));
    assert_non_null(strstr(orphaned, "&& !variables.listed0"));
    assert_int_equal(floor_list_since(variables), 1700000000000);
}

static void without_applications_everything_that_was_applied_before_is_orphaned(void **state)
{
    (void)state;
    AUTO_JSON cJSON *conditions = json_new_array();
    AUTO_JSON cJSON *variables = json_new_array();
    floor_list_add_conditions(conditions, "", "label");
    floor_list_add_variables(variables, "", 0);
    assert_int_equal(json_size(conditions), 0);
    assert_null(strstr(expression_of(variables, "orphaned"), "listed"));
}

static void what_does_not_tell_since_when_tells_zero(void **state)
{
    (void)state;
    AUTO_JSON cJSON *variables = json_new_array();
    assert_int_equal(floor_list_since(NULL), 0);
    assert_int_equal(floor_list_since(variables), 0);
    floor_list_append(variables, "since", "timestamp('soon')");
    assert_int_equal(floor_list_since(variables), 0);
    AUTO_JSON cJSON *edited = json_new_array();
    floor_list_append(edited, "since", "true");
    assert_int_equal(floor_list_since(edited), 0);
}

static size_t count_labels(const cJSON *array, size_t *ret_total)
{
    size_t seen = 0;
    for (const cJSON *item = json_first(array); item; item = item->next) {
        const char *text = json_string(item, "expression");
        *ret_total += strlen(text);
        assert_true(strlen(text) < 100000); /* what CEL's parser takes */
        for (const char *at = text; (at = strstr(at, "'00000")); at++) {
            seen++;
        }
    }
    return seen;
}

/* The server takes 64 conditions, and objects up to 1.5 MiB. */
static void a_long_list_is_cut_into_expressions_that_the_server_takes(void **state)
{
    (void)state;
    AUTO_BUF struct buf list;
    buf_init(&list, (size_t)1 << 20);
    for (unsigned i = 0; i < FLOOR_APPLICATIONS_MAXIMUM; i++) {
        /* as long as a label may be */
        buf_append_format(&list, "%c%046u.%016u\n", i % 2 ? '+' : '-', i, i);
    }
    assert_int_equal(floor_list_count(list.data), FLOOR_APPLICATIONS_MAXIMUM);
    AUTO_JSON cJSON *conditions = json_new_array();
    AUTO_JSON cJSON *variables = json_new_array();
    floor_list_add_conditions(conditions, list.data, "label");
    floor_list_add_variables(variables, list.data, 0);
    assert_in_range(json_size(conditions), 2, 64);
    size_t total = 0;
    assert_int_equal(count_labels(conditions, &total), FLOOR_APPLICATIONS_MAXIMUM / 2);
    assert_int_equal(count_labels(variables, &total), FLOOR_APPLICATIONS_MAXIMUM / 2);
    assert_true(total < 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(applications_are_listed_in_order_with_what_they_want),
        cmocka_unit_test(what_is_not_enforced_is_a_condition_and_the_rest_a_variable),
        cmocka_unit_test(without_applications_everything_that_was_applied_before_is_orphaned),
        cmocka_unit_test(what_does_not_tell_since_when_tells_zero),
        cmocka_unit_test(a_long_list_is_cut_into_expressions_that_the_server_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
