#include "differ/render/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What bash leaves of the text by ${text#pattern}, ##, % and %%. */
static void test_what_matches_at_either_side(void **state)
{
    static const struct {
        const char *name, *text, *pattern, *shortest, *longest, *end, *longest_end;
    } cases[] = {
        {"no pattern", "abc", "", "abc", "abc", "abc", "abc"},
        {"no text", "", "*", "", "", "", ""},
        {"a text", "abcab", "ab", "cab", "cab", "abc", "abc"},
        {"a text that is not there", "abc", "x", "abc", "abc", "abc", "abc"},
        {"a text as a whole", "abc", "abc", "", "", "", ""},
        {"more than there is", "abc", "abcd", "abc", "abc", "abc", "abc"},
        {"up to a divider", "a.b.c", "*.", "b.c", "c", "a.b.c", "a.b.c"},
        {"from a divider on", "a.b.c", ".*", "a.b.c", "a.b.c", "a.b", "a"},
        {"a star takes slashes", "/x/y/z", "/*/", "y/z", "z", "/x/y/z", "/x/y/z"},
        {"a star alone", "abc", "*", "abc", "", "abc", ""},
        {"two stars", "abcabc", "*b*", "cabc", "", "abca", ""},
        {"one character", "abc", "?", "bc", "bc", "ab", "ab"},
        {"more characters than there are", "abc", "????", "abc", "abc", "abc", "abc"},
        {"a character is not a byte", "h\u00e9llo\u20ac", "h?", "llo\u20ac", "llo\u20ac",
         "h\u00e9llo\u20ac", "h\u00e9llo\u20ac"},
        {"nor is it at the end", "h\u00e9llo\u20ac", "o?", "h\u00e9llo\u20ac", "h\u00e9llo\u20ac",
         "h\u00e9ll", "h\u00e9ll"},
        {"a set", "v1.2", "[vV]", "1.2", "1.2", "v1.2", "v1.2"},
        {"a range", "v1.2", "[0-9]", "v1.2", "v1.2", "v1.", "v1."},
        {"a range beyond ASCII", "\u00e4b", "[\u00e0-\u00ff]", "b", "b", "\u00e4b", "\u00e4b"},
        {"none of a set", "a1b", "[!0-9]", "1b", "1b", "a1", "a1"},
        {"none of a set, by ^", "a1b", "[^0-9]", "1b", "1b", "a1", "a1"},
        {"a bracket in a set", "]a", "[]]", "a", "a", "]a", "]a"},
        {"a dash in a set", "-a", "[a-]", "a", "a", "-", "-"},
        {"a set that nothing closes", "[a", "[", "a", "a", "[a", "[a"},
        {"a backslash before a star", "*a", "\\*", "a", "a", "*a", "*a"},
        {"a backslash in a set", "]a", "[\\]]", "a", "a", "]a", "]a"},
        {"a backslash at the end", "a\\", "\\", "a\\", "a\\", "a", "a"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *expected[] = {cases[i].shortest, cases[i].longest, cases[i].end,
                                  cases[i].longest_end};
        size_t length = strlen(cases[i].text);
        for (size_t j = 0; j < 4; j++) {
            enum pattern_side side = j < 2 ? PATTERN_START : PATTERN_END;
            size_t size, work;
            assert_true(pattern_match(cases[i].pattern, cases[i].text, side, j % 2, &size, &work));
            const char *left = side == PATTERN_START ? cases[i].text + size : cases[i].text;
            if (length - size != strlen(expected[j]) ||
                memcmp(left, expected[j], length - size) != 0) {
                fail_msg("%s: way %zu leaves \"%.*s\"", cases[i].name, j, (int)(length - size),
                         left);
            }
        }
    }
}

static void test_a_pattern_has_a_limit_and_a_cost(void **state)
{
    char pattern[PATTERN_MAXIMUM + 2], text[5001];
    size_t size, work;
    (void)state;
    memset(pattern, '*', sizeof pattern);
    memset(text, 'a', sizeof text);
    text[5000] = '\0';
    pattern[PATTERN_MAXIMUM + 1] = '\0';
    assert_false(pattern_match(pattern, text, PATTERN_START, true, &size, &work));
    pattern[PATTERN_MAXIMUM] = '\0';
    pattern[PATTERN_MAXIMUM - 1] = 'b';
    assert_true(pattern_match(pattern, text, PATTERN_START, true, &size, &work));
    assert_int_equal(size, 0);
    assert_int_equal(work, (size_t)5000 * PATTERN_MAXIMUM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_matches_at_either_side),
        cmocka_unit_test(test_a_pattern_has_a_limit_and_a_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
