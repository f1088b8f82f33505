/* fields_lost.jsonl and fields_paths.jsonl hold what the API server's own library says of some
 * hundred sets; tests/oracle/regenerate makes them anew. */
#include "common/data/fields_internal.h"

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

static bool collect(const char *path, void *context)
{
    struct buf *out = context;
    if (out->size > 0) {
        buf_append_char(out, ' ');
    }
    buf_append_string(out, path);
    return true;
}

static void steps_are_printed_as_people_read_them(void **state)
{
    (void)state;
    static const struct {
        const char *member, *wanted;
    } cases[] = {
        {"f:image", ".image"},
        {"f:_under9", "._under9"},
        {"f:app.kubernetes.io/name", "[\"app.kubernetes.io/name\"]"},
        {"f:a:b", "[\"a:b\"]"},
        {"f:9lives", "[\"9lives\"]"},
        {"f:", "[\"\"]"},
        {"f:with \"quote\"", "[\"with\\u0020\\\"quote\\\"\"]"},
        {"k:{\"name\":\"c\"}", "[name=\"c\"]"},
        {"k:{\"protocol\":\"TCP\",\"containerPort\":80}", "[containerPort=80,protocol=\"TCP\"]"},
        {"k:{\"a.b\":true}", "[\"a.b\"=true]"},
        {"k:{\"name\":\"a b\"}", "[name=\"a\\u0020b\"]"},
        {"k:broken", "[\"k:broken\"]"},
        {"k:[1]", "[\"k:[1]\"]"},
        {"v:\"item\"", "[\"item\"]"},
        {"v:12", "[12]"},
        {"v:{\"b\": 1, \"a\": 2}", "[{\"a\":2,\"b\":1}]"},
        {"i:3", "[3]"},
        {"i: 3", "[\"i:\\u00203\"]"},
        {".", ""},
        {"x:unknown", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUF struct buf out;
        buf_init(&out, 4096);
        assert_true(fields_append_step(&out, cases[i].member));
        assert_string_equal(out.data, cases[i].wanted);
    }
}

static void steps_are_resolved_in_objects(void **state)
{
    (void)state;
    AUTO_JSON cJSON *tree = parse(
        "{\"map\":{\"a:b\":1,\"c.d/e\":2},\"list\":[{\"name\":\"x\",\"p\":80},{\"name\":\"y\","
        "\"p\":80},{\"name\":\"y\",\"p\":81}],\"set\":[\"s\",5,{\"k\":1}]}");
    static const struct {
        const char *parent, *member, *wanted;
    } cases[] = {
        {"map", "f:a:b", "1"},
        {"map", "f:c.d/e", "2"},
        {"map", "f:none", NULL},
        {"map", "k:{\"name\":\"x\"}", NULL},
        {"map", "i:0", NULL},
        {"list", "k:{\"name\":\"x\"}", "{\"name\":\"x\",\"p\":80}"},
        {"list", "k:{\"p\":81,\"name\":\"y\"}", "{\"name\":\"y\",\"p\":81}"},
        {"list", "k:{\"p\":8e1,\"name\":\"y\"}", "{\"name\":\"y\",\"p\":80}"},
        {"list", "k:{\"name\":\"z\"}", NULL},
        {"list", "k:{\"name\":\"x\",\"q\":1}", NULL},
        {"list", "k:broken", NULL},
        {"list", "k:7", NULL},
        {"list", "f:name", NULL},
        {"list", "i:1", "{\"name\":\"y\",\"p\":80}"},
        {"list", "i:3", NULL},
        {"list", "i:-1", NULL},
        {"list", "i:x", NULL},
        {"set", "v:\"s\"", "\"s\""},
        {"set", "v:5.0", "5"},
        {"set", "v:{\"k\":1}", "{\"k\":1}"},
        {"set", "v:\"t\"", NULL},
        {"set", "x:\"s\"", NULL},
        {"set", ".", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("  %s %s\n", cases[i].parent, cases[i].member);
        const cJSON *found = fields_resolve(json_get(tree, cases[i].parent), cases[i].member);
        if (!cases[i].wanted) {
            assert_null(found);
            continue;
        }
        AUTO_JSON cJSON *wanted = parse(cases[i].wanted);
        assert_true(json_equal(found, wanted));
    }
    assert_null(fields_resolve(NULL, "f:a"));
}

static void what_a_set_lost_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *before, *after, *wanted;
    } cases[] = {
        {"nothing", "{\"f:a\":{},\"f:b\":{\"f:c\":{}}}", "{\"f:b\":{\"f:c\":{}},\"f:a\":{}}", ""},
        {"a leaf", "{\"f:spec\":{\"f:a\":{},\"f:b\":{}}}", "{\"f:spec\":{\"f:a\":{}}}", ".spec.b"},
        {"what is gained does not matter", "{\"f:a\":{}}", "{\"f:a\":{},\"f:b\":{}}", ""},
        {"everything, when no entry is left", "{\"f:b\":{\".\":{},\"f:c\":{}},\"f:a\":{}}", NULL,
         ".a .b.c"},
        {"everything, when the set is empty", "{\"f:a\":{\"v:1\":{}}}", "{}", ".a[1]"},
        {"a field of a list item",
         "{\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:image\":{},"
         "\"f:name\":{}}}}}",
         "{\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:name\":{}}}}"
         "}",
         ".spec.containers[name=\"c\"].image"},
        {"the last child, while the container itself stays ours",
         "{\"f:labels\":{\".\":{},\"f:x\":{}}}", "{\"f:labels\":{\".\":{}}}", ".labels.x"},
        {"the last child, while the container stays ours as a leaf",
         "{\"f:labels\":{\".\":{},\"f:x\":{}}}", "{\"f:labels\":{}}", ".labels.x"},
        {"a child is kept when its ancestor is gained", "{\"f:sel\":{\"f:x\":{\"f:y\":{}}}}",
         "{\"f:sel\":{}}", ""},
        {"a leaf is kept when it is owned child by child now", "{\"f:sel\":{}}",
         "{\"f:sel\":{\"f:x\":{}}}", ""},
        {"only the container itself", "{\"f:a\":{\".\":{}}}", "{}", ".a"},
        {"the dot of a container with children is no leaf", "{\"f:a\":{\".\":{},\"f:b\":{}}}",
         "{\"f:a\":{\"f:b\":{}}}", ""},
        {"unknown prefixes are skipped", "{\"x:a\":{},\"f:b\":{\"y:c\":{}},\"\":{}}", "{}", ".b"},
        {"sorted, however the entry was written", "{\"f:b\":{},\"f:c\":{},\"f:a\":{}}",
         "{\"f:c\":{}}", ".a .b"},
        {"a set that is no object", "[]", "{}", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("  %s\n", cases[i].sentence);
        AUTO_JSON cJSON *before = parse(cases[i].before);
        AUTO_JSON cJSON *after = cases[i].after ? parse(cases[i].after) : NULL;
        AUTO_BUF struct buf out;
        buf_init(&out, 4096);
        fields_lost(before, after, collect, &out);
        assert_string_equal(out.data, cases[i].wanted);
    }
}

/* ---- Against structured-merge-diff ---- */

static bool append_path(const char *path, void *context)
{
    json_append(context, json_new_string(path));
    return true;
}

static int compare_strings(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The strings of the array, sorted, one a line. */
static char *sorted_lines(const cJSON *array)
{
    size_t count = json_size(array), i = 0;
    AUTO_FREE const char **lines = mem_new(count, sizeof *lines);
    for (const cJSON *item = json_first(array); item; item = item->next) {
        lines[i++] = item->valuestring;
    }
    qsort(lines, count, sizeof *lines, compare_strings);
    AUTO_BUF struct buf out;
    buf_init(&out, 1 << 20);
    for (i = 0; i < count; i++) {
        buf_append_format(&out, "%s\n", lines[i]);
    }
    return buf_detach(&out);
}

static void losses_are_those_that_the_servers_library_finds(void **state)
{
    (void)state;
    AUTO_BUF struct buf text;
    buf_init(&text, 16 << 20);
    struct error error = {0};
    if (!buf_read_file(&text, TEST_DATA "/fields_lost.jsonl", &error)) {
        fail_msg("%s", error.message);
    }
    unsigned pairs = 0, with_losses = 0;
    char *rest = text.data;
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
        AUTO_JSON cJSON *expectation = parse(line);
        AUTO_JSON cJSON *lost = json_new_array();
        fields_lost(json_get(expectation, "before"), json_get(expectation, "after"), append_path,
                    lost);
        AUTO_FREE char *ours = sorted_lines(lost);
        AUTO_FREE char *theirs = sorted_lines(json_get(expectation, "lost"));
        if (strcmp(ours, theirs) != 0) {
            print_error("%s\n", line);
        }
        assert_string_equal(ours, theirs);
        pairs++;
        with_losses += *theirs != '\0';
    }
    assert_true(pairs >= 300 && with_losses >= 100);
}

/* Every path that the set owns, in whatever order. */
static void collect_owned(const cJSON *set, struct buf *path, cJSON *paths)
{
    for (const cJSON *member = json_first(set); member; member = member->next) {
        if (!fields_is_step(member->string)) {
            continue;
        }
        size_t size = path->size;
        assert_true(fields_append_step(path, member->string));
        if (fields_is_owned(member) || fields_is_leaf(member)) {
            json_append(paths, json_new_string(path->data));
        }
        collect_owned(member, path, paths);
        path->size = size;
        path->data[size] = '\0';
    }
}

/* Unsorted, spelt in any way, with blanks and escapes, and with prefixes that nobody knows. */
static void paths_are_those_that_the_servers_library_reads(void **state)
{
    (void)state;
    AUTO_BUF struct buf text;
    buf_init(&text, 16 << 20);
    struct error error = {0};
    if (!buf_read_file(&text, TEST_DATA "/fields_paths.jsonl", &error)) {
        fail_msg("%s", error.message);
    }
    unsigned sets = 0, steps = 0;
    char *rest = text.data;
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
        AUTO_JSON cJSON *expectation = parse(line);
        AUTO_JSON cJSON *set = parse(json_string(expectation, "text"));
        AUTO_JSON cJSON *paths = json_new_array();
        AUTO_BUF struct buf path;
        buf_init(&path, 65536);
        buf_append_string(&path, "");
        collect_owned(set, &path, paths);
        AUTO_FREE char *ours = sorted_lines(paths);
        AUTO_FREE char *theirs = sorted_lines(json_get(expectation, "paths"));
        if (strcmp(ours, theirs) != 0) {
            print_error("%s\n", line);
        }
        assert_string_equal(ours, theirs);
        sets++;
        steps += (unsigned)json_size(paths);
    }
    assert_true(sets >= 300 && steps >= 1000);
}

