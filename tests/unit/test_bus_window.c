#include "common/bus/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void each_number_is_new_once(void **state)
{
    (void)state;
    struct window window;
    bus_window_clear(&window);
    static const uint64_t order[] = {1, 2, 5, 3, 4, 100, 99, 8000, 50, WINDOW_SIZE + 40, 8001};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        assert_int_equal(bus_window_look(&window, order[i]), WINDOW_NEW);
        bus_window_mark(&window, order[i]);
        assert_int_equal(bus_window_look(&window, order[i]), WINDOW_SEEN);
    }
    assert_int_equal(bus_window_look(&window, 6000), WINDOW_NEW);
}

static void what_has_left_the_window_is_too_old(void **state)
{
    (void)state;
    struct window window;
    bus_window_clear(&window);
    bus_window_mark(&window, 10);
    bus_window_mark(&window, 10 + WINDOW_SIZE - 1);
    assert_int_equal(bus_window_look(&window, 10), WINDOW_SEEN);
    bus_window_mark(&window, 10 + WINDOW_SIZE);
    assert_int_equal(bus_window_look(&window, 10), WINDOW_TOO_OLD);
    assert_int_equal(bus_window_look(&window, 11), WINDOW_NEW);
    bus_window_mark(&window, 10); /* no harm */
    assert_int_equal(bus_window_look(&window, 10 + WINDOW_SIZE), WINDOW_SEEN);
}

static void a_leap_forgets_everything_before(void **state)
{
    (void)state;
    struct window window;
    bus_window_clear(&window);
    for (uint64_t i = 1; i <= WINDOW_SIZE; i++) {
        bus_window_mark(&window, i);
    }
    uint64_t far = UINT64_MAX - 3;
    bus_window_mark(&window, far);
    assert_int_equal(bus_window_look(&window, far), WINDOW_SEEN);
    for (uint64_t i = 1; i < WINDOW_SIZE; i++) {
        assert_int_equal(bus_window_look(&window, far - i), WINDOW_NEW);
    }
    assert_int_equal(bus_window_look(&window, UINT64_MAX), WINDOW_NEW);
    bus_window_mark(&window, UINT64_MAX);
    assert_int_equal(bus_window_look(&window, UINT64_MAX), WINDOW_SEEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_is_new_once),
        cmocka_unit_test(what_has_left_the_window_is_too_old),
        cmocka_unit_test(a_leap_forgets_everything_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
