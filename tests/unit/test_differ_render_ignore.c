#include "differ/render/ignore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct ignore_case {
    const char *sentence;
    const char *root;   /* content of /.sourceignore, or NULL */
    const char *nested; /* content of /deploy/.sourceignore, or NULL */
    const char *path;
    bool is_directory;
    bool excluded;
};

/* Each verdict is what `git check-ignore` says of the same patterns in a .gitignore, save for the
 * defaults, which are ours. */
static const struct ignore_case cases[] = {
    {"a plain name matches a file at the root", "a.yaml", NULL, "a.yaml", false, true},
    {"a plain name matches at any depth", "a.yaml", NULL, "x/y/a.yaml", false, true},
    {"a plain name does not match a longer one", "a.yaml", NULL, "ba.yaml", false, false},
    {"a leading slash anchors at the root", "/a.yaml", NULL, "x/a.yaml", false, false},
    {"a leading slash matches at the root", "/a.yaml", NULL, "a.yaml", false, true},
    {"a slash in the middle anchors", "x/a.yaml", NULL, "y/x/a.yaml", false, false},
    {"a slash in the middle matches from the root", "x/a.yaml", NULL, "x/a.yaml", false, true},
    {"a trailing slash matches a directory", "x/", NULL, "y/x", true, true},
    {"a trailing slash does not match a file", "x/", NULL, "x", false, false},
    {"a star does not cross a slash", "/x*y", NULL, "x/y", false, false},
    {"a star matches within a name", "x*y", NULL, "xaby", false, true},
    {"a star matches nothing too", "x*y", NULL, "xy", false, true},
    {"a star matches a leading dot", "*.yaml", NULL, ".a.yaml", false, true},
    {"several stars are tried in every place", "*a*b*c", NULL, "xxaabbabcc", false, true},
    {"several stars can fail", "*a*b*c", NULL, "xxaabbabcd", false, false},
    {"a question mark matches one byte", "a?c", NULL, "abc", false, true},
    {"a question mark does not match none", "a?c", NULL, "ac", false, false},
    {"a range matches", "a[0-9].yaml", NULL, "a7.yaml", false, true},
    {"a negated range does not", "a[!0-9].yaml", NULL, "a7.yaml", false, false},
    {"a caret negates too", "a[^0-9].yaml", NULL, "ax.yaml", false, true},
    {"a bracket may be the first in its set", "a[]x]", NULL, "a]", false, true},
    {"a class matches", "a[[:digit:]]", NULL, "a5", false, true},
    {"a set that never ends matches nothing", "a[bc", NULL, "ab", false, false},
    {"a set that never ends does not match itself", "a[bc", NULL, "a[bc", false, false},
    {"a backslash takes a star for what it is", "a\\*", NULL, "ab", false, false},
    {"a backslashed star matches a star", "a\\*", NULL, "a*", false, true},
    {"a hash begins a comment", "#a", NULL, "#a", false, false},
    {"a backslashed hash does not", "\\#a", NULL, "#a", false, true},
    {"a backslashed mark is no negation", "\\!a", NULL, "!a", false, true},
    {"blanks at the end are cut", "a.yaml   ", NULL, "a.yaml", false, true},
    {"a backslashed blank at the end stays", "a\\ ", NULL, "a ", false, true},
    {"a carriage return is cut", "a.yaml\r\nb.yaml\r\n", NULL, "a.yaml", false, true},
    {"a byte order mark is skipped",
     "\xef\xbb\xbf"
     "a.yaml",
     NULL, "a.yaml", false, true},
    {"leading ** matches no directory", "**/a", NULL, "a", false, true},
    {"leading ** matches many", "**/a", NULL, "x/y/a", false, true},
    {"leading ** with a path matches many", "**/x/a", NULL, "y/z/x/a", false, true},
    {"trailing ** matches what is inside", "x/**", NULL, "x/y/a", false, true},
    {"trailing ** does not match the directory itself", "x/**", NULL, "x", true, false},
    {"middle ** matches no directory", "x/**/a", NULL, "x/a", false, true},
    {"middle ** matches many", "x/**/a", NULL, "x/y/z/a", false, true},
    {"middle ** wants the ends", "x/**/a", NULL, "y/z/a", false, false},
    {"two ** are tried in every place", "**/a/**/b", NULL, "x/a/y/a/z/b", false, true},
    {"more stars alone are a **", "/***/a", NULL, "x/y/a", false, true},
    {"** within a name is two stars", "x**y", NULL, "xaby", false, true},
    {"the last match decides", "*.yaml\n!keep.yaml\n", NULL, "keep.yaml", false, false},
    {"a later exclusion wins over a negation", "!keep.yaml\n*.yaml\n", NULL, "keep.yaml", false,
     true},
    {"all but one directory: others are out", "/*\n!/deploy\n", NULL, "docs", true, true},
    {"all but one directory: it is in", "/*\n!/deploy\n", NULL, "deploy", true, false},
    {"all but one directory: what is in it is in", "/*\n!/deploy\n", NULL, "deploy/a.yaml", false,
     false},
    {"a nested file's pattern holds below it", NULL, "a.yaml", "deploy/x/a.yaml", false, true},
    {"a nested file's pattern does not hold beside it", NULL, "a.yaml", "a.yaml", false, false},
    {"a nested file's anchor is its directory", NULL, "/a.yaml", "deploy/a.yaml", false, true},
    {"a nested file's anchor is not deeper", NULL, "/a.yaml", "deploy/x/a.yaml", false, false},
    {"a nested negation wins over the root", "*.yaml", "!a.yaml", "deploy/a.yaml", false, false},
    {"a directory of a similar name is elsewhere", NULL, "a.yaml", "deploy2/a.yaml", false, false},
    {"an empty line is nothing", "\n\n", NULL, "a", false, false},
    {"a lone slash is nothing", "/", NULL, "a", true, false},
    {"a lone mark is nothing", "!", NULL, "a", false, false},
    {"by default .git is out", NULL, NULL, ".git", true, true},
    {"by default hidden directories are out", NULL, NULL, "x/.github", true, true},
    {"by default hidden files are in", NULL, NULL, "x/.a.yaml", false, false},
    {"by default the files of builders are out", NULL, NULL, "x/.gitlab-ci.yml", false, true},
    {"by default .sops.yaml is out", NULL, NULL, ".sops.yaml", false, true},
    {"a default can be undone", "!.hidden/", NULL, ".hidden", true, false},
};

