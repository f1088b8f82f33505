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

static void the_next_try_is_later_after_each_failure_up_to_a_limit(void **state)
{
    static const struct {
        const char *what;
        enum fetch_reason reason;
        unsigned failures;
        int64_t interval_ms, wait_ms, retry_after_ms;
    } rows[] = {
        {"the first failure", FETCH_FAILED, 1, 600000, 1000, 0},
        {"the fourth", FETCH_FAILED, 4, 600000, 8000, 0},
        {"never longer than the interval", FETCH_FAILED, 60, 600000, 600000, 0},
        {"however short that is", FETCH_FAILED, 1, 500, 500, 0},
        {"refused credentials are asked for less often", FETCH_AUTHENTICATION_FAILED, 1, 600000,
         10000, 0},
        {"and less and less", FETCH_AUTHENTICATION_FAILED, 3, 600000, 40000, 0},
        {"an outage does not hold up anything for long", FETCH_UNREACHABLE, 60, 3600000, 20000, 0},
        {"it is asked after as soon", FETCH_UNREACHABLE, 2, 3600000, 2000, 0},
        {"and not more often than the interval", FETCH_UNREACHABLE, 60, 10000, 10000, 0},
        {"the server says when", FETCH_TOO_MANY_REQUESTS, 1, 60000, 90000, 90000},
        {"sooner than we would come anyhow", FETCH_UNREACHABLE, 4, 60000, 8000, 2000},
        {"but not to come no more", FETCH_UNREACHABLE, 1, 60000, 3600000, INT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t wait = fetch_reason_backoff(rows[i].reason, rows[i].failures, rows[i].interval_ms,
                                            rows[i].retry_after_ms);
        if (wait != rows[i].wait_ms) {
            fail_msg("%s: %lld ms, not %lld", rows[i].what, (long long)wait,
                     (long long)rows[i].wait_ms);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_is_a_word_that_conditions_take),
        cmocka_unit_test(what_is_unknown_is_a_failure),
        cmocka_unit_test(only_what_the_spec_causes_is_stalled),
        cmocka_unit_test(the_next_try_is_later_after_each_failure_up_to_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
