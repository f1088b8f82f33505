#include "common/data/json.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
    cJSON *tree = NULL;
    struct error error = {0};
    if (!json_parse(text, strlen(text), NULL, &tree, &error)) {
        fail_msg("%s: %s", text, error.message);
    }
    return tree;
}

static char *canonical(const cJSON *tree)
{
    AUTO_BUF struct buf out;
    buf_init(&out, 1 << 20);
    assert_true(json_write(tree, &out));
    return buf_detach(&out);
}

static void assert_canonical(const char *text, const char *wanted)
{
    AUTO_JSON cJSON *tree = parse(text);
    AUTO_FREE char *written = canonical(tree);
    assert_string_equal(written, wanted);
}

static void what_is_read_is_written_canonically(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *text, *wanted;
    } cases[] = {
        {"a scalar is a document", " 1 ", "1"},
        {"keys are sorted by byte order", "{\"b\":1,\"a\":2,\"B\":3}", "{\"B\":3,\"a\":2,\"b\":1}"},
        {"keys are sorted at every depth", "[{\"b\":{\"d\":1,\"c\":2},\"a\":[]}]",
         "[{\"a\":[],\"b\":{\"c\":2,\"d\":1}}]"},
        {"white space goes", "\t[ 1 ,\r\n 2 ] \n", "[1,2]"},
        {"integers beyond a double stay exact", "[9007199254740993,1000000000000000000]",
         "[9007199254740993,1000000000000000000]"},
        {"a long integer is not written with an exponent", "1234567890123460", "1234567890123460"},
        {"numbers keep their own text", "[1.0,1e3,-0,0.10,1E-7]", "[1.0,1e3,-0,0.10,1E-7]"},
        {"numbers inside objects keep their order", "{\"z\":1,\"a\":[2,{\"y\":3}],\"b\":4}",
         "{\"a\":[2,{\"y\":3}],\"b\":4,\"z\":1}"},
        {"escapes that need not be are not", "\"\\u0041\\/\\u00e9\\ud83d\\ude00\"",
         "\"A/\xc3\xa9\xf0\x9f\x98\x80\""},
        {"escapes that must be are", "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001F\"",
         "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\""},
        {"DEL and non-characters are ordinary", "\"\x7f\xef\xbf\xbf\"", "\"\x7f\xef\xbf\xbf\""},
        {"words", "[true,false,null]", "[true,false,null]"},
        {"empty containers", "{\"a\":{},\"b\":[],\"\":\"\"}", "{\"\":\"\",\"a\":{},\"b\":[]}"},
        {"keys that differ in case are two", "{\"a\":1,\"A\":2}", "{\"A\":2,\"a\":1}"},
        {"the same key in different objects is fine", "[{\"a\":1},{\"a\":{\"a\":1}}]",
         "[{\"a\":1},{\"a\":{\"a\":1}}]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("  %s\n", cases[i].sentence);
        assert_canonical(cases[i].text, cases[i].wanted);
        assert_canonical(cases[i].wanted, cases[i].wanted);
    }
}

