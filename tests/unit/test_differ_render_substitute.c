#include "differ/render/substitute.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static cJSON *variables(void)
{
    static const char text[] =
        "{\"v\":\"hello world\",\"empty\":\"\",\"n\":\"3\",\"path\":\"a/b/a\",\"w\":\"h\u00e9llo\","
        "\"U\":\"ABC\",\"nested\":\"${v}\",\"_x1\":\"one\",\"secret\":\"hunter2\",\"yes\":\"true\","
        "\"inf\":\".inf\"}";
    cJSON *ret = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &ret, NULL));
    return ret;
}

static void test_expressions(void **state)
{
    static const struct {
        const char *name, *text, *expected; /* NULL: refused */
    } cases[] = {
        {"text without expressions", "plain", "plain"},
        {"no text", "", ""},
        {"a value", "${v}", "hello world"},
        {"a value amid text", "a-${n}-b", "a-3-b"},
        {"two values", "${n}${n}", "33"},
        {"an empty value", "[${empty}]", "[]"},
        {"a name with an underscore and a digit", "${_x1}", "one"},
        {"a value is not looked at again", "${nested}", "${v}"},
        {"a dollar without braces", "$v $1 $$ $", "$v $1 $$ $"},
        {"braces without a dollar", "{v} }", "{v} }"},
        {"an escape", "$${v}", "${v}"},
        {"an escape of what is no expression", "$${{ x }}", "${{ x }}"},
        {"an escape behind a dollar", "$$${v}", "$${v}"},
        {"an escape, then a value", "$${v}${n}", "${v}3"},
        {"a value within an escape", "$${a:-${n}}", "${a:-3}"},
        {"a default of an unknown one", "${no:-d}", "d"},
        {"a default of an empty one", "${empty:-d}", "d"},
        {"a default that is not needed", "${n:-d}", "3"},
        {"an empty default", "[${no:-}]", "[]"},
        {"a default by =", "${no:=d}", "d"},
        {"a default by = of an empty one", "${empty:=d}", "d"},
        {"a default only if it is not set", "${no-d}", "d"},
        {"a default only if it is not set, of an empty one", "[${empty-d}]", "[]"},
        {"a default by = without a colon", "${no=d}", "d"},
        {"a default with an expression", "${no:-${n}x}", "3x"},
        {"a default in a default", "${no:-${nor:-d}}", "d"},
        {"a default with an unknown one that is not needed", "${n:-${no}}", "3"},
        {"a default with colons and slashes", "${no:-http://x:80/}", "http://x:80/"},
        {"a default with an escape", "${no:-$${v}}", "${v}"},
        {"a length", "${#v}", "11"},
        {"a length in characters", "${#w}", "5"},
        {"a length of nothing", "${#empty}", "0"},
        {"an offset", "${v:6}", "world"},
        {"an offset and a length", "${v:1:3}", "ell"},
        {"an offset in characters", "${w:1:1}", "\u00e9"},
        {"an offset at the end", "[${v:11}]", "[]"},
        {"an offset beyond the end", "[${v:12:3}]", "[]"},
        {"a length beyond the end", "${v:6:100}", "world"},
        {"a length of zero", "[${v:0:0}]", "[]"},
        {"an offset from the end", "${v: -5}", "world"},
        {"an offset from before the start", "[${v: -50}]", "[]"},
        {"a length from the end", "${v:0:-6}", "hello"},
        {"a length from before the offset", "[${v:6:-9}]", "[]"},
        {"an offset by a variable", "${v:${n}:2}", "lo"},
        {"the first replaced", "${path/a/x}", "x/b/a"},
        {"all replaced", "${path//a/x}", "x/b/x"},
        {"at the start", "${path/#a/x}", "x/b/a"},
        {"at the start where it is not", "${path/#b/x}", "a/b/a"},
        {"at the end", "${path/%a/x}", "a/b/x"},
        {"nothing replaced at the start: put before", "${n/#/x}", "x3"},
        {"nothing replaced at the end: put behind", "${n/%/-${n}}", "3-3"},
        {"a removed start", "${path#*/}", "b/a"},
        {"a removed start, the longest", "${path##*/}", "a"},
        {"a removed end", "${path%/*}", "a/b"},
        {"a removed end, the longest", "${path%%/*}", "a"},
        {"a removed text", "${v#hello }", "world"},
        {"a removed text that is not there", "${v%hello}", "hello world"},
        {"a removed text by a variable", "${path#${path:0:1}}", "/b/a"},
        {"nothing removed", "${v#}", "hello world"},
        {"all removed", "[${v##*}]", "[]"},
        {"removed in characters", "${w#h?}", "llo"},
        {"a slash replaced", "${path//\\//-}", "a-b-a"},
        {"removed", "${v/hello }", "world"},
        {"replaced by a variable", "${path/a/${n}}", "3/b/a"},
        {"nothing replaced", "${v//x/y}", "hello world"},
        {"an empty text replaced", "${v//}", "hello world"},
        {"upper case of the first", "${v^}", "Hello world"},
        {"upper case of all", "${v^^}", "HELLO WORLD"},
        {"lower case of the first", "${U,}", "aBC"},
        {"lower case of all", "${U,,}", "abc"},
        {"case beyond ASCII", "${w^^}", "H\u00e9LLO"},
        {"an unknown one", "${no}", NULL},
        {"an unknown one with a function", "${no^}", NULL},
        {"an unknown one with a pattern", "${no#*}", NULL},
        {"the length of an unknown one", "${#no}", NULL},
        {"an unknown one in a default", "${no:-${nor}}", NULL},
        {"no end", "${v", NULL},
        {"no end of a nested one", "${no:-${v}", NULL},
        {"no name", "${}", NULL},
        {"a name with a digit first", "${1v}", NULL},
        {"an expression of another tool", "${{ v }}", NULL},
        {"a name with a blank", "${v }", NULL},
        {"a name with a dot", "${v.w}", NULL},
        {"an element", "${v[0]}", NULL},
        {"an unknown function", "${v@Q}", NULL},
        {"an error if not set, which is always one", "${v:?x}", NULL},
        {"an alternative", "${v:+x}", NULL},
        {"case by a pattern", "${v^^h}", NULL},
        {"a colon and nothing", "${v:}", NULL},
        {"an offset that is no number", "${v:x}", NULL},
        {"a length that is no number", "${v:0:x}", NULL},
        {"an offset beyond 64 bits", "${v:99999999999999999999}", NULL},
        {"the smallest offset", "[${v: -9223372036854775808}]", "[]"},
        {"the smallest length", "[${v:0:-9223372036854775808}]", "[]"},
        {"nine deep", "${a:-${a:-${a:-${a:-${a:-${a:-${a:-${a:-${a:-x}}}}}}}}}", NULL},
    };
    AUTO_JSON cJSON *known = variables();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {0};
        AUTO_BUF struct buf out;
        buf_init(&out, 1000);
        bool ok = substitute_text(cases[i].text, known, &out, &error);
        const char *got = out.size ? out.data : "";
        if (ok != (cases[i].expected != NULL) || (ok && !text_equal(got, cases[i].expected))) {
            fail_msg("%s: \"%s\" gives \"%s\" %s", cases[i].name, cases[i].text, got,
                     error.message);
        }
        assert_true(ok || !text_is_empty(error.message));
    }
}

