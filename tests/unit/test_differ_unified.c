/* unified_diff: the lines of a unified diff, in order. */
#include "common/base/buf.h"
#include "differ/unified.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void take(char origin, const char *text, size_t size, void *context)
{
    struct buf *out = context;
    if (origin != '@') {
        buf_append_char(out, origin);
    }
    buf_append(out, text, size);
    buf_append_char(out, '|');
}

static const struct row {
    const char *before, *after, *wanted;
} rows[] = {
    {"a\n", "a\n", ""},
    {"a\nb\nc\n", "a\nx\nc\n", "@@ -1,3 +1,3 @@| a|-b|+x| c|"},
    {"", "a\n", "@@ -0,0 +1 @@|+a|"},
    {"a\n", "", "@@ -1 +0,0 @@|-a|"},
    {"a\nb", "a\nc", "@@ -1,2 +1,2 @@| a|-b|+c|"}, /* no remark on the line break that is missing */
    {"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\nx\n3\n4\n5\n6\n7\ny\n9\n",
     "@@ -1,3 +1,3 @@| 1|-2|+x| 3|@@ -7,3 +7,3 @@| 7|-8|+y| 9|"},
};

static void lines_are_told_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_BUF struct buf out;
        struct error error;
        buf_init(&out, 65536);
        buf_append_char(&out, '|');
        assert_true(unified_diff(rows[i].before, rows[i].after, 1, take, &out, &error));
        assert_string_equal(out.data + 1, rows[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_told_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
