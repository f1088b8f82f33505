/* shown_mask, shown_strip: what a diff must not show. */
#include "cli/shown.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
    cJSON *tree = NULL;
    struct error error;
    assert_true(json_parse(text, strlen(text), NULL, &tree, &error));
    return tree;
}

static char *write(const cJSON *node)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 65536);
    assert_true(json_write(node, &text));
    return buf_detach(&text);
}

#define SECRET(annotations, data, string_data)                                                     \
    "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"annotations\":{" annotations       \
    "},\"name\":\"s\"},\"data\":{" data "},\"stringData\":{" string_data "}}"
#define LAST                                                                                       \
    "\"kubectl.kubernetes.io/last-applied-configuration\":\"{\\\"data\\\":{\\\"a\\\":\\\"c2V\\\"}" \
    "}\""

static void no_value_of_a_secret_is_left_on_either_side(void **state)
{
    (void)state;
    AUTO_JSON cJSON *before =
        parse(SECRET(LAST, "\"same\":\"c2VjcmV0\",\"other\":\"b2xk\",\"gone\":\"Z29uZQ==\"", ""));
    AUTO_JSON cJSON *after = parse(SECRET(
        "", "\"same\":\"c2VjcmV0\",\"other\":\"bmV3\",\"come\":\"Y29tZQ==\"", "\"p\":\"q\""));
    shown_mask(before, after);
    AUTO_FREE char *left = write(json_get(before, "data"));
    AUTO_FREE char *right = write(json_get(after, "data"));
    assert_string_equal(left, "{\"gone\":\"***\",\"other\":\"*** (before)\",\"same\":\"***\"}");
    assert_string_equal(right, "{\"come\":\"***\",\"other\":\"*** (after)\",\"same\":\"***\"}");
    AUTO_FREE char *whole = write(before);
    AUTO_FREE char *other = write(after);
    assert_null(strstr(whole, "c2V"));
    assert_null(strstr(other, "\"q\""));
}

static void a_secret_that_comes_or_goes_is_masked_too(void **state)
{
    (void)state;
    AUTO_JSON cJSON *one = parse(SECRET("", "\"a\":\"c2VjcmV0\"", ""));
    AUTO_JSON cJSON *two = parse(SECRET("", "\"a\":\"c2VjcmV0\"", ""));
    shown_mask(one, NULL);
    shown_mask(NULL, two);
    assert_string_equal(json_string_path(one, "data.a"), "***");
    assert_string_equal(json_string_path(two, "data.a"), "***");
}

static void other_kinds_are_shown_as_they_are(void **state)
{
    (void)state;
    AUTO_JSON cJSON *one =
        parse("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"data\":{\"a\":\"1\"}}");
    AUTO_JSON cJSON *two =
        parse("{\"apiVersion\":\"x.io/v1\",\"kind\":\"Secret\",\"data\":{\"a\":\"1\"}}");
    shown_mask(one, NULL);
    shown_mask(two, NULL);
    assert_string_equal(json_string_path(one, "data.a"), "1");
    assert_string_equal(json_string_path(two, "data.a"), "1");
}

static void what_the_server_keeps_for_itself_is_left_out(void **state)
{
    (void)state;
    AUTO_JSON cJSON *object = parse(
        "{\"kind\":\"X\",\"metadata\":{\"name\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"1\","
        "\"generation\":2,\"creationTimestamp\":null,\"managedFields\":[]},\"status\":{\"a\":1}}");
    shown_strip(object);
    AUTO_FREE char *text = write(object);
    assert_string_equal(text, "{\"kind\":\"X\",\"metadata\":{\"name\":\"n\"}}");
}

static void what_was_decrypted_is_masked_in_any_kind(void **state)
{
    (void)state;
    static const char *const texts = "[\"hunter2\",\"x\"]";
    static const struct {
        const char *before, *after, *shown_before, *shown_after;
    } cases[] = {
        {"{\"a\":\"old\",\"b\":\"c\"}", "{\"a\":\"hunter2\",\"b\":\"c\"}",
         "{\"a\":\"*** (before)\",\"b\":\"c\"}", "{\"a\":\"*** (after)\",\"b\":\"c\"}"},
        {"{\"a\":[\"x y\",\"hunter2\"]}", "{\"a\":[\"x y\",\"hunter2\"]}",
         "{\"a\":[\"x y\",\"***\"]}", "{\"a\":[\"x y\",\"***\"]}"},
        {"{}", "{\"a\":{\"b\":[{\"c\":\"url?hunter2&\",\"d\":1}]},\"e\":\"x\"}", "{}",
         "{\"a\":{\"b\":[{\"c\":\"***\",\"d\":1}]},\"e\":\"***\"}"},
        {"{\"a\":[1]}", "{\"a\":[\"hunter2\",2]}", "{\"a\":[\"*** (before)\"]}",
         "{\"a\":[\"*** (after)\",2]}"},
    };
    AUTO_JSON cJSON *hidden = NULL;
    assert_true(json_parse(texts, strlen(texts), NULL, &hidden, NULL));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO_JSON cJSON *before = NULL, *after = NULL;
        AUTO_BUF struct buf left, right;
        buf_init(&left, 1000);
        buf_init(&right, 1000);
        json_parse(cases[i].before, strlen(cases[i].before), NULL, &before, NULL);
        json_parse(cases[i].after, strlen(cases[i].after), NULL, &after, NULL);
        shown_hide(before, after, hidden);
        json_write(before, &left);
        json_write(after, &right);
        assert_string_equal(left.data, cases[i].shown_before);
        assert_string_equal(right.data, cases[i].shown_after);
    }
    shown_hide(NULL, NULL, hidden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_value_of_a_secret_is_left_on_either_side),
        cmocka_unit_test(a_secret_that_comes_or_goes_is_masked_too),
        cmocka_unit_test(other_kinds_are_shown_as_they_are),
        cmocka_unit_test(what_the_server_keeps_for_itself_is_left_out),
        cmocka_unit_test(what_was_decrypted_is_masked_in_any_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
