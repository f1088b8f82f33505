/* Unit tests of applier/pace.c. */
#include "applier/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void fill(struct pace *pace)
{
    while (pace_has_room(pace)) {
        pace_started(pace);
    }
}

/* One window's worth of answers, with the window kept full meanwhile. */
static void one_round(struct pace *pace)
{
    for (unsigned answers = (unsigned)pace->window; answers > 0; answers--) {
        fill(pace);
        pace_finished(pace, false);
    }
}

static void it_starts_at_sixteen_or_at_a_smaller_maximum(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 64);
    fill(&pace);
    assert_int_equal(pace.in_flight, 16);
    pace_init(&pace, 5);
    fill(&pace);
    assert_int_equal(pace.in_flight, 5);
    pace_init(&pace, 0);
    fill(&pace);
    assert_int_equal(pace.in_flight, 1); /* never stuck */
}

static void it_grows_by_about_one_a_round_up_to_the_maximum(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 64);
    one_round(&pace);
    assert_in_range((unsigned)(pace.window * 10), 165, 175);
    for (int i = 0; i < 100; i++) {
        one_round(&pace);
    }
    assert_int_equal((unsigned)pace.window, 64);
    fill(&pace);
    assert_int_equal(pace.in_flight, 64);
}

static void a_window_that_is_not_used_does_not_grow(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 64);
    for (int i = 0; i < 1000; i++) {
        pace_started(&pace);
        pace_finished(&pace, false);
    }
    assert_int_equal((unsigned)pace.window, 16);
}

static void one_overload_halves_it_once_however_many_answers_tell_of_it(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 64);
    fill(&pace);
    for (int i = 0; i < 16; i++) {
        pace_finished(&pace, true); /* all of one window */
    }
    assert_int_equal((unsigned)pace.window, 8);
    assert_int_equal(pace.congested, 1);
    fill(&pace);
    assert_int_equal(pace.in_flight, 8);
    pace_finished(&pace, true); /* sent after the halving: it is news */
    assert_int_equal((unsigned)pace.window, 4);
    assert_int_equal(pace.congested, 2);
    assert_false(pace_has_room(&pace)); /* seven are still in flight */
}

static void it_never_falls_below_one_and_recovers(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 64);
    for (int i = 0; i < 100; i++) {
        fill(&pace);
        while (pace.in_flight > 0) {
            pace_finished(&pace, true);
        }
    }
    assert_true(pace.window >= 1);
    assert_true(pace_has_room(&pace));
    for (int i = 0; i < 200; i++) {
        one_round(&pace);
    }
    assert_int_equal((unsigned)pace.window, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_at_sixteen_or_at_a_smaller_maximum),
        cmocka_unit_test(it_grows_by_about_one_a_round_up_to_the_maximum),
        cmocka_unit_test(a_window_that_is_not_used_does_not_grow),
        cmocka_unit_test(one_overload_halves_it_once_however_many_answers_tell_of_it),
        cmocka_unit_test(it_never_falls_below_one_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
