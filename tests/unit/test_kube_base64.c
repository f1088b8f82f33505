/* Unit tests of common/kube/base64.c. */
#include "common/base/memory.h"
#include "common/kube/base64.h"

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
        AUTO_FREE char *decoded = kube_base64_decode(cases[i].text);
        if (!cases[i].expected) {
            assert_null(decoded);
        } else {
            assert_non_null(decoded);
            assert_string_equal(decoded, cases[i].expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decoding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
