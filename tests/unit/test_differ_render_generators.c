/* The operator's settings file of generators. */
#include "differ/render/generators.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_file_is_read_or_refused_by_its_line(void **state)
{
    static const struct {
        const char *name, *text, *expected; /* the names, or the end of the error */
    } cases[] = {
        {"one", "generators:\n- name: hcl\n  command: [/bin/hcl, -q]\n", "hcl"},
        {"two, with paths",
         "generators:\n- {name: b, command: [/b], paths: [/x, /y]}\n- {name: a, command: [/a]}",
         "b, a"},
        {"none", "generators: []\n", "none"},
        {"an empty file", "", "none"},
        {"another shape", "- name: hcl\n", "g:1: the file is a mapping with one list, generators"},
        {"more than the list", "generators: []\nother: 1\n",
         "g:1: the file is a mapping with one list, generators"},
        {"no name", "generators:\n- command: [/a]\n",
         "g:2: a generator needs a name of lower-case letters, digits and dashes"},
        {"a name that is a path", "generators:\n- {name: ../a, command: [/a]}\n",
         "g:2: a generator needs a name of lower-case letters, digits and dashes"},
        {"a name twice", "generators:\n- {name: a, command: [/a]}\n- {name: a, command: [/b]}\n",
         "g:3: there is another generator of that name"},
        {"no command", "generators:\n- name: a\n",
         "g:2: a generator needs a command: a list of the program's absolute path and its "
         "arguments"},
        {"a command for a shell", "generators:\n- {name: a, command: /a -x}\n",
         "g:2: a generator needs a command: a list of the program's absolute path and its "
         "arguments"},
        {"a relative program", "generators:\n- {name: a, command: [a]}\n",
         "g:2: a generator needs a command: a list of the program's absolute path and its "
         "arguments"},
        {"an argument that is a number", "generators:\n- {name: a, command: [/a, 1]}\n",
         "g:2: a generator needs a command: a list of the program's absolute path and its "
         "arguments"},
        {"a relative path", "generators:\n- name: a\n  command: [/a]\n  paths: [x]\n",
         "g:4: paths is a list of absolute paths"},
        {"an unknown word", "generators:\n- name: a\n  command: [/a]\n  network: true\n",
         "g:4: a generator has name, command and paths, and nothing called network"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO_JSON cJSON *list = NULL;
        struct error error = {0};
        bool ok = generators_parse(cases[i].text, strlen(cases[i].text), "g", &list, &error);
        AUTO_FREE char *names = ok ? generators_names(list) : NULL;
        const char *got = ok ? names : error.message;
        if (!text_equal(got, cases[i].expected)) {
            fail_msg("%s: %s", cases[i].name, got);
        }
    }
}

static void what_a_sandbox_must_leave_executable_is_listed(void **state)
{
    static const char text[] =
        "generators:\n- {name: a, command: [/a, -x], paths: [/lib]}\n- {name: b, command: [/b]}\n";
    static const char *const more[] = {"/self", NULL};
    static const char *const expected[] = {"/self", "/a", "/lib", "/b"};
    AUTO_JSON cJSON *list = NULL;
    (void)state;
    assert_true(generators_parse(text, strlen(text), "g", &list, NULL));
    AUTO_FREE const char **all = generators_executables(list, more);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(all[i], expected[i]);
    }
    assert_null(all[4]);
    AUTO_FREE const char **none = generators_executables(NULL, NULL);
    assert_null(none[0]);
    assert_non_null(generators_find(list, "b"));
    assert_null(generators_find(list, "c"));
    assert_null(generators_find(NULL, "a"));
    assert_null(generators_find(list, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_or_refused_by_its_line),
        cmocka_unit_test(what_a_sandbox_must_leave_executable_is_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
