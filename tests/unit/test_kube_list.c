/* Unit tests of common/kube/list.c. */
#include "common/base/text.h"
#include "common/kube/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    struct buf items;
    unsigned stop_after;
    unsigned count;
};

static bool on_item(cJSON *tree, void *context)
{
    struct seen *seen = context;
    json_write(tree, &seen->items);
    json_free(tree);
    return ++seen->count != seen->stop_after;
}

static void test_lists_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *items;
        const char *version;
    } cases[] = {
        {"{\"kind\":\"L\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{\"a\":1},{\"b\":\"]}"
         "\\\"\"}]}\n",
         "{\"a\":1}{\"b\":\"]}\\\"\"}", "7"},
        {" { \"items\" : [ ] , \"metadata\" : { \"resourceVersion\" : \"8\" } } ", "", "8"},
        {"{\"items\":[{\"items\":[{}],\"metadata\":{\"resourceVersion\":\"9\"}}],\"x\":[[1],2]}",
         "{\"items\":[{}],\"metadata\":{\"resourceVersion\":\"9\"}}", NULL},
        {"{\"items\":[{\"a\":\"\\u0000\"},{\"b\":1}],\"metadata\":{}}",
         "{\"a\":\"\xEF\xBF\xBD"
         "0\",\"gitmoor.io/damaged\":\"a string in it holds a zero byte\"}"
         "{\"b\":1}",
         NULL},
        {"{\"items\":null,\"metadata\":{}}", "", NULL}, /* Go's nil slice */
        {"{}", "", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen seen = {0};
        struct error error;
        AUTO_JSON cJSON *metadata = NULL;
        buf_init(&seen.items, 4096);
        if (!kube_list_split(cases[i].text, strlen(cases[i].text), on_item, &seen, &metadata,
                             &error)) {
            fail_msg("%s: %s", cases[i].text, error.message);
        }
        assert_string_equal(seen.items.data, cases[i].items);
        assert_true(text_equal(json_string(metadata, "resourceVersion"), cases[i].version));
        buf_release(&seen.items);
    }
}

static void test_what_is_no_list_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "[]",
        "{",
        "{\"items\":[{}",
        "{\"items\":[{},]}",
        "{\"items\":[1]}",
        "{\"items\":[{\"a\":}]}",
        "{\"items\":[{\"a\":1,\"a\":2}]}",
        "{\"items\":[{}]",
        "{\"items\":[{}]}}",
        "{\"items\":[{}]} x",
        "{\"items\" [{}]}",
        "{items:[]}",
        "{\"metadata\":nothing,\"items\":[]}",
        "{\"items\":[{}],\"a\":\"",
        "{\"items\":[\"\\",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen seen = {0};
        struct error error;
        AUTO_JSON cJSON *metadata = NULL;
        buf_init(&seen.items, 4096);
        if (kube_list_split(cases[i], strlen(cases[i]), on_item, &seen, &metadata, &error)) {
            fail_msg("%s: was accepted", cases[i]);
        }
        assert_int_equal(error.code, ERROR_INVALID);
        buf_release(&seen.items);
    }
}

static void test_a_consumer_that_has_enough_gets_no_more(void **state)
{
    (void)state;
    struct seen seen = {.stop_after = 1};
    struct error error;
    AUTO_JSON cJSON *metadata = NULL;
    const char *text = "{\"items\":[{\"a\":1},{\"b\":2}]}";
    buf_init(&seen.items, 4096);
    assert_true(kube_list_split(text, strlen(text), on_item, &seen, &metadata, &error));
    assert_string_equal(seen.items.data, "{\"a\":1}");
    buf_release(&seen.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_taken_apart),
        cmocka_unit_test(test_what_is_no_list_is_refused),
        cmocka_unit_test(test_a_consumer_that_has_enough_gets_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
