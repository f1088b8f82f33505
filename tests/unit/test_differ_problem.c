/* Problems as people read them. */
#include "common/base/memory.h"
#include "differ/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_problem_names_file_line_and_object(void **state)
{
    (void)state;
    struct problems problems;
    problems_init(&problems);
    problems_add(&problems, "Deployment shop/web", "deploy/web.yaml", 3, "%s is wrong", "it");
    problems_add(&problems, "", "", 0, "all is lost");
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    problems_describe(&problems, &text);
    assert_string_equal(text.data,
                        "deploy/web.yaml:3: Deployment shop/web: it is wrong; all is lost");
    problems_release(&problems);
}

static void more_than_are_shown_are_counted(void **state)
{
    (void)state;
    struct problems problems;
    problems_init(&problems);
    for (int i = 0; i < 200; i++) {
        problems_add(&problems, "", "a.yaml", 1, "p%d", i);
    }
    assert_int_equal(problems.count, PROBLEMS_MAXIMUM);
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    problems_describe(&problems, &text);
    assert_non_null(strstr(text.data, "p9; and 190 more"));
    problems_release(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_names_file_line_and_object),
        cmocka_unit_test(more_than_are_shown_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