static void patterns_decide_as_git_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct ignore_case *it = &cases[i];
        struct ignore ignore;
        struct error error = {0};
        ignore_init(&ignore);
        if (it->root) {
            assert_true(ignore_add(&ignore, "", "f", it->root, strlen(it->root), &error));
        }
        if (it->nested) {
            assert_true(ignore_add(&ignore, "deploy", "f", it->nested, strlen(it->nested), &error));
        }
        if (ignore_matches(&ignore, it->path, it->is_directory) != it->excluded) {
            fail_msg("not so: %s", it->sentence);
        }
        ignore_release(&ignore);
    }
}

static void a_pattern_made_to_be_slow_is_not(void **state)
{
    (void)state;
    char pattern[2048] = "";
    char name[4096];
    for (int i = 0; i < 500; i++) {
        strcat(pattern, "*a");
    }
    strcat(pattern, "*b");
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (int i = 0; i < 20; i++) {
        assert_false(ignore_glob(pattern, name)); /* for ever, if it were exponential */
    }
}

static void too_many_patterns_are_refused(void **state)
{
    (void)state;
    struct ignore ignore;
    struct error error = {0};
    char text[2 * (IGNORE_PATTERNS_MAXIMUM + 1)];
    for (size_t i = 0; i < sizeof(text); i += 2) {
        memcpy(text + i, "a\n", 2);
    }
    ignore_init(&ignore);
    assert_false(ignore_add(&ignore, "", "x/.sourceignore", text, sizeof(text), &error));
    assert_int_equal(error.code, ERROR_LIMIT);
    assert_non_null(strstr(error.message, "x/.sourceignore"));
    ignore_release(&ignore);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_decide_as_git_does),
        cmocka_unit_test(a_pattern_made_to_be_slow_is_not),
        cmocka_unit_test(too_many_patterns_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
