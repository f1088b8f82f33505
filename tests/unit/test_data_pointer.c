#include "common/data/pointer.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The document of RFC 6901, section 5, and what this project adds to it. */
static const char document_text[] =
    "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,"
    "\"k\\\"l\":6,\" \":7,\"m~n\":8,\"~1\":9,\"list\":[[10],{\"x\":11}],\"null\":null}";

static cJSON *document(void)
{
    cJSON *tree = NULL;
    assert_true(json_parse(document_text, strlen(document_text), NULL, &tree, NULL));
    return tree;
}

static void pointers_find_what_the_rfc_says(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = document();
    static const struct {
        const char *pointer, *wanted; /* NULL: absent */
    } cases[] = {
        {"/foo", "[\"bar\",\"baz\"]"},
        {"/foo/0", "\"bar\""},
        {"/foo/1", "\"baz\""},
        {"/", "0"},
        {"/a~1b", "1"},
        {"/c%d", "2"},
        {"/e^f", "3"},
        {"/g|h", "4"},
        {"/i\\j", "5"},
        {"/k\"l", "6"},
        {"/ ", "7"},
        {"/m~0n", "8"},
        {"/~01", "9"},
        {"/list/0/0", "10"},
        {"/list/1/x", "11"},
        {"/null", "null"},
        {"/foo/2", NULL},
        {"/foo/-", NULL},
        {"/foo/00", NULL},
        {"/foo/01", NULL},
        {"/foo/1e0", NULL},
        {"/foo/", NULL},
        {"/foo/99999999999999999999", NULL},
        {"/foo/0/x", NULL},
        {"/fo", NULL},
        {"/food", NULL},
        {"/a/b", NULL},
        {"/m~n", NULL}, /* not a pointer */
        {"foo", NULL},  /* not a pointer */
        {"/null/x", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("  %s\n", cases[i].pointer);
        const cJSON *node = pointer_get(tree, cases[i].pointer);
        if (!cases[i].wanted) {
            assert_null(node);
            continue;
        }
        AUTO_BUF struct buf out;
        buf_init(&out, 4096);
        assert_non_null(node);
        assert_true(json_write(node, &out));
        assert_string_equal(out.data, cases[i].wanted);
    }
    assert_ptr_equal(pointer_get(tree, ""), tree);
    assert_null(pointer_get(NULL, "/foo"));
}

static void malformed_pointers_are_refused_with_the_reason(void **state)
{
    (void)state;
    struct error error = {0};
    assert_true(pointer_is_valid("", &error));
    assert_true(pointer_is_valid("/a~0b~1c", &error));
    assert_false(pointer_is_valid("a", &error));
    assert_string_equal(error.message, "JSON pointer \"a\": it must be empty or begin with \"/\"");
    assert_false(pointer_is_valid("/a~", &error));
    assert_false(pointer_is_valid("/a~2", &error));
    assert_string_equal(error.message,
                        "JSON pointer \"/a~2\": \"~\" must be followed by 0 or 1 (\"~0\" stands "
                        "for a tilde, \"~1\" for a slash)");
    assert_false(pointer_is_valid(NULL, &error));
}

static void removing_takes_the_node_and_nothing_else(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = document();
    assert_true(pointer_remove(tree, "/foo/0"));
    assert_string_equal(pointer_get(tree, "/foo/0")->valuestring, "baz");
    assert_true(pointer_remove(tree, "/foo/0"));
    assert_non_null(json_array(tree, "foo"));
    assert_true(pointer_remove(tree, "/a~1b"));
    assert_false(pointer_remove(tree, "/a~1b"));
    assert_false(pointer_remove(tree, ""));
    assert_false(pointer_remove(tree, "/list/7"));
    assert_int_equal(json_size(tree), 12);
}

static bool append_node(const cJSON *node, void *context)
{
    struct buf *out = context;
    buf_append_string(out, out->size > 0 ? " " : "");
    if (!node) {
        buf_append_string(out, "absent");
    } else {
        json_write(node, out);
    }
    return true;
}

static bool stop_at_first(const cJSON *node, void *context)
{
    (void)node;
    ++*(int *)context;
    return false;
}

static void a_star_leads_to_every_item_or_member(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[{\"b\":1},{\"b\":[2,3]},{},4],\"m\":{\"x\":{\"b\":5},\"y\":null},\"*\":6}";
    static const struct {
        const char *pointer, *wanted;
        size_t stars;
    } cases[] = {
        {"/a/0/b", "1", 0},     {"/a/7/b", "absent", 0},   {"/a/*/b", "1 [2,3] absent absent", 1},
        {"/a/*/b/*", "2 3", 2}, {"/m/*/b", "5 absent", 1}, {"/m/*", "{\"b\":5} null", 1},
        {"/none/*/b", "", 1},   {"/none/b", "absent", 0},  {"/a/*x", "absent", 0},
        {"no pointer", "", 0},
    };
    AUTO_JSON cJSON *tree = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &tree, NULL));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUF struct buf out;
        buf_init(&out, 4096);
        pointer_each(tree, cases[i].pointer, append_node, &out);
        assert_string_equal(out.data, cases[i].wanted);
        assert_int_equal(pointer_stars(cases[i].pointer), cases[i].stars);
    }
    int visits = 0;
    pointer_each(tree, "/a/*/b/*", stop_at_first, &visits);
    assert_int_equal(visits, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointers_find_what_the_rfc_says),
        cmocka_unit_test(malformed_pointers_are_refused_with_the_reason),
        cmocka_unit_test(removing_takes_the_node_and_nothing_else),
        cmocka_unit_test(a_star_leads_to_every_item_or_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
