/* yaml_scalars.jsonl and yaml_documents.jsonl hold what kubectl's own libraries make of some
 * thousand texts; tests/oracle/regenerate makes them anew. */
#include "common/data/yaml.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Collects the documents as an array. */
struct collection {
    cJSON *documents;
    unsigned lines[16];
    size_t stop_after; /* 0: never */
};

static bool collect(cJSON *tree, unsigned line, void *context, struct error *error)
{
    struct collection *collection = context;
    size_t count = json_size(collection->documents);
    if (count < 16) {
        collection->lines[count] = line;
    }
    json_append(collection->documents, tree);
    if (count + 1 == collection->stop_after) {
        return error_set(error, ERROR_DENIED, "enough");
    }
    return true;
}

static cJSON *parse_all(const char *text, struct error *error)
{
    struct collection collection = {.documents = json_new_array()};
    if (!yaml_parse(text, strlen(text), "f.yaml", NULL, collect, &collection, error)) {
        json_free(collection.documents);
        return NULL;
    }
    return collection.documents;
}

static char *canonical(const cJSON *tree)
{
    AUTO_BUF struct buf out;
    buf_init(&out, 16 << 20);
    assert_true(json_write(tree, &out));
    return buf_detach(&out);
}

static void assert_yaml(const char *text, const char *wanted)
{
    struct error error = {0};
    AUTO_JSON cJSON *documents = parse_all(text, &error);
    if (!documents) {
        fail_msg("%s: %s", text, error.message);
    }
    AUTO_FREE char *written = canonical(documents);
    assert_string_equal(written, wanted);
}

static void assert_refused(const char *text, const char *message)
{
    struct error error = {0};
    AUTO_JSON cJSON *documents = parse_all(text, &error);
    assert_null(documents);
    assert_string_equal(error.message, message);
}

/* ---- Against kubectl ---- */

/* Where we differ from kubectl on purpose, or because libyaml does. */
static bool is_known_difference(const char *text)
{
    static const char *const texts[] = {
        /* Two values for one key are a mistake; kubectl takes one of them. */
        "y: 1\nn: 2\nyes: 3\n",
        /* kubectl cuts streams at "---" before it parses them, and so loses directives and what
         * stands behind the dashes; this is YAML that it should take. */
        "%YAML 1.1\n---\na: 1\n",
        "%YAML 1.2\n---\na: yes\n",
        "%TAG !e! tag:example.org,2000:\n---\na: !e!x 12\n",
        "%TAG !! tag:example.org,2000:\n---\na: !!int x\n",
        "--- a\n",
        "--- {a: 1}\n--- [b]\n",
        "--- |\n  text\n---\na: 1\n",
        "---: v\n",
        "----: v\n",
        /* kubectl loses the value. */
        "[]: v\n",
        /* YAML 1.2's escape for JSON's sake, which libyaml knows. */
        "k: \"\\/\"\n",
        "\"\\/\": v\n",
        /* kubectl goes on with YAML behind JSON. */
        "{\"a\": 1} trailing\n",
        /* libyaml 0.2.5 wants a blank behind the colon. */
        "a: [b: c, {d: e}, f:]\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(text, texts[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool agrees(const cJSON *expectation)
{
    const char *text = json_string(expectation, "yaml");
    AUTO_JSON cJSON *empty = json_new_array();
    const cJSON *wanted =
        json_bool(expectation, "none", false) ? empty : json_array(expectation, "json");
    struct error error = {0};
    AUTO_JSON cJSON *documents = parse_all(text, &error);
    AUTO_FREE char *ours = documents ? canonical(documents) : mem_format("(%s)", error.message);
    AUTO_FREE char *theirs = wanted ? canonical(wanted) : mem_string("(refused)");
    if (documents && wanted ? strcmp(ours, theirs) == 0 : !documents && !wanted) {
        return true;
    }
    if (is_known_difference(text)) {
        return true;
    }
    print_error("%s\n  kubectl: %s\n  ours:    %s\n", text, theirs, ours);
    return false;
}

static void assert_agreement(const char *file)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 16 << 20);
    struct error error = {0};
    if (!buf_read_file(&text, file, &error)) {
        fail_msg("%s", error.message);
    }
    unsigned lines = 0, differences = 0;
    char *rest = text.data;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        if (!*line) {
            continue;
        }
        AUTO_JSON cJSON *expectation = NULL;
        if (!json_parse(line, strlen(line), NULL, &expectation, &error)) {
            fail_msg("%s:%u: %s", file, lines + 1, error.message);
        }
        lines++;
        differences += !agrees(expectation);
    }
    print_message("  %u texts, %u differences\n", lines, differences);
    assert_true(lines > 100);
    assert_int_equal(differences, 0);
}

