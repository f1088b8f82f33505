/* Unit tests of common/base/base64.c. */
#include "common/base/base64.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_decoding(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *expected; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"YQ==", "a"},
        {"YWI=", "ab"},
        {"YWJj", "abc"},
        {"YWJj\nZGVm\r\n", "abcdef"},
        {"+/+/", "\xfb\xff\xbf"},
        {"YQ=", NULL},
        {"YQ", NULL},
        {"YQ==YQ==", NULL},
        {"Y===", NULL},
        {"====", NULL},
        {"YW-j", NULL},
        {"YQA=", NULL}, /* a NUL */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_FREE char *decoded = base64_decode_text(cases[i].text);
        if (!cases[i].expected) {
            assert_null(decoded);
        } else {
            assert_non_null(decoded);
            assert_string_equal(decoded, cases[i].expected);
        }
    }
}

static void what_is_encoded_decodes_to_itself(void **state)
{
    (void)state;
    unsigned char bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 7 + 1);
    }
    for (size_t size = 0; size <= sizeof bytes; size++) {
        AUTO_FREE char *text = base64_encode(bytes, size);
        AUTO_BUF struct buf out;
        buf_init(&out, sizeof bytes);
        assert_true(base64_decode(text, strlen(text), &out));
        assert_int_equal(out.size, size);
        assert_memory_equal(out.data, bytes, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decoding),
                                       cmocka_unit_test(what_is_encoded_decodes_to_itself)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