static void what_is_not_json_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *text, *message;
    } cases[] = {
        {"nothing", "", "line 1, column 1: the text ends too early"},
        {"blanks only", " \n ", "line 2, column 2: the text ends too early"},
        {"trailing garbage", "{} x", "line 1, column 4: nothing may follow the value"},
        {"two values", "1 2", "line 1, column 3: nothing may follow the value"},
        {"a byte order mark", "\xef\xbb\xbf{}", "line 1, column 1: a value is expected here"},
        {"an open array", "[1", "line 1, column 3: the text ends too early"},
        {"a trailing comma", "[1,]", "line 1, column 4: a value is expected here"},
        {"a trailing comma in an object", "{\"a\":1,}",
         "line 1, column 8: a key in quotes is expected here"},
        {"a missing comma", "[1 2]", "line 1, column 4: \",\" or \"]\" is expected here"},
        {"a missing colon", "{\"a\" 1}", "line 1, column 6: \":\" is expected here"},
        {"a bare key", "{a:1}", "line 1, column 2: a key in quotes is expected here"},
        {"the wrong bracket", "[1}", "line 1, column 3: \",\" or \"]\" is expected here"},
        {"NaN", "NaN", "line 1, column 1: a value is expected here"},
        {"a word cut short", "[tru", "line 1, column 2: a value is expected here"},
        {"a leading zero", "01", "line 1, column 1: malformed number"},
        {"a leading plus", "+1", "line 1, column 1: a value is expected here"},
        {"a bare point", "1.", "line 1, column 1: malformed number"},
        {"an empty exponent", "1e+", "line 1, column 1: malformed number"},
        {"a lone minus", "-", "line 1, column 1: malformed number"},
        {"hexadecimal", "0x1", "line 1, column 2: nothing may follow the value"},
        {"a number that no double holds", "[\n1e999]", "line 2, column 1: a number is too large"},
        {"\\u0000 in a value", "{\"a\":\"x\\u0000y\"}",
         "line 1, column 8: \\u0000 is not allowed in a string"},
        {"\\u0000 in a key", "{\"a\\u0000\":1}",
         "line 1, column 4: \\u0000 is not allowed in a string"},
        {"a lone high surrogate", "\"\\ud800\"",
         "line 1, column 2: half of a surrogate pair stands alone"},
        {"a lone low surrogate", "\"\\udc00\"",
         "line 1, column 2: half of a surrogate pair stands alone"},
        {"a high surrogate before a plain escape", "\"\\ud800\\u0041\"",
         "line 1, column 2: half of a surrogate pair stands alone"},
        {"a short escape", "\"\\u12\"", "line 1, column 2: \\u needs four hexadecimal digits"},
        {"an unknown escape", "\"\\x\"", "line 1, column 2: unknown escape in a string"},
        {"a raw line break", "\"a\nb\"",
         "line 1, column 3: a control character in a string must be escaped"},
        {"a string that is not ended", "[\"abc", "line 1, column 2: a string is not ended"},
        {"a string that ends in a backslash", "\"abc\\", "line 1, column 5: a string is not ended"},
        {"an invalid byte", "\"abcdefghi\xff\"", "line 1, column 11: invalid UTF-8"},
        {"an overlong sequence", "\"\xc0\xaf\"", "line 1, column 2: invalid UTF-8"},
        {"a surrogate in UTF-8", "\"\xed\xa0\x80\"", "line 1, column 2: invalid UTF-8"},
        {"beyond Unicode", "\"\xf4\x90\x80\x80\"", "line 1, column 2: invalid UTF-8"},
        {"a sequence cut short", "\"\xe2\x82\"", "line 1, column 2: invalid UTF-8"},
        {"a duplicate key", "{\"a\":1,\n \"a\":2}", "line 2, column 2: duplicate key \"a\""},
        {"a duplicate key spelt with an escape", "{\"a\":1,\"\\u0061\":2}",
         "line 1, column 8: duplicate key \"a\""},
        {"a duplicate key deep inside", "{\"x\":{\"y\":[1,{\"k\":{\"q\":1},\"k\":2}]}}",
         "line 1, column 27: duplicate key \"k\""},
        {"columns count characters", "[\"\xc3\xa9\xc3\xa9\", x]",
         "line 1, column 8: a value is expected here"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("  %s\n", cases[i].sentence);
        cJSON *tree = NULL;
        struct error error = {0};
        assert_false(json_parse(cases[i].text, strlen(cases[i].text), NULL, &tree, &error));
        assert_null(tree);
        assert_string_equal(error.message, cases[i].message);
        assert_int_equal(error.code, ERROR_INVALID);
    }
}

static void a_nul_byte_is_refused(void **state)
{
    (void)state;
    cJSON *tree = NULL;
    struct error error = {0};
    assert_false(json_parse("\"a\0b\"", 5, NULL, &tree, &error));
    assert_false(json_parse("{}\0", 3, NULL, &tree, &error));
}

static void the_text_need_not_be_terminated(void **state)
{
    (void)state;
    static const char *const texts[] = {"[1]", "12", "true", "{\"a\":\"b\"}", "\"x\"", "1 "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t size = strlen(texts[i]);
        AUTO_FREE char *exact = malloc(size); /* the sanitizer guards its end */
        assert_non_null(exact);
        memcpy(exact, texts[i], size);
        AUTO_JSON cJSON *tree = NULL;
        assert_true(json_parse(exact, size, NULL, &tree, NULL));
    }
}

static void assert_limit(const char *text, struct json_limits limits, const char *message)
{
    cJSON *tree = NULL;
    struct error error = {0};
    assert_false(json_parse(text, strlen(text), &limits, &tree, &error));
    assert_int_equal(error.code, ERROR_LIMIT);
    assert_string_equal(error.message, message);
}

