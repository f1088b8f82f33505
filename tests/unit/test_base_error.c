/* Unit tests of common/base/error.c. */
#include "common/base/error.h"

#include "common/base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void an_error_tells_code_and_message_and_is_false(void **state)
{
    (void)state;
    struct error error;
    memset(&error, 0xAA, sizeof error);
    assert_false(error_set(&error, ERROR_NOT_FOUND, "no %s in %d", "branch", 3));
    assert_int_equal(error.code, ERROR_NOT_FOUND);
    assert_int_equal(error.sys, 0);
    assert_false(error.retryable);
    assert_string_equal(error.message, "no branch in 3");
    assert_false(error_set(NULL, ERROR_INVALID, "nobody listens"));
    assert_false(error_set_errno(NULL, ENOENT, "nobody listens"));
    assert_false(error_prefix(NULL, "nobody listens"));
}

static void only_what_may_pass_by_itself_is_retryable(void **state)
{
    (void)state;
    struct error error;
    for (int code = ERROR_INVALID; code <= ERROR_INTERNAL; code++) {
        error_set(&error, (enum error_code)code, "x");
        bool expected =
            code == ERROR_UNAVAILABLE || code == ERROR_TIMEOUT || code == ERROR_CONFLICT;
        assert_int_equal(error.retryable, expected);
    }
}

static void errno_is_kept_and_spelled_out(void **state)
{
    (void)state;
    struct error error;
    error_set_errno(&error, ENOENT, "cannot open %s", "/a");
    assert_int_equal(error.code, ERROR_SYSTEM);
    assert_int_equal(error.sys, ENOENT);
    assert_string_equal(error.message, "cannot open /a: No such file or directory");
}

static void a_prefix_keeps_the_rest(void **state)
{
    (void)state;
    struct error error;
    error_set_errno(&error, EACCES, "open");
    error_prefix(&error, "%s:%d", "shop.yaml", 7);
    assert_string_equal(error.message, "shop.yaml:7: open: Permission denied");
    assert_int_equal(error.sys, EACCES);
}

static void a_message_may_be_made_of_the_one_before(void **state)
{
    (void)state;
    struct error error;
    error_set(&error, ERROR_INVALID, "no such key");
    error_set(&error, ERROR_DENIED, "shop/web: %s", error.message);
    assert_string_equal(error.message, "shop/web: no such key");
    error_set_errno(&error, ENOENT, "%s", error.message);
    assert_string_equal(error.message, "shop/web: no such key: No such file or directory");
}

static void a_long_message_ends_in_an_ellipsis_between_characters(void **state)
{
    (void)state;
    struct error error;
    static char text[3 * ERROR_MESSAGE_SIZE];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 3);
            text[i + 3] = '\0';
        }
        error_set(&error, ERROR_INVALID, "%s", text);
        size_t size = strlen(error.message);
        assert_true(size < ERROR_MESSAGE_SIZE && size > ERROR_MESSAGE_SIZE - 8);
        assert_true(text_has_suffix(error.message, "\xe2\x82\xac…"));
        assert_true(text_is_utf8(error.message, size));

        error_prefix(&error, "and");
        size = strlen(error.message);
        assert_true(text_has_prefix(error.message, "and: "));
        assert_true(text_has_suffix(error.message, "…"));
        assert_true(text_is_utf8(error.message, size));
    }
}

static void a_message_that_just_fits_has_no_ellipsis(void **state)
{
    (void)state;
    struct error error;
    char text[ERROR_MESSAGE_SIZE];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    error_set(&error, ERROR_INVALID, "%s", text);
    assert_string_equal(error.message, text);
}

static void long_contexts_are_cut_between_characters_too(void **state)
{
    (void)state;
    struct error error;
    char text[2 * ERROR_MESSAGE_SIZE];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 3);
            text[i + 3] = '\0';
        }
        error_set_errno(&error, ENOENT, "%s", text);
        assert_true(text_is_utf8(error.message, strlen(error.message)));
        assert_true(text_has_suffix(error.message, "…: No such file or directory"));
        error_set(&error, ERROR_INVALID, "why");
        error_prefix(&error, "%s", text);
        assert_true(text_is_utf8(error.message, strlen(error.message)));
        assert_true(text_has_suffix(error.message, "…: why"));
    }
}

static void every_code_has_a_name(void **state)
{
    (void)state;
    for (int code = ERROR_NONE; code <= ERROR_INTERNAL; code++) {
        assert_non_null(error_code_name((enum error_code)code));
        assert_string_not_equal(error_code_name((enum error_code)code), "Unknown");
    }
    assert_string_equal(error_code_name((enum error_code)99), "Unknown");
    assert_string_equal(error_code_name((enum error_code) - 1), "Unknown");
}

static void a_cleared_error_is_none(void **state)
{
    (void)state;
    struct error error;
    error_set_errno(&error, EIO, "x");
    error.retryable = true;
    error_clear(&error);
    assert_int_equal(error.code, ERROR_NONE);
    assert_int_equal(error.sys, 0);
    assert_false(error.retryable);
    assert_string_equal(error.message, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_tells_code_and_message_and_is_false),
        cmocka_unit_test(only_what_may_pass_by_itself_is_retryable),
        cmocka_unit_test(errno_is_kept_and_spelled_out),
        cmocka_unit_test(a_prefix_keeps_the_rest),
        cmocka_unit_test(a_message_may_be_made_of_the_one_before),
        cmocka_unit_test(a_long_message_ends_in_an_ellipsis_between_characters),
        cmocka_unit_test(a_message_that_just_fits_has_no_ellipsis),
        cmocka_unit_test(long_contexts_are_cut_between_characters_too),
        cmocka_unit_test(every_code_has_a_name),
        cmocka_unit_test(a_cleared_error_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
