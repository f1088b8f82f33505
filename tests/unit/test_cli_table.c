#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    static const char *const cells[] = {"NAME", "READY",     "AGE", "a-long-one", "True",
                                        "5m",   "M\xc3\xbc", NULL,  "1s"};
    AUTO_TABLE struct table table;
    table_init(&table, 3);
    for (size_t i = 0; i < 9; i++) {
        table_add(&table, cells[i]);
    }
    char *printed = NULL;
    size_t size;
    FILE *out = open_memstream(&printed, &size);
    table_print(&table, out);
    fclose(out);
    assert_string_equal(printed, "NAME         READY    AGE\n"
                                 "a-long-one   True     5m\n"
                                 "M\xc3\xbc           <none>   1s\n");
    free(printed);
}

static void a_text_from_the_cluster_cannot_steer_the_terminal(void **state)
{
    (void)state;
    AUTO_TABLE struct table table;
    char *printed = NULL;
    size_t size;
    table_init(&table, 1);
    table_add(&table, "a\x1b[2Jb\nc\x7f");
    FILE *out = open_memstream(&printed, &size);
    table_print(&table, out);
    table_print_text("x\x1b]0;y\a\nz", 2, out);
    fclose(out);
    assert_string_equal(printed, "a?[2Jb c?\nx?]0;y?\n  z");
    free(printed);
}

static void ages_are_told_in_one_unit(void **state)
{
    (void)state;
    static const struct {
        long seconds;
        const char *text;
    } cases[] = {{0, "0s"},       {119, "119s"},         {120, "2m"},
                 {10799, "179m"}, {10800, "3h"},         {172799, "47h"},
                 {172800, "2d"},  {86400 * 400, "400d"}, {-5, "0s"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[TABLE_AGE_SIZE];
        table_age("2026-01-01T00:00:00Z", (1767225600L + cases[i].seconds) * 1000, text);
        assert_string_equal(text, cases[i].text);
    }
    char text[TABLE_AGE_SIZE];
    table_age("yesterday", 0, text);
    assert_string_equal(text, "<unknown>");
    table_age(NULL, 0, text);
    assert_string_equal(text, "<unknown>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(a_text_from_the_cluster_cannot_steer_the_terminal),
        cmocka_unit_test(ages_are_told_in_one_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