static void scalars_are_typed_as_kubectl_types_them(void **state)
{
    (void)state;
    assert_agreement(TEST_DATA "/yaml_scalars.jsonl");
}

static void documents_are_read_as_kubectl_reads_them(void **state)
{
    (void)state;
    assert_agreement(TEST_DATA "/yaml_documents.jsonl");
}

/* ---- What kubectl does not tell ---- */

static void every_fault_is_reported_with_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *text, *message;
    } cases[] = {
        {"a duplicate key", "a: 1\nb: 2\na: 3\n", "f.yaml:3: duplicate key \"a\""},
        {"a duplicate key in flow style", "x:\n  {a: 1, b: 2,\n   a: 3}\n",
         "f.yaml:3: duplicate key \"a\""},
        {"a duplicate key in the second document", "a: 1\n---\nb: 1\nb: 2\n",
         "f.yaml:4: duplicate key \"b\""},
        {"keys that become the same string", "1: a\n\"1\": b\n", "f.yaml:2: duplicate key \"1\""},
        {"a duplicate key in JSON", "{\"a\": 1,\n \"a\": 2}\n", "f.yaml:2: duplicate key \"a\""},
        {"a duplicate key after a merge", "a: &a {x: 1}\nb:\n  x: 1\n  <<: *a\n  x: 2\n",
         "f.yaml:5: duplicate key \"x\""},
        {"a value that contains itself", "a: &x\n  - 1\n  - *x\n",
         "f.yaml:3: the value contains itself by the alias *x"},
        {"an unknown alias", "a: 1\nb: *x\n", "f.yaml:2: no anchor stands before the alias *x"},
        {"an anchor of another document", "a: &x 1\n---\nb: *x\n",
         "f.yaml:3: no anchor stands before the alias *x"},
        {"a null key", "~: 1\n", "f.yaml:1: null cannot be a key; put it in quotes"},
        {"a list as a key", "a: 1\n? [b]\n: 2\n", "f.yaml:2: a mapping or list cannot be a key"},
        {"infinity", "a:\n- .inf\n", "f.yaml:2: .inf cannot be written in JSON; put it in quotes"},
        {"a merge of a number", "a:\n  <<: 1\n",
         "f.yaml:2: \"<<\" needs a mapping or a list of mappings"},
        {"a tag that does not fit", "a: !!int x\n",
         "f.yaml:1: \"x\" is a string, not what its tag says"},
        {"base64 that is none", "a: !!binary $\n",
         "f.yaml:1: !!binary is not base64, or holds a zero byte"},
        {"a zero byte", "a: \"\\0\"\n", "f.yaml:1: a string may not hold a zero byte"},
        {"JSON with a trailing comma and a word", "{\"a\": 1,\n \"b\": x y: z}",
         "f.yaml:2: a value is expected here"},
        {"a tab for indentation", "a:\n\tb: 1\n",
         "f.yaml:2: found character that cannot start any token (while scanning for the next token "
         "that begins in line 2)"},
        {"a mapping that goes nowhere", "a: b: c\n",
         "f.yaml:1: mapping values are not allowed in this context"},
        {"a list that is not closed", "a: [1,\n2\n",
         "f.yaml:3: did not find expected ',' or ']' (while parsing a flow sequence that begins in "
         "line 1)"},
        {"invalid UTF-8", "a: 1\nb: \xff\n", "f.yaml:2: invalid UTF-8"},
        {"a control character", "a: \x01\n", "f.yaml:1: control characters are not allowed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("  %s\n", cases[i].sentence);
        assert_refused(cases[i].text, cases[i].message);
    }
}

