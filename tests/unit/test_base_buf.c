/* Unit tests of common/base/buf.c. */
#include "common/base/buf.h"

#include "common/base/error.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void it_grows_and_is_always_terminated(void **state)
{
    (void)state;
    AUTO_BUF struct buf buf;
    buf_init(&buf, 100000);
    assert_string_equal(buf.data, "");
    for (int i = 0; i < 10000; i++) {
        assert_true(buf_append_char(&buf, 'a'));
        assert_int_equal(buf.data[buf.size], '\0');
    }
    assert_int_equal(buf.size, 10000);
    assert_int_equal(strlen(buf.data), 10000);
}

static void what_does_not_fit_changes_nothing_but_marks_it_for_good(void **state)
{
    (void)state;
    AUTO_BUF struct buf buf;
    buf_init(&buf, 5);
    assert_true(buf_append_string(&buf, "abc"));
    assert_false(buf_append_string(&buf, "def"));
    assert_true(buf.overflowed);
    assert_string_equal(buf.data, "abc");
    assert_false(buf_append_char(&buf, 'd'));
    assert_false(buf_append_format(&buf, "x"));
    assert_string_equal(buf.data, "abc");
    buf_clear(&buf);
    assert_false(buf.overflowed);
    assert_true(buf_append_string(&buf, "abcde"));
    assert_string_equal(buf.data, "abcde");
}

static void a_format_grows_to_the_maximum_and_not_past_it(void **state)
{
    (void)state;
    AUTO_BUF struct buf buf;
    buf_init(&buf, 1000);
    assert_true(buf_append_format(&buf, "%0998d", 7));
    assert_int_equal(buf.size, 998);
    assert_false(buf_append_format(&buf, "%03d", 1));
    assert_int_equal(buf.size, 998);
    assert_int_equal(strlen(buf.data), 998);
    buf_clear(&buf);
    assert_true(buf_append_format(&buf, "%01000d", 7));
    assert_int_equal(buf.size, 1000);
    assert_int_equal(strlen(buf.data), 1000);
}

static void a_maximum_of_zero_holds_nothing(void **state)
{
    (void)state;
    AUTO_BUF struct buf buf;
    buf_init(&buf, 0);
    assert_true(buf_append(&buf, NULL, 0));
    assert_false(buf_append_char(&buf, 'a'));
    assert_string_equal(buf.data, "");
}

static void sizes_that_would_wrap_around_are_refused(void **state)
{
    (void)state;
    AUTO_BUF struct buf buf;
    buf_init(&buf, 10);
    assert_true(buf_append_string(&buf, "abc"));
    assert_false(buf_append(&buf, "x", SIZE_MAX));
    assert_string_equal(buf.data, "abc");
}

static void percent_encoding(void **state)
{
    (void)state;
    AUTO_BUF struct buf buf;
    buf_init(&buf, 100);
    assert_true(buf_append_percent(&buf, " a/b?c%d-._~\xc3\xa4"));
    assert_string_equal(buf.data, "%20a%2Fb%3Fc%25d-._~%C3%A4");
}

static void consuming_drops_the_front(void **state)
{
    (void)state;
    AUTO_BUF struct buf buf;
    buf_init(&buf, 100);
    buf_append_string(&buf, "abcdef");
    buf_consume(&buf, 2);
    assert_string_equal(buf.data, "cdef");
    buf_consume(&buf, 0);
    assert_int_equal(buf.size, 4);
    buf_consume(&buf, 100);
    assert_int_equal(buf.size, 0);
    assert_string_equal(buf.data, "");
}

static void a_detached_text_is_the_callers_and_the_buffer_goes_on(void **state)
{
    (void)state;
    AUTO_BUF struct buf buf;
    buf_init(&buf, 100);
    buf_append_string(&buf, "abc");
    AUTO_FREE char *text = buf_detach(&buf);
    assert_string_equal(text, "abc");
    assert_int_equal(buf.size, 0);
    assert_true(buf_append_string(&buf, "d"));
    assert_string_equal(buf.data, "d");
}

static void a_released_buffer_may_be_released_again(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 10);
    buf_release(&buf);
    buf_release(&buf);
    struct buf zeroed = {0};
    buf_release(&zeroed);
}

static void files_are_read_whole_or_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/gitmoor-test-buf-XXXXXX";
    AUTO_CLOSE int fd = mkstemp(path);
    static char content[100000];
    memset(content, 'z', sizeof content);
    assert_int_equal(write(fd, content, sizeof content), sizeof content);
    struct error error;
    AUTO_BUF struct buf exact, small;
    buf_init(&exact, sizeof content);
    assert_true(buf_read_file(&exact, path, &error));
    assert_int_equal(exact.size, sizeof content);
    buf_init(&small, sizeof content - 1);
    assert_false(buf_read_file(&small, path, &error));
    assert_int_equal(error.code, ERROR_LIMIT);
    assert_non_null(strstr(error.message, path));
    unlink(path);
    assert_false(buf_read_file(&exact, path, &error));
    assert_int_equal(error.code, ERROR_NOT_FOUND);
    assert_false(buf_read_file(&exact, "/", &error));
    assert_int_equal(error.code, ERROR_SYSTEM);
    assert_false(buf_read_file(&exact, path, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_and_is_always_terminated),
        cmocka_unit_test(what_does_not_fit_changes_nothing_but_marks_it_for_good),
        cmocka_unit_test(a_format_grows_to_the_maximum_and_not_past_it),
        cmocka_unit_test(a_maximum_of_zero_holds_nothing),
        cmocka_unit_test(sizes_that_would_wrap_around_are_refused),
        cmocka_unit_test(percent_encoding),
        cmocka_unit_test(consuming_drops_the_front),
        cmocka_unit_test(a_detached_text_is_the_callers_and_the_buffer_goes_on),
        cmocka_unit_test(a_released_buffer_may_be_released_again),
        cmocka_unit_test(files_are_read_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
