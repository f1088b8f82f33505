#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FFFD "\xEF\xBF\xBD"

static void test_what_servers_hold_is_read(void **state)
{
    static const struct {
        const char *name, *text, *expected, *lost; /* NULL: refused; nothing was lost */
    } cases[] = {
        {"what is strict", "{\"a\":[1,\"x\"]}", "{\"a\":[1,\"x\"]}", NULL},
        {"a replacement of its own, where nothing is lost", "\"" FFFD "\"", "\"" FFFD "\"", NULL},
        {"a zero byte", "{\"a\":\"x\\u0000y\"}", "{\"a\":\"x" FFFD "0y\"}", "zero byte"},
        {"a zero byte in a key", "{\"x\\u0000\":1}", "{\"x" FFFD "0\":1}", "zero byte"},
        {"keys stay apart", "{\"\\u0000\":1,\"" FFFD "0\":2,\"\\uFFFD\":3}",
         "{\"" FFFD "0\":1,\"" FFFD FFFD "\":3,\"" FFFD FFFD "0\":2}", "zero byte"},
        {"a backslash before it", "\"\\\\u0000\\u0000\"", "\"\\\\u0000" FFFD "0\"", "zero byte"},
        {"what is too deep", "[[[[1,\"]\"]],2],{}]", "[[[null],2],{}]", "deeply"},
        {"a quote in what is too deep", "[[[[\"\\\"]\"]]],3]", "[[[null]],3]", "deeply"},
        {"what is no JSON", "{\"a\":}", NULL, NULL},
        {"what is no JSON, and has a zero byte", "{\"a\":\"\\u0000\"", NULL, NULL},
        {"an end within a string", "\"\\u0000", NULL, NULL},
        {"an end within what is too deep", "[[[[[\"", NULL, NULL},
        {"nothing", "", NULL, NULL},
    };
    const struct json_limits limits = {1000, 3, 100};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_JSON cJSON *tree = NULL;
        AUTO_BUF struct buf text;
        const char *lost;
        struct error error = {0};
        buf_init(&text, 1000);
        bool ok = json_parse_forgiving(cases[i].text, strlen(cases[i].text), &limits, &tree, &lost,
                                       &error);
        if (ok) {
            assert_true(json_write(tree, &text));
        }
        if (ok != (cases[i].expected != NULL) ||
            (ok && !text_equal(text.data, cases[i].expected)) || !lost != !cases[i].lost ||
            (lost && !strstr(lost, cases[i].lost))) {
            fail_msg("%s: %s (%s) %s", cases[i].name, text.data, text_or_empty(lost),
                     error.message);
        }
        assert_true(ok || error.code != ERROR_NONE);
    }
}

static void test_the_text_has_its_limit(void **state)
{
    static const char text[] = "[\"\\u0000 and more of it\"]";
    const struct json_limits limits = {10, 3, 100};
    AUTO_JSON cJSON *tree = NULL;
    const char *lost;
    struct error error = {0};
    (void)state;
    assert_false(json_parse_forgiving(text, strlen(text), &limits, &tree, &lost, &error));
    assert_int_equal(error.code, ERROR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_servers_hold_is_read),
        cmocka_unit_test(test_the_text_has_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