static void documents_come_with_the_line_they_start_on(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count;
        unsigned lines[3];
    } cases[] = {
        {"# comment\n\na: 1\n---\n# comment\n\n\nb: 2\n---\n- c\n", 3, {3, 8, 10}},
        {"---\na: 1\n...\n---\n---\nb: 2\n", 2, {2, 6}},
        {"\n{\"a\":\n1}\n\n{\"b\":2} {\"c\":3}", 3, {2, 5, 5}},
        {"{a: 1}\n---\n\n{b: 2}", 2, {1, 4}},
        {"", 0, {0}},
        {"# only a comment", 0, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct collection collection = {.documents = json_new_array()};
        assert_true(yaml_parse(cases[i].text, strlen(cases[i].text), "f", NULL, collect,
                               &collection, NULL));
        assert_int_equal(json_size(collection.documents), cases[i].count);
        for (size_t j = 0; j < cases[i].count; j++) {
            assert_int_equal(collection.lines[j], cases[i].lines[j]);
        }
        json_free(collection.documents);
    }
}

static void the_callers_refusal_ends_the_stream(void **state)
{
    (void)state;
    static const char *const texts[] = {"a: 1\n---\nb: 2\n---\nc: 3\n",
                                        "{\"a\":1}{\"b\":2}{\"c\":3}"};
    for (size_t i = 0; i < 2; i++) {
        struct collection collection = {.documents = json_new_array(), .stop_after = 2};
        struct error error = {0};
        assert_false(
            yaml_parse(texts[i], strlen(texts[i]), "f", NULL, collect, &collection, &error));
        assert_string_equal(error.message, "enough");
        assert_int_equal(json_size(collection.documents), 2);
        json_free(collection.documents);
    }
}

static void assert_limit(const char *text, size_t size, struct yaml_limits limits,
                         const char *message)
{
    struct collection collection = {.documents = json_new_array()};
    struct error error = {0};
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    assert_false(yaml_parse(text, size, "f", &limits, collect, &collection, &error));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    assert_int_equal(error.code, ERROR_LIMIT);
    assert_string_equal(error.message, message);
    assert_true(after.tv_sec - before.tv_sec < 3); /* unlimited, libyaml takes 6 s and more */
    json_free(collection.documents);
}

static void limits_hold_and_are_named(void **state)
{
    (void)state;
    const struct yaml_limits small = {.bytes = 40, .depth = 3, .nodes = 8};
    assert_limit("a: 1                                     ", 41, small,
                 "f: 41 bytes are more than the 40 allowed");
    assert_limit("a:\n b:\n  c:\n   d: 1", 19, small, "f:4: nested too deeply");
    assert_limit("[1,2,3,4,\n5,6,7,8]", 18, small,
                 "f:2: too many values (aliases count as often as used)");
    assert_limit("{\"a\":[1,2,3,4,5,\n6,7,8]}", 24, small,
                 "f:2: too many values (aliases count as often as used)");
    assert_limit("{\"a\":{\"b\":{\"c\":\n{}}}}", 21, small, "f:2: nested too deeply");
    assert_limit("a: 1\n---\nb: 2\n---\nc: 3\n", 23, small,
                 "f:5: too many values (aliases count as often as used)");
}

static void deep_nesting_fails_fast(void **state)
{
    (void)state;
    enum { SIZE = 100000 };
    static const char *const patterns[] = {"[",    "{",  "- ",      "? ",
                                           "{a: ", "[{", "!!seq [", "{\"a\":["};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        print_message("  %s\n", patterns[i]);
        AUTO_BUF struct buf text;
        buf_init(&text, SIZE + 16);
        while (text.size < SIZE) {
            buf_append_string(&text, patterns[i]);
        }
        struct timespec before, after;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        struct collection collection = {.documents = json_new_array()};
        struct error error = {0};
        assert_false(yaml_parse(text.data, text.size, "f", NULL, collect, &collection, &error));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
        assert_true(after.tv_sec - before.tv_sec < 2);
        json_free(collection.documents);
    }
}

static void aliases_are_charged_as_often_as_they_are_expanded(void **state)
{
    (void)state;
    AUTO_BUF struct buf text;
    buf_init(&text, 65536);
    buf_append_string(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 20; i++) {
        buf_append_format(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 9; j++) {
            buf_append_format(&text, "%s*a%d", j ? ", " : "", i - 1);
        }
        buf_append_string(&text, "]\n");
    }
    assert_limit(text.data, text.size, yaml_default_limits,
                 "f:6: too many values (aliases count as often as used)");
}

static void what_an_anchor_names_survives_all_that_happens_to_the_tree(void **state)
{
    (void)state;
    assert_yaml("a:\n  <<: &m {x: &n {y_: 1}}\n  x: 2\nb: *m\nc: *n\n",
                "[{\"a\":{\"x\":2},\"b\":{\"x\":{\"y_\":1}},\"c\":{\"y_\":1}}]");
}

