/* Unit tests of common/data/packed.c. */
#include "common/data/packed.h"

#include "common/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
    cJSON *tree;
    struct error error;
    assert_true(json_parse(text, strlen(text), NULL, &tree, &error));
    return tree;
}

static void a_value_that_rested_is_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"a\":[1,1.0,1e40,9007199254740993,null,true],\"b\":{\"c\":\"\\u00fc\\\"\\n\"}}",
        "\"only a text\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        AUTO_JSON cJSON *expected = parse(texts[i]);
        struct packed *packed = packed_new(parse(texts[i]));
        for (int times = 0; times < 3; times++) {
            assert_true(json_equal(packed_tree(packed), expected));
            packed_rest(packed);
            AUTO_JSON cJSON *copy = packed_copy(packed);
            assert_true(json_equal(copy, expected));
            assert_true(packed_is_at_rest(packed));
            packed_rest(packed);
        }
        packed_free(packed);
    }
}

static void what_is_set_replaces_what_rests(void **state)
{
    (void)state;
    struct packed *packed = packed_new(parse("{\"n\":1}"));
    packed_rest(packed);
    packed_set(packed, parse("{\"n\":2}"));
    assert_int_equal(json_int(packed_tree(packed), "n", 0), 2);
    packed_rest(packed);
    assert_int_equal(json_int(packed_tree(packed), "n", 0), 2);
    packed_set(packed, parse("{\"n\":3}"));
    assert_int_equal(json_int(packed_tree(packed), "n", 0), 3);
    packed_free(packed);
    packed_free(NULL);
}

static void what_is_too_large_for_a_text_stays_a_tree(void **state)
{
    (void)state;
    const size_t size = (size_t)5 << 20;
    char *text = malloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    struct packed *packed = packed_new(json_new_string(text));
    const cJSON *tree = packed_tree(packed);
    packed_rest(packed);
    assert_ptr_equal(packed_tree(packed), tree);
    packed_free(packed);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_that_rested_is_the_same),
        cmocka_unit_test(what_is_set_replaces_what_rests),
        cmocka_unit_test(what_is_too_large_for_a_text_stays_a_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