static void limits_hold_and_are_named(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = NULL;
    const struct json_limits exact = {.bytes = 9, .depth = 3, .nodes = 4};
    assert_true(json_parse("[[[1]]]  ", 9, &exact, &tree, NULL));
    assert_limit("[[[1]]]   ", exact, "line 1, column 1: the text is too large");
    assert_limit("[[[[]]]]", exact, "line 1, column 4: nested too deeply");
    assert_limit("[1,2,3,4]", exact, "line 1, column 8: too many values");
    assert_limit("{\"a\":{}}", (struct json_limits){100, 1, 100},
                 "line 1, column 6: nested too deeply");
    assert_limit("1234567890123456789012345678901234567890123456789012345678901234",
                 json_default_limits, "line 1, column 1: a number is longer than 63 characters");
}

static void deep_nesting_is_refused_whatever_the_limits_say(void **state)
{
    (void)state;
    enum { SIZE = 100000 };
    AUTO_FREE char *text = malloc(SIZE);
    memset(text, '[', SIZE);
    cJSON *tree = NULL;
    struct error error = {0};
    const struct json_limits wide = {.bytes = SIZE, .depth = 1u << 30, .nodes = SIZE};
    assert_false(json_parse(text, SIZE, &wide, &tree, &error));
    assert_string_equal(error.message, "line 1, column 1001: nested too deeply");
    assert_false(json_parse(text, SIZE, NULL, &tree, &error));
    assert_string_equal(error.message, "line 1, column 101: nested too deeply");
    memset(text + 1000, ']', 1000);
    assert_true(json_parse(text, 2000, &wide, &tree, &error));
    json_free(tree);
}

static char *many_keys(size_t count, bool duplicate)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 64 << 20);
    buf_append_char(&text, '{');
    for (size_t i = 0; i < count; i++) {
        size_t key = duplicate && i == count - 1 ? count / 2 : i;
        buf_append_format(&text, "%s\"key-%zu\":%zu", i ? ",\n" : "", key, i);
    }
    buf_append_char(&text, '}');
    return buf_detach(&text);
}

static void large_objects_are_read_and_their_duplicates_found(void **state)
{
    (void)state;
    static const size_t counts[] = {3, 15, 16, 17, 18, 100, 100000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        AUTO_FREE char *text = many_keys(counts[i], false);
        AUTO_JSON cJSON *tree = parse(text);
        assert_int_equal(json_size(tree), counts[i]);
        AUTO_FREE char *bad = many_keys(counts[i], true);
        cJSON *none = NULL;
        struct error error = {0};
        assert_false(json_parse(bad, strlen(bad), NULL, &none, &error));
        AUTO_FREE char *wanted = mem_format("line %zu, column %d: duplicate key \"key-%zu\"",
                                            counts[i], 1, counts[i] / 2);
        assert_string_equal(error.message, wanted);
    }
}

static void pretty_text_keeps_the_order_of_keys(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = parse("{\"b\":[1,{\"c\":null}],\"a\":{},\"d\":[],\"e\":\"x\"}");
    AUTO_BUF struct buf out;
    buf_init(&out, 4096);
    assert_true(json_write_pretty(tree, &out));
    assert_string_equal(out.data, "{\n"
                                  "  \"b\": [\n"
                                  "    1,\n"
                                  "    {\n"
                                  "      \"c\": null\n"
                                  "    }\n"
                                  "  ],\n"
                                  "  \"a\": {},\n"
                                  "  \"d\": [],\n"
                                  "  \"e\": \"x\"\n"
                                  "}");
}

static void a_full_buffer_is_reported(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = parse("[1,2,3,\"abcdef\"]");
    AUTO_BUF struct buf out;
    buf_init(&out, 10);
    assert_false(json_write(tree, &out));
    buf_clear(&out);
    assert_false(json_write_pretty(tree, &out));
}

