/* When an application is looked at again. */
#include "differ/application.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_try_that_comes_due_while_it_works_is_not_lost(void **state)
{
    (void)state;
    static const struct {
        const char *sentence;
        int64_t retry_at, began, now, left;
    } cases[] = {
        {"nothing is to be tried again", 0, 1000, 1010, -1},
        {"it was due before, and has been tried", 1000, 1000, 1010, -1},
        {"it came to be due after that was looked at", 1001, 1000, 1001, 0},
        {"it came to be due long before the end", 1001, 1000, 1010, 0},
        {"it is not due yet", 3000, 1000, 1010, 1990},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct application application = {.retry_at = cases[i].retry_at};
        if (application_retry_left(&application, cases[i].began, cases[i].now) != cases[i].left) {
            fail_msg("%s", cases[i].sentence);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_try_that_comes_due_while_it_works_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