static void test_an_error_names_the_variable_and_no_value(void **state)
{
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"${tag}", "${tag}: the variable is not set"},
        {"${secret:x}", "${secret}: an offset or length is no number"},
        {"${v:${secret}}", "${v}: an offset or length is no number"},
        {"${secret?}", "${secret}: what follows the name"},
    };
    AUTO_JSON cJSON *known = variables();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {0};
        AUTO_BUF struct buf out;
        buf_init(&out, 1000);
        assert_false(substitute_text(cases[i].text, known, &out, &error));
        if (!strstr(error.message, cases[i].word) || strstr(error.message, "hunter2")) {
            fail_msg("\"%s\": %s", cases[i].text, error.message);
        }
    }
}

/* A file full of such expressions makes nothing, and would keep the worker for hours. */
static void test_what_functions_look_at_is_bounded(void **state)
{
    static const char *const expressions[] = {"${v//hello world/}", "${v##*}", "${v%%*x}",
                                              "${v:100}"};
    AUTO_JSON cJSON *known = variables();
    (void)state;
    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        struct error error = {0};
        AUTO_BUF struct buf text, out;
        buf_init(&text, 10000);
        buf_init(&out, 1000);
        for (size_t j = 0; j < 100; j++) {
            buf_append_string(&text, expressions[i]);
        }
        assert_false(substitute_text(text.data, known, &out, &error));
        assert_int_equal(error.code, ERROR_LIMIT);
    }
}

static void test_the_result_is_bounded(void **state)
{
    AUTO_JSON cJSON *known = variables();
    struct error error = {0};
    AUTO_BUF struct buf out;
    (void)state;
    buf_init(&out, 20);
    assert_false(substitute_text("${v}${v}", known, &out, &error));
    assert_int_equal(error.code, ERROR_LIMIT);
}

/* ---- Objects ---- */

static bool keep(cJSON *tree, unsigned line, void *context, struct error *error)
{
    (void)line;
    (void)error;
    *(cJSON **)context = tree;
    return true;
}

static void note(unsigned line, const char *message, void *context)
{
    buf_append_format(context, "%u: %.12s\n", line, message);
}