static void invalid_utf8_in_a_built_string_is_written_as_replacement(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = json_new_string("a\xff"
                                            "b\xe2\x82");
    AUTO_FREE char *text = canonical(tree);
    assert_string_equal(text, "\"a\xef\xbf\xbd"
                              "b\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void equality_is_that_of_json_values(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *left, *right;
        bool equal;
    } cases[] = {
        {"keys in any order", "{\"a\":1,\"b\":{\"c\":2,\"d\":3}}",
         "{\"b\":{\"d\":3,\"c\":2},\"a\":1}", true},
        {"items in their order", "[1,2]", "[2,1]", false},
        {"an array that is longer", "[1]", "[1,2]", false},
        {"an object that has more", "{\"a\":1}", "{\"a\":1,\"b\":2}", false},
        {"another key", "{\"a\":1}", "{\"b\":1}", false},
        {"another value behind the same keys", "{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}", false},
        {"1 and 1.0", "1", "1.0", true},
        {"1000 and 1e3", "1000", "1e3", true},
        {"0.001 and 1e-3", "0.001", "1e-3", true},
        {"100e-2 and 1", "100e-2", "1", true},
        {"0 and -0.0e5", "0", "-0.0e5", true},
        {"1 and -1", "1", "-1", false},
        {"10 and 1", "10", "1", false},
        {"0.1 and 0.01", "0.1", "0.01", false},
        {"neighbours beyond a double", "9007199254740993", "9007199254740992", false},
        {"a number and a string", "1", "\"1\"", false},
        {"true and false", "true", "false", false},
        {"null and false", "null", "false", false},
        {"empty containers of two kinds", "{}", "[]", false},
        {"strings that differ in case", "\"a\"", "\"A\"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("  %s\n", cases[i].sentence);
        AUTO_JSON cJSON *left = parse(cases[i].left);
        AUTO_JSON cJSON *right = parse(cases[i].right);
        assert_int_equal(json_equal(left, right), cases[i].equal);
        assert_int_equal(json_equal(right, left), cases[i].equal);
        AUTO_JSON cJSON *copy = json_copy(left);
        assert_true(json_equal(left, copy));
    }
    assert_true(json_equal(NULL, NULL));
    AUTO_JSON cJSON *null = json_new_null();
    assert_false(json_equal(NULL, null));
}

static void large_objects_in_reverse_order_are_equal(void **state)
{
    (void)state;
    AUTO_JSON cJSON *left = json_new_object();
    AUTO_JSON cJSON *right = json_new_object();
    enum { COUNT = 20000 };
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        json_add_int(left, key, i);
        snprintf(key, sizeof key, "%d", COUNT - 1 - i);
        json_add_int(right, key, COUNT - 1 - i);
    }
    assert_true(json_equal(left, right));
}

static void integers_are_read_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool whole;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"0e9999999", true, 0},
        {"42", true, 42},
        {"-7.00", true, -7},
        {"1e3", true, 1000},
        {"12.5e1", true, 125},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"1e19", false, 0},
        {"1.5", false, 0},
        {"1e-1", false, 0},
        {"1e-99999999999999999999", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_JSON cJSON *number = json_new_number(cases[i].text);
        int64_t value = 0;
        assert_int_equal(json_to_int(number, &value), cases[i].whole);
        assert_true(value == cases[i].value);
        assert_string_equal(json_number_text(number), cases[i].text);
    }
    AUTO_JSON cJSON *string = json_new_string("1");
    int64_t value;
    assert_false(json_to_int(string, &value));
    assert_false(json_to_int(NULL, &value));
    assert_null(json_number_text(string));
    assert_null(json_new_number("1x"));
    assert_null(json_new_number(""));
    assert_null(json_new_number(NULL));
}

static void reading_never_minds_what_is_absent(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = parse("{\"s\":\"x\",\"t\":true,\"f\":false,\"i\":5,\"a\":[1],\"o\":"
                                  "{\"p\":{\"q\":\"deep\"}},\"n\":null,\"dotted.key\":\"no\"}");
    assert_string_equal(json_string(tree, "s"), "x");
    assert_null(json_string(tree, "S"));
    assert_null(json_string(tree, "i"));
    assert_null(json_string(NULL, "s"));
    assert_string_equal(json_string_path(tree, "o.p.q"), "deep");
    assert_null(json_string_path(tree, "o.p"));
    assert_null(json_string_path(tree, "o.p.q.r"));
    assert_null(json_string_path(tree, "o..q"));
    assert_null(json_string_path(tree, "dotted.key"));
    assert_null(json_string_path(tree, ""));
    assert_null(json_get_path(NULL, "o.p"));
    assert_true(json_bool(tree, "t", false));
    assert_false(json_bool(tree, "f", true));
    assert_true(json_bool(tree, "i", true));
    assert_false(json_bool(tree, "missing", false));
    assert_int_equal(json_int(tree, "i", 9), 5);
    assert_int_equal(json_int(tree, "s", 9), 9);
    assert_non_null(json_object(tree, "o"));
    assert_null(json_object(tree, "a"));
    assert_non_null(json_array(tree, "a"));
    assert_null(json_array(tree, "o"));
    assert_int_equal(json_size(tree), 8);
    assert_int_equal(json_size(json_get(tree, "s")), 0);
    assert_null(json_first(json_get(tree, "s")));
    assert_null(json_first(NULL));
    assert_null(json_get(tree, NULL));
    assert_null(json_get(json_get(tree, "a"), "0"));
    assert_null(json_copy(NULL));
}

