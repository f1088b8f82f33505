#include "fetcher/reason.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Conditions take a CamelCase word (metav1.Condition's pattern). */
static void every_reason_is_a_word_that_conditions_take(void **state)
{
    (void)state;
    for (int i = 0; i < FETCH_REASONS; i++) {
        const char *name = fetch_reason_name((enum fetch_reason)i);
        assert_non_null(name);
        assert_true(name[0] >= 'A' && name[0] <= 'Z');
        for (const char *c = name; *c; c++) {
            assert_true((*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z'));
        }
        assert_int_equal(fetch_reason_from_name(name), i);
    }
}

static void what_is_unknown_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(fetch_reason_from_name("Nonsense"), FETCH_FAILED);
    assert_int_equal(fetch_reason_from_name(NULL), FETCH_FAILED);
    assert_string_equal(fetch_reason_name((enum fetch_reason)1000), "FetchFailed");
}

static void only_what_the_spec_causes_is_stalled(void **state)
{
    (void)state;
    assert_true(fetch_reason_is_stalled(FETCH_UNSUPPORTED_URL));
    assert_true(fetch_reason_is_stalled(FETCH_INVALID_SPEC));
    assert_false(fetch_reason_is_stalled(FETCH_SECRET_INVALID));   /* the Secret may come */
    assert_false(fetch_reason_is_stalled(FETCH_BRANCH_NOT_FOUND)); /* the branch may come */
    assert_false(fetch_reason_is_stalled(FETCH_TIMEOUT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_is_a_word_that_conditions_take),
        cmocka_unit_test(what_is_unknown_is_a_failure),
        cmocka_unit_test(only_what_the_spec_causes_is_stalled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