/* The object as JSON, or the problems; for the caller to free. */
static char *substituted(const char *yaml, size_t budget)
{
    AUTO_JSON cJSON *known = variables();
    AUTO_JSON cJSON *tree = NULL;
    AUTO_BUF struct buf problems, json;
    buf_init(&problems, 1000);
    buf_init(&json, 10000);
    assert_true(yaml_parse(yaml, strlen(yaml), "f", NULL, keep, &tree, NULL));
    if (!substitute_object(tree, known, &budget, note, &problems)) {
        return mem_string(problems.data);
    }
    assert_int_equal(problems.size, 0);
    assert_true(json_write(tree, &json));
    return mem_string(json.data);
}

static void test_objects(void **state)
{
    static const struct {
        const char *name, *yaml, *expected;
    } cases[] = {
        {"a number without quotes", "a: ${n}", "{\"a\":3}"},
        {"a number in quotes", "a: '${n}'", "{\"a\":\"3\"}"},
        {"a number in double quotes", "a: \"${n}\"", "{\"a\":\"3\"}"},
        {"a number in a block", "a: |-\n  ${n}", "{\"a\":\"3\"}"},
        {"a number by its tag a string", "a: !!str ${n}", "{\"a\":\"3\"}"},
        {"a boolean", "a: ${yes}", "{\"a\":true}"},
        {"nothing becomes null, as without quotes", "a: ${empty}", "{\"a\":null}"},
        {"text stays text", "a: x${n}", "{\"a\":\"x3\"}"},
        {"digits that are put together", "a: 1${n}", "{\"a\":13}"},
        {"items", "a: [\"${n}\", x]", "{\"a\":[\"3\",\"x\"]}"},
        {"keys are left alone", "\"${n}\": 1", "{\"${n}\":1}"},
        {"by an alias", "a: &x ${n}\nb: *x", "{\"a\":3,\"b\":3}"},
        {"by a merge", "a: &x {c: \"${n}\"}\nb:\n  <<: *x",
         "{\"a\":{\"c\":\"3\"},\"b\":{\"c\":\"3\"}}"},
        {"metadata is text",
         "metadata: {labels: {a: x}, name: w}\nspec:\n  metadata:\n    annotations:\n      "
         "a: ${n}",
         "{\"metadata\":{\"labels\":{\"a\":\"x\"},\"name\":\"w\"},\"spec\":{"
         "\"metadata\":{\"annotations\":{\"a\":\"3\"}}}}"},
        {"the data of a ConfigMap is text", "kind: ConfigMap\ndata:\n  a: ${n}",
         "{\"data\":{\"a\":\"3\"},\"kind\":\"ConfigMap\"}"},
        {"the data of others is not", "kind: Thing\ndata:\n  a: ${n}",
         "{\"data\":{\"a\":3},\"kind\":\"Thing\"}"},
        {"the environment and arguments are text", "env:\n- value: ${n}\nargs:\n- ${n}",
         "{\"args\":[\"3\"],\"env\":[{\"value\":\"3\"}]}"},
        {"save for references", "env:\n- valueFrom:\n    optional: ${yes}",
         "{\"env\":[{\"valueFrom\":{\"optional\":true}}]}"},
        {"JSON", "{\"a\": \"${n}\"}", "{\"a\":\"3\"}"},
        {"disabled by annotation",
         "metadata: {annotations: {gitmoor.io/substitute: disabled}}\na: ${no}",
         "{\"metadata\":{\"annotations\":{\"gitmoor.io/"
         "substitute\":\"disabled\"}},\"a\":\"${no}\"}"},
        {"disabled by label", "metadata: {labels: {gitmoor.io/substitute: disabled}}\na: ${no}",
         "{\"metadata\":{\"labels\":{\"gitmoor.io/substitute\":\"disabled\"}},\"a\":\"${no}\"}"},
        {"all problems, by line", "a: ${no}\nb:\n- x\n- \"${nor}\"",
         "1: ${no}: the v\n4: ${nor}: the \n"},
        {"a number that JSON lacks", "a: ${inf}", "1: what is subs\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_FREE char *got = substituted(cases[i].yaml, 1000);
        if (!text_equal(got, cases[i].expected)) {
            /* Keys come in canonical order. */
            AUTO_JSON cJSON *left = NULL, *right = NULL;
            json_parse(got, strlen(got), NULL, &left, NULL);
            json_parse(cases[i].expected, strlen(cases[i].expected), NULL, &right, NULL);
            if (!left || !json_equal(left, right)) {
                fail_msg("%s: %s", cases[i].name, got);
            }
        }
    }
}

static void test_the_budget_is_of_all_strings(void **state)
{
    (void)state;
    AUTO_FREE char *within = substituted("a: ${v}\nb: ${v}", 22);
    AUTO_FREE char *beyond = substituted("a: ${v}\nb: ${v}", 21);
    assert_non_null(strstr(within, "world"));
    assert_string_equal(beyond, "2: what is subs\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expressions),
        cmocka_unit_test(test_an_error_names_the_variable_and_no_value),
        cmocka_unit_test(test_the_result_is_bounded),
        cmocka_unit_test(test_what_functions_look_at_is_bounded),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_the_budget_is_of_all_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