static void a_stream_may_be_json_with_a_byte_order_mark(void **state)
{
    (void)state;
    assert_yaml("\xef\xbb\xbf{\"a\":\"\\ud83d\\ude00\"}", "[{\"a\":\"\xf0\x9f\x98\x80\"}]");
    assert_yaml("\xef\xbb\xbf"
                "a: 1\n",
                "[{\"a\":1}]");
}

/* ---- Writing ---- */

static void assert_written(const char *json, const char *wanted)
{
    AUTO_JSON cJSON *tree = NULL;
    assert_true(json_parse(json, strlen(json), NULL, &tree, NULL));
    AUTO_BUF struct buf out;
    buf_init(&out, 65536);
    assert_true(yaml_write(tree, &out));
    assert_string_equal(out.data, wanted);
}

static void what_is_written_is_pleasant_to_read(void **state)
{
    (void)state;
    assert_written("{\"kind\":\"A\",\"l\":[1,{\"x\":1,\"y\":[true]},[2,[3]],[]],\"o\":{\"p\":{}},"
                   "\"n\":null}",
                   "kind: A\n"
                   "l:\n"
                   "- 1\n"
                   "- x: 1\n"
                   "  \"y\":\n"
                   "  - true\n"
                   "- - 2\n"
                   "  - - 3\n"
                   "- []\n"
                   "o:\n"
                   "  p: {}\n"
                   "\"n\": null\n");
    assert_written(
        "{\"script\":\"#!/bin/sh\\n\\n  exit 0\\n\",\"l\":[\"a\\nb\"],\"k\":\"x\\n\\n\"}",
        "script: |\n"
        "  #!/bin/sh\n"
        "\n"
        "    exit 0\n"
        "l:\n"
        "- |-\n"
        "  a\n"
        "  b\n"
        "k: |+\n"
        "  x\n"
        "\n");
    assert_written("[]", "[]\n");
    assert_written("\"a\\nb\"", "\"a\\nb\"\n");
}

static void assert_round_trip(const cJSON *tree)
{
    AUTO_BUF struct buf out;
    buf_init(&out, 16 << 20);
    assert_true(yaml_write(tree, &out));
    struct error error = {0};
    AUTO_JSON cJSON *documents = parse_all(out.data, &error);
    if (!documents) {
        fail_msg("%s\n%s", error.message, out.data);
    }
    AUTO_FREE char *before = canonical(tree);
    AUTO_FREE char *after = json_first(documents) ? canonical(json_first(documents)) : NULL;
    assert_string_equal(text_or_empty(after), before);
}

/* As a value, in a list, in a list of lists, as a key, and below a key. */
static void assert_string_survives(const char *text)
{
    AUTO_JSON cJSON *tree = json_new_object();
    json_add_string(tree, "value", text);
    cJSON *list = json_add_array(tree, "list");
    json_append(list, json_new_string(text));
    json_append(json_append(list, json_new_array()), json_new_string(text));
    json_add_string(json_append(list, json_new_object()), text, text);
    json_add_string(json_add_object(tree, text), text, text);
    assert_round_trip(tree);
}

static void every_string_is_read_back_as_itself(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "a",
        "a ",
        " a",
        "\n",
        "\n\n",
        "a\n",
        "a\n\n",
        "a\n\n\n",
        "\na",
        " \na",
        "a\n ",
        "a\n b",
        "a\n\tb",
        "a\n \nb",
        "a\t\nb",
        "\ta\nb",
        "a\r\nb",
        "a\x7f",
        "a\nb\x7f",
        "a\x01",
        "yes",
        "No",
        "y",
        "on",
        "~",
        "null",
        "true",
        "12",
        "1e3",
        "0x1f",
        "0777",
        ".5",
        ".inf",
        "1_0",
        "2001-01-01",
        "12:30:45",
        "-1:30",
        "1.2.3",
        "-",
        "--",
        "---",
        "--- a",
        "...",
        "... a",
        "?",
        "? a",
        ":",
        "a: b",
        "a:",
        "a :b",
        "a #b",
        "a#b",
        "#a",
        "[a",
        "{a",
        "]",
        "}",
        "a, b",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "'",
        "'a'",
        "\"",
        "\"a\"",
        "a\"b",
        "a'b",
        "\\",
        "a\\nb",
        "<<",
        "=",
        "${A}",
        "$(date)",
        "http://a.b:80/c?d=e#f",
        "*.example.org",
        "\xc3\xa9",
        "\xc2\x85",
        "a\xc2\x85"
        "b\nc",
        "\xc2\xa0",
        "\xe2\x80\xa8",
        "\xef\xbb\xbf"
        "a",
        "\xef\xbf\xbe",
        "\xef\xbf\xbd",
        "\xf0\x9f\x98\x80",
        "\xf0\x9f\x98\x80\n\xf0\x9f\x98\x80\n",
        "a\n---\nb\n",
        "---\n",
        "...\n",
        "key: |\n  text\n",
        "- a\n- b\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_string_survives(texts[i]);
        AUTO_JSON cJSON *alone = json_new_string(texts[i]);
        assert_round_trip(alone);
    }
    AUTO_FREE char *longest = mem_new(5001, 1);
    memset(longest, 'x', 5000);
    assert_string_survives(longest);
    memcpy(longest + 2000, " : ", 3);
    assert_string_survives(longest);
}

