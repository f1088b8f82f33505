#include "common/run/terminal.h"

#include "common/base/memory.h"

#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

struct terminal_case {
    const char *sentence;
    const char *text;
    int column, indent, width;
    const char *expected;
};

static const struct terminal_case cases[] = {
    {"nothing is an empty line", "", 0, 0, 10, "\n"},
    {"what fits stays on its line", "one two", 0, 2, 7, "one two\n"},
    {"what does not is broken between words", "one two three", 0, 2, 7, "one two\n  three\n"},
    {"what is taken of the first line counts", "one two", 4, 2, 10, "one\n  two\n"},
    {"a long word stands alone", "a bottleneck b", 0, 1, 5, "a\n bottleneck\n b\n"},
    {"a long word is not preceded by an empty line", "bottleneck b", 0, 1, 5, "bottleneck\n b\n"},
    {"newlines and blanks divide words", " one\n\ntwo  three ", 0, 0, 20, "one two three\n"},
    {"characters count, not bytes", "\xc3\xa4\xc3\xa4 \xc3\xb6", 0, 0, 4,
     "\xc3\xa4\xc3\xa4 \xc3\xb6\n"},
};

static void text_is_wrapped(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct terminal_case *row = &cases[i];
        AUTO_FREE char *printed = NULL;
        size_t size;
        FILE *out = open_memstream(&printed, &size);
        terminal_print(out, row->text, row->column, row->indent, row->width);
        fclose(out);
        if (strcmp(printed, row->expected) != 0) {
            fail_msg("%s: got \"%s\"", row->sentence, printed);
        }
    }
}

static void the_terminal_tells_its_width(void **state)
{
    (void)state;
    int leader, follower;
    struct winsize size = {.ws_row = 24, .ws_col = 123};
    assert_int_equal(openpty(&leader, &follower, NULL, NULL, &size), 0);
    FILE *out = fdopen(follower, "w");
    assert_int_equal(terminal_width(out), 123);
    size.ws_col = 3;
    assert_int_equal(ioctl(follower, TIOCSWINSZ, &size), 0);
    assert_int_equal(terminal_width(out), 40);
    size.ws_col = 0; /* it does not know */
    assert_int_equal(ioctl(follower, TIOCSWINSZ, &size), 0);
    assert_int_equal(terminal_width(out), 80);
    fclose(out);
    close(leader);
}

static void what_is_no_terminal_is_eighty_columns_wide(void **state)
{
    (void)state;
    FILE *out = tmpfile();
    assert_int_equal(terminal_width(out), 80);
    fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_wrapped),
        cmocka_unit_test(the_terminal_tells_its_width),
        cmocka_unit_test(what_is_no_terminal_is_eighty_columns_wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
