/* What an Application leaves alone: which objects, which fields, and what is sent without them. */
#include "common/base/memory.h"
#include "differ/ignore_fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OBJECT                                                                                     \
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"annotations\":{\"a/b\":"  \
    "\"1\"},\"labels\":{\"app\":\"web\"},\"name\":\"web\",\"namespace\":\"shop\"},\"spec\":{"      \
    "\"list\":[{\"name\":\"x\",\"v\":1},{\"name\":\"y\"}],\"replicas\":3}}"

static const struct row {
    const char *name, *rules;
    const char *gone; /* what the text lacks afterwards; NULL: it is as it was */
    const char *left; /* the pointers, each followed by a blank */
} rows[] = {
    {"nothing", "[]", NULL, ""},
    {"replicas of everything", "[{\"paths\":[\"/spec/replicas\"]}]", ",\"replicas\":3",
     "/spec/replicas /spec/replicas "},
    {"by kind", "[{\"target\":{\"kind\":\"Deployment\"},\"paths\":[\"/spec/list\"]}]",
     "\"list\":[{\"name\":\"x\",\"v\":1},{\"name\":\"y\"}],", "/spec/list "},
    {"by another kind", "[{\"target\":{\"kind\":\"Service\"},\"paths\":[\"/spec/list\"]}]", NULL,
     ""},
    {"by group, namespace and name, as patterns",
     "[{\"target\":{\"group\":\"app?\",\"namespace\":\"sh*\",\"name\":\"[vw]eb\"},"
     "\"paths\":[\"/spec/list/0/v\"]}]",
     ",\"v\":1", "/spec/list/0/v "},
    {"by the core group", "[{\"target\":{\"group\":\"\"},\"paths\":[\"/spec/list\"]}]", NULL, ""},
    {"by label", "[{\"target\":{\"labels\":{\"app\":\"web\"}},\"paths\":[\"/spec/list/0/v\"]}]",
     ",\"v\":1", "/spec/list/0/v "},
    {"by another label", "[{\"target\":{\"labels\":{\"app\":\"db\"}},\"paths\":[\"/spec/list\"]}]",
     NULL, ""},
    {"the label that selects it, and more",
     "[{\"target\":{\"labels\":{\"app\":\"web\"}},\"paths\":[\"/metadata/labels/app\"]}]",
     "\"labels\":{\"app\":\"web\"},", "/metadata/labels/app "},
    {"the last of a map", "[{\"paths\":[\"/metadata/annotations/a~1b\"]}]",
     "\"annotations\":{\"a/b\":\"1\"},", "/metadata/annotations/a~1b "},
    {"a field that is not there", "[{\"paths\":[\"/spec/none/of/it\"]}]", NULL,
     "/spec/none/of/it "},
    {"an item of a list keeps what identifies it, and its place",
     "[{\"paths\":[\"/spec/list/1/name\"]}]", "\"name\":\"y\"", "/spec/list/1/name "},
    {"identity, ours, and what is no pointer",
     "[{\"paths\":[\"/kind\",\"/apiVersion\",\"/metadata\",\"/metadata/name\",\"/metadata/"
     "namespace\","
     "\"/metadata/labels\",\"/metadata/labels/gitmoor.io~1managed-by\",\"\",\"spec\",7]}]",
     NULL, ""},
    {"a name that begins with that of an identity",
     "[{\"paths\":[\"/kinds\",\"/metadata/names\"]}]", NULL, "/kinds /metadata/names "},
};

static char *without(const char *text, const char *gone)
{
    const char *at = gone ? strstr(text, gone) : NULL;
    return at ? mem_format("%.*s%s", (int)(at - text), text, at + strlen(gone)) : mem_string(text);
}

static void fields_are_left_alone_as_the_rules_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_JSON cJSON *list = NULL, *object = NULL;
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        AUTO_BUF struct buf text, left;
        buf_init(&text, 65536);
        buf_init(&left, 65536);
        assert_true(json_parse(rows[i].rules, strlen(rows[i].rules), NULL, &list, NULL));
        assert_true(json_parse(OBJECT, strlen(OBJECT), NULL, &object, NULL));
        struct object_ref ref;
        assert_true(object_ref_from_json(object, &arena, &ref, NULL));
        struct ignore_fields ignore;
        ignore_fields_read(list, &ignore);
        const char *const *pointers;
        size_t count;
        ignore_fields_take(&ignore, &ref, object, &arena, &pointers, &count);
        for (size_t j = 0; j < count; j++) {
            buf_append_format(&left, "%s ", pointers[j]);
        }
        json_write(object, &text);
        AUTO_FREE char *expected = without(OBJECT, rows[i].gone);
        if (strcmp(text.data, expected) != 0 || strcmp(left.data, rows[i].left) != 0) {
            fail_msg("%s:\n%s\n%s\n%s", rows[i].name, text.data, expected, left.data);
        }
        ignore_fields_release(&ignore);
    }
}

static void a_changed_list_is_another_text(void **state)
{
    (void)state;
    static const char *const lists[] = {"[{\"paths\":[\"/a\"],\"target\":{}}]",
                                        "[{\"target\":{},\"paths\":[\"/a\"]}]",
                                        "[{\"target\":{},\"paths\":[\"/b\"]}]"};
    struct ignore_fields ignores[3];
    for (size_t i = 0; i < 3; i++) {
        AUTO_JSON cJSON *list = NULL;
        assert_true(json_parse(lists[i], strlen(lists[i]), NULL, &list, NULL));
        ignore_fields_read(list, &ignores[i]);
    }
    assert_string_equal(ignores[0].text, ignores[1].text);
    assert_string_not_equal(ignores[0].text, ignores[2].text);
    for (size_t i = 0; i < 3; i++) {
        ignore_fields_release(&ignores[i]);
    }
    ignore_fields_read(NULL, &ignores[0]);
    assert_null(ignores[0].text);
    ignore_fields_release(&ignores[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_left_alone_as_the_rules_say),
        cmocka_unit_test(a_changed_list_is_another_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