static void numbers_and_words_are_read_back_as_themselves(void **state)
{
    (void)state;
    static const char text[] =
        "[0,-1,9223372036854775807,1.5,1e-7,1e+21,-0.25,true,false,null,{},[],"
        "[[]],[{}],{\"\":{\"\":[]}}]";
    AUTO_JSON cJSON *tree = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &tree, NULL));
    assert_round_trip(tree);
}

static bool drop_document(cJSON *tree, unsigned line, void *context, struct error *error)
{
    (void)line;
    (void)context;
    (void)error;
    json_free(tree);
    return true;
}

static void a_long_text_aliased_often_is_charged_by_its_bytes(void **state)
{
    (void)state;
    AUTO_BUF struct buf text;
    buf_init(&text, 16 << 20);
    buf_append_string(&text, "a: &x \"");
    for (int i = 0; i < 4 << 20; i++) {
        buf_append_char(&text, 'x');
    }
    buf_append_string(&text, "\"\nb: [");
    for (int i = 0; i < 2000; i++) {
        buf_append_string(&text, "*x,");
    }
    buf_append_string(&text, "]\n");
    struct error error;
    assert_false(yaml_parse(text.data, text.size, "f.yaml", NULL, drop_document, NULL, &error));
    assert_string_equal(error.message,
                        "f.yaml:2: too many values (aliases count as often as used)");
}

static void a_value_knows_its_line(void **state)
{
    (void)state;
    struct error error = {0};
    AUTO_JSON cJSON *documents =
        parse_all("# a comment\na: 1\nb:\n  - x\n  - {c: y,\n     d: true}\n", &error);
    assert_non_null(documents);
    const cJSON *tree = json_first(documents);
    assert_int_equal(yaml_line(tree), 2);
    assert_int_equal(yaml_line(json_get(tree, "a")), 2);
    const cJSON *list = json_get(tree, "b");
    assert_int_equal(yaml_line(list), 4);
    assert_int_equal(yaml_line(json_first(list)->next), 5);
    assert_int_equal(yaml_line(json_get(json_first(list)->next, "d")), 6);
    assert_int_equal(yaml_line(NULL), 0);
    AUTO_JSON cJSON *json = parse_all("{\"a\":\n1}", &error);
    assert_int_equal(yaml_line(json_get(json_first(json), "a")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_knows_its_line),
        cmocka_unit_test(scalars_are_typed_as_kubectl_types_them),
        cmocka_unit_test(documents_are_read_as_kubectl_reads_them),
        cmocka_unit_test(every_fault_is_reported_with_file_and_line),
        cmocka_unit_test(documents_come_with_the_line_they_start_on),
        cmocka_unit_test(the_callers_refusal_ends_the_stream),
        cmocka_unit_test(limits_hold_and_are_named),
        cmocka_unit_test(deep_nesting_fails_fast),
        cmocka_unit_test(aliases_are_charged_as_often_as_they_are_expanded),
        cmocka_unit_test(a_long_text_aliased_often_is_charged_by_its_bytes),
        cmocka_unit_test(what_an_anchor_names_survives_all_that_happens_to_the_tree),
        cmocka_unit_test(a_stream_may_be_json_with_a_byte_order_mark),
        cmocka_unit_test(what_is_written_is_pleasant_to_read),
        cmocka_unit_test(every_string_is_read_back_as_itself),
        cmocka_unit_test(numbers_and_words_are_read_back_as_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
