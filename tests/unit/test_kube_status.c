/* Unit tests of common/kube/status.c. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char old_time[] = "2020-01-01T00:00:00Z";

/* Conditions with one of type Ready, True since long ago, of generation 3. */
static cJSON *conditions_with_ready(void)
{
    cJSON *conditions = json_new_array();
    status_set_condition(conditions, "Ready", "True", "Applied", "all is well", 3);
    json_set(json_first(conditions), "lastTransitionTime", json_new_string(old_time));
    return conditions;
}

static void test_changes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *status, *reason, *message;
        int64_t generation;
        bool changed, moved;
    } cases[] = {
        {"the same again", "True", "Applied", "all is well", 3, false, false},
        {"another status moves the time", "False", "Applied", "all is well", 3, true, true},
        {"another reason does not", "True", "Synced", "all is well", 3, true, false},
        {"another message does not", "True", "Applied", "fine", 3, true, false},
        {"another generation does not", "True", "Applied", "all is well", 4, true, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_JSON cJSON *conditions = conditions_with_ready();
        bool changed = status_set_condition(conditions, "Ready", cases[i].status, cases[i].reason,
                                            cases[i].message, cases[i].generation);
        const cJSON *ready = status_condition(conditions, "Ready");
        bool moved = !text_equal(json_string(ready, "lastTransitionTime"), old_time);
        if (changed != cases[i].changed || moved != cases[i].moved) {
            fail_msg("%s", cases[i].name);
        }
        assert_string_equal(json_string(ready, "status"), cases[i].status);
        assert_string_equal(json_string(ready, "reason"), cases[i].reason);
        assert_string_equal(json_string(ready, "message"), cases[i].message);
        assert_int_equal(json_int(ready, "observedGeneration", 0), cases[i].generation);
        assert_int_equal(json_size(conditions), 1);
    }
}

static void test_conditions_are_added_and_removed(void **state)
{
    (void)state;
    AUTO_JSON cJSON *conditions = conditions_with_ready();
    assert_true(status_set_condition(conditions, "Stalled", "False", "Fine", NULL, 1));
    assert_string_equal(json_string(status_condition(conditions, "Stalled"), "message"), "");
    assert_true(status_remove_condition(conditions, "Ready"));
    assert_false(status_remove_condition(conditions, "Ready"));
    assert_null(status_condition(conditions, "Ready"));
    assert_null(status_condition(NULL, "Ready"));
    assert_int_equal(json_size(conditions), 1);
}

static void test_a_message_is_cut_between_characters(void **state)
{
    (void)state;
    AUTO_JSON cJSON *conditions = json_new_array();
    char *text = mem_new(40000, 1);
    memset(text, 'x', 32767);
    strcpy(text + 32767, "ä and more");
    status_set_condition(conditions, "Ready", "False", "Long", text, 1);
    assert_int_equal(strlen(json_string(json_first(conditions), "message")), 32767);
    assert_false(status_set_condition(conditions, "Ready", "False", "Long", text, 1));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_conditions_are_added_and_removed),
        cmocka_unit_test(test_a_message_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