static bool count_two(const char *path, void *context)
{
    (void)path;
    return ++*(int *)context < 2;
}

static void visits_stop_when_told(void **state)
{
    (void)state;
    AUTO_JSON cJSON *set = parse("{\"f:a\":{\"f:b\":{},\"f:c\":{},\"f:d\":{}},\"f:e\":{}}");
    AUTO_JSON cJSON *object = parse("{\"a\":{\"b\":1,\"c\":2,\"d\":3},\"e\":4}");
    int count = 0;
    fields_lost(set, NULL, count_two, &count);
    assert_int_equal(count, 2);
    count = 0;
    fields_changed(set, object, NULL, count_two, &count);
    assert_int_equal(count, 2);
}

static void what_changed_below_a_set_is_named(void **state)
{
    (void)state;
    static const char set[] =
        "{\"f:a\":{},\"f:map\":{\".\":{},\"f:x\":{}},\"f:empty\":{},\"f:list\":{\"k:{\\\"name\\\":"
        "\\\"c\\\"}\":{\".\":{},\"f:image\":{}}},\"f:set\":{\"v:\\\"s\\\"\":{}},\"f:atomic\":{}}";
    static const char before[] =
        "{\"a\":1,\"map\":{\"x\":\"1\",\"y\":2},\"empty\":{},\"list\":[{\"name\":\"c\",\"image\":"
        "\"i\"}],\"set\":[\"r\",\"s\"],\"atomic\":[\"p\",\"q\"]}";
    static const struct {
        const char *sentence, *member, *value, *wanted;
    } cases[] = {
        {"nothing", "a", "1", ""},
        {"the same number spelt otherwise", "a", "1.0", ""},
        {"a scalar", "a", "2", ".a"},
        {"a field beside the owned one", "map", "{\"x\":\"1\",\"y\":3}", ""},
        {"an owned field", "map", "{\"x\":\"2\"}", ".map.x"},
        {"an owned field's type", "map", "{\"x\":1}", ".map.x"},
        {"a whole container", "map", "{}", ".map.x"},
        {"an owned empty map gets a field", "empty", "{\"z\":1}", ""},
        {"an owned empty map becomes something else", "empty", "[]", ".empty"},
        {"items come and change their order", "list",
         "[{\"name\":\"b\"},{\"image\":\"i\",\"name\":\"c\"}]", ""},
        {"an item's field", "list", "[{\"name\":\"c\",\"image\":\"j\"}]",
         ".list[name=\"c\"].image"},
        {"an item", "list", "[]", ".list[name=\"c\"].image"},
        {"a set loses its item", "set", "[\"r\"]", ".set[\"s\"]"},
        {"a set loses somebody else's item", "set", "[\"s\"]", ""},
        {"a list that is owned as a whole", "atomic", "[\"q\",\"p\"]", ".atomic"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("  %s\n", cases[i].sentence);
        AUTO_JSON cJSON *fields = parse(set);
        AUTO_JSON cJSON *old = parse(before);
        AUTO_JSON cJSON *new = parse(before);
        json_set(new, cases[i].member, parse(cases[i].value));
        AUTO_BUF struct buf out;
        buf_init(&out, 4096);
        fields_changed(fields, old, new, collect, &out);
        assert_string_equal(out.data, cases[i].wanted);
        json_remove(new, "a");
        json_remove(old, "a");
        buf_clear(&out);
        fields_changed(fields, old, old, collect, &out);
        assert_string_equal(out.data, "");
    }
}

static void a_map_that_others_own_parts_of_counts_by_its_presence(void **state)
{
    (void)state;
    static const char text[] =
        "{\"metadata\":{\"managedFields\":[{\"manager\":\"other\",\"fieldsV1\":{\"f:spec\":"
        "{\"f:strategy\":{\"f:type\":{}}}}}]},\"spec\":{\"strategy\":{\"type\":\"A\"},\"selector\":"
        "{\"x\":\"1\"}}}";
    AUTO_JSON cJSON *set = parse("{\"f:spec\":{\"f:strategy\":{},\"f:selector\":{}}}");
    AUTO_JSON cJSON *before = parse(text);
    AUTO_JSON cJSON *after = parse(text);
    json_set(json_get_path(after, "spec.strategy"), "type", json_new_string("B"));
    json_set(json_get_path(after, "spec.selector"), "x", json_new_string("2"));
    AUTO_BUF struct buf out;
    buf_init(&out, 4096);
    fields_changed(set, before, after, collect, &out);
    assert_string_equal(out.data, ".spec.selector");
}

/* A list of so many items that a search per item would take minutes. */
static void wide_levels_take_no_square_time(void **state)
{
    (void)state;
    enum { COUNT = 60000 };
    AUTO_JSON cJSON *set = parse("{\"f:map\":{},\"f:keyed\":{},\"f:set\":{}}");
    AUTO_JSON cJSON *object = parse("{\"map\":{},\"keyed\":[],\"set\":[]}");
    for (int i = 0; i < COUNT; i++) {
        AUTO_FREE char *name = mem_format("n-%d", i);
        AUTO_FREE char *field = mem_format("f:n-%d", i);
        AUTO_FREE char *key = mem_format("k:{\"name\":\"n-%d\"}", COUNT - 1 - i);
        AUTO_FREE char *value = mem_format("v:\"n-%d\"", COUNT - 1 - i);
        json_add_object(json_get(set, "f:map"), field);
        json_add_object(json_add_object(json_get(set, "f:keyed"), key), "f:value");
        json_add_object(json_get(set, "f:set"), value);
        json_add_int(json_get(object, "map"), name, i);
        json_append(json_get(object, "set"), json_new_string(name));
        cJSON *item = json_append(json_get(object, "keyed"), json_new_object());
        json_add_string(item, "name", name);
        json_add_int(item, "value", i);
    }
    AUTO_JSON cJSON *after = json_copy(object);
    json_set(json_get(after, "map"), "n-7", json_new_int(0));
    json_set(json_get(after, "keyed")->child->next, "value", json_new_int(0));
    json_set(json_get(after, "keyed")->child->next->next, "name", json_new_string("other"));
    cJSON_DeleteItemFromArray(json_get(after, "set"), 5);
    AUTO_BUF struct buf out;
    buf_init(&out, 4096);
    fields_changed(set, object, after, collect, &out);
    assert_string_equal(out.data, ".keyed[name=\"n-1\"].value .keyed[name=\"n-2\"].value "
                                  ".map[\"n-7\"] .set[\"n-5\"]");
    buf_clear(&out);
    json_remove(json_get(after, "map"), "n-9");
    AUTO_JSON cJSON *less = json_copy(set);
    json_remove(json_get(less, "f:map"), "f:n-9");
    fields_lost(set, less, collect, &out);
    assert_string_equal(out.data, ".map[\"n-9\"]");
}

/* An index by one set of key names must still find items by another. */
static void wide_lists_with_mixed_keys_are_resolved(void **state)
{
    (void)state;
    AUTO_JSON cJSON *set = json_new_object();
    AUTO_JSON cJSON *object = json_new_array();
    for (int i = 0; i < 50; i++) {
        AUTO_FREE char *key = i % 2 ? mem_format("k:{\"port\":%d,\"protocol\":\"TCP\"}", i)
                                    : mem_format("k:{\"port\":%d}", i);
        json_add_object(json_add_object(set, key), "f:port");
        cJSON *item = json_append(object, json_new_object());
        json_add_int(item, "port", i);
        json_add_string(item, "protocol", i % 2 ? "TCP" : NULL);
    }
    AUTO_BUF struct buf out;
    buf_init(&out, 4096);
    fields_changed(set, object, NULL, collect, &out);
    unsigned found = 0;
    for (const char *at = strstr(out.data, "].port"); at; at = strstr(at + 1, "].port")) {
        found++;
    }
    assert_int_equal(found, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_printed_as_people_read_them),
        cmocka_unit_test(steps_are_resolved_in_objects),
        cmocka_unit_test(what_a_set_lost_is_named),
        cmocka_unit_test(losses_are_those_that_the_servers_library_finds),
        cmocka_unit_test(paths_are_those_that_the_servers_library_reads),
        cmocka_unit_test(visits_stop_when_told),
        cmocka_unit_test(what_changed_below_a_set_is_named),
        cmocka_unit_test(a_map_that_others_own_parts_of_counts_by_its_presence),
        cmocka_unit_test(wide_levels_take_no_square_time),
        cmocka_unit_test(wide_lists_with_mixed_keys_are_resolved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
