/* quote_shell: what is printed for a shell is read by it as the word it was. */
#include "cli/quote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct row {
    const char *word, *quoted;
} rows[] = {
    {"shop", "shop"},
    {"system:serviceaccount:a:b", "system:serviceaccount:a:b"},
    {"", "''"},
    {"INC 1", "'INC 1'"},
    {"it's; rm -rf $HOME `x`", "'it'\\''s; rm -rf $HOME `x`'"},
    {"a\nb\x1b[31m", "'a?b?[31m'"},
    {"gr\xc3\xbc\xc3\x9f", "'gr\xc3\xbc\xc3\x9f'"},
};

static void words_are_quoted_where_they_need_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_BUF struct buf out;
        buf_init(&out, 1024);
        quote_shell(&out, rows[i].word);
        assert_string_equal(out.data, rows[i].quoted);
    }
}

static void an_option_without_a_value_is_left_out(void **state)
{
    (void)state;
    AUTO_BUF struct buf out;
    buf_init(&out, 1024);
    quote_option(&out, "context", NULL);
    quote_option(&out, "as", "a b");
    assert_string_equal(out.data, " --as='a b'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_quoted_where_they_need_it),
        cmocka_unit_test(an_option_without_a_value_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