static void trees_are_built_and_changed(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = json_new_object();
    json_add_string(tree, "s", "x");
    assert_null(json_add_string(tree, "none", NULL));
    json_add_int(tree, "i", INT64_MIN);
    json_add_bool(tree, "b", true);
    json_add(tree, "n", json_new_null());
    json_append(json_add_array(tree, "a"), json_new_int(1));
    json_append(json_get(tree, "a"), json_new_string("2"));
    json_add_int(json_ensure_object(tree, "o"), "p", 1);
    json_add_int(json_ensure_object(tree, "o"), "q", 2);
    json_set(tree, "s", json_new_int(3));
    json_set(tree, "new", json_new_string("y"));
    json_set(tree, "s", json_new_string("z"));
    json_set(tree, "s", json_get(tree, "s"));
    json_remove(tree, "b");
    json_remove(tree, "never");
    AUTO_BUF struct buf out;
    buf_init(&out, 4096);
    assert_true(json_write_pretty(tree, &out));
    AUTO_JSON cJSON *again = parse(out.data);
    assert_true(json_equal(tree, again));
    AUTO_FREE char *text = canonical(tree);
    assert_string_equal(text,
                        "{\"a\":[1,\"2\"],\"i\":-9223372036854775808,\"n\":null,\"new\":\"y\","
                        "\"o\":{\"p\":1,\"q\":2},\"s\":\"z\"}");
    assert_string_equal(tree->child->string, "s"); /* replaced where it stood */
    json_ensure_object(tree, "s");
    assert_non_null(json_object(tree, "s"));
    assert_null(json_add(json_get(tree, "a"), "x", json_new_null()));
    assert_null(json_append(tree, json_new_null()));
    assert_null(json_add(NULL, "x", json_new_null()));
}

static void a_value_moved_between_objects_takes_its_new_name(void **state)
{
    (void)state;
    AUTO_JSON cJSON *from = parse("{\"old\":{\"x\":1}}");
    AUTO_JSON cJSON *to = parse("{\"name\":0}");
    json_set(to, "name", json_copy(json_get(from, "old")));
    AUTO_FREE char *text = canonical(to);
    assert_string_equal(text, "{\"name\":{\"x\":1}}");
}

static void a_tree_in_an_arena_is_the_same_and_the_heap_is_used_again_afterwards(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,9007199254740993,\"\\u00fc\",null,true],\"b\":{}}";
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    const cJSON *tree = NULL;
    assert_true(json_parse_in(&arena, text, strlen(text), NULL, &tree, NULL));
    AUTO_FREE char *written = canonical(tree);
    assert_string_equal(written, "{\"a\":[1,9007199254740993,\"\u00fc\",null,true],\"b\":{}}");
    assert_true(arena.total > 0);
    static const char *const bad[] = {"{\"a\":1,\"a\":2}", "{\"a\":", "[1,]", "\"\\u0000\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(json_parse_in(&arena, bad[i], strlen(bad[i]), NULL, &tree, NULL));
    }
    size_t total = arena.total;
    AUTO_JSON cJSON *on_the_heap = parse(text);
    json_set(on_the_heap, "a", json_new_string("changed"));
    assert_int_equal(arena.total, total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_written_canonically),
        cmocka_unit_test(what_is_not_json_is_refused_with_its_place),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(the_text_need_not_be_terminated),
        cmocka_unit_test(limits_hold_and_are_named),
        cmocka_unit_test(deep_nesting_is_refused_whatever_the_limits_say),
        cmocka_unit_test(large_objects_are_read_and_their_duplicates_found),
        cmocka_unit_test(pretty_text_keeps_the_order_of_keys),
        cmocka_unit_test(a_full_buffer_is_reported),
        cmocka_unit_test(invalid_utf8_in_a_built_string_is_written_as_replacement),
        cmocka_unit_test(equality_is_that_of_json_values),
        cmocka_unit_test(large_objects_in_reverse_order_are_equal),
        cmocka_unit_test(integers_are_read_exactly),
        cmocka_unit_test(reading_never_minds_what_is_absent),
        cmocka_unit_test(trees_are_built_and_changed),
        cmocka_unit_test(a_value_moved_between_objects_takes_its_new_name),
        cmocka_unit_test(a_tree_in_an_arena_is_the_same_and_the_heap_is_used_again_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
