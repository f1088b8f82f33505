/* Reasons are found by uid, for a time, and never fill the memory. */
#include "admission/reasons.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_a_reason_is_found_by_its_uid_until_it_is_old(void **state)
{
    (void)state;
    struct reasons *reasons = reasons_new();
    assert_null(reasons_find(reasons, "a", 0));
    assert_null(reasons_find(reasons, NULL, 0));
    reasons_note(reasons, "a", "first", 1000);
    assert_string_equal(reasons_find(reasons, "a", 1000), "first");
    assert_null(reasons_find(reasons, "b", 1000));
    assert_string_equal(reasons_find(reasons, "a", 999 + REASONS_TIME_MS), "first");
    assert_null(reasons_find(reasons, "a", 1000 + REASONS_TIME_MS));
    reasons_note(reasons, "a", "second", 1000 + REASONS_TIME_MS);
    assert_string_equal(reasons_find(reasons, "a", 1000 + REASONS_TIME_MS), "second");
    reasons_free(reasons);
}

static void test_the_oldest_make_room(void **state)
{
    (void)state;
    struct reasons *reasons = reasons_new();
    char uid[16];
    for (unsigned i = 0; i < REASONS_MAXIMUM + 10; i++) {
        snprintf(uid, sizeof uid, "u%u", i);
        reasons_note(reasons, uid, "r", 0);
    }
    assert_null(reasons_find(reasons, "u9", 0));
    assert_non_null(reasons_find(reasons, "u10", 0));
    assert_non_null(reasons_find(reasons, uid, 0));
    reasons_free(reasons);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reason_is_found_by_its_uid_until_it_is_old),
        cmocka_unit_test(test_the_oldest_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
