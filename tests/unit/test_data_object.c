#include "common/data/object.h"

#include "common/base/text.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
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

static void identity_is_read_from_the_object(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *text, *key, *description, *api_version;
    } cases[] = {
        {"a namespaced object of a group",
         "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"namespace\":\"shop\","
         "\"name\":\"web\"}}",
         "apps/Deployment/shop/web", "Deployment shop/web", "apps/v1"},
        {"a cluster-scoped object of the core group",
         "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"shop\"}}",
         "/Namespace//shop", "Namespace shop", "v1"},
        {"generateName will do for a name",
         "{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"metadata\":{\"generateName\":\"run-\"}}",
         "batch/Job//", "Job ", "batch/v1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("  %s\n", cases[i].sentence);
        AUTO_JSON cJSON *tree = parse(cases[i].text);
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        struct object_ref ref;
        assert_true(object_ref_from_json(tree, &arena, &ref, NULL));
        assert_string_equal(object_ref_key(&ref, &arena), cases[i].key);
        assert_string_equal(object_ref_describe(&ref, &arena), cases[i].description);
        assert_string_equal(object_ref_api_version(&ref, &arena), cases[i].api_version);
    }
}

static void what_is_not_an_object_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "not a Kubernetes object: a mapping with apiVersion and kind is expected"},
        {"\"x\"", "not a Kubernetes object: a mapping with apiVersion and kind is expected"},
        {"{}", "apiVersion is missing"},
        {"{\"apiVersion\":null,\"kind\":\"A\"}", "apiVersion is missing"},
        {"{\"apiVersion\":1,\"kind\":\"A\"}", "apiVersion must be a string that is not empty"},
        {"{\"apiVersion\":\"v1\"}", "kind is missing"},
        {"{\"apiVersion\":\"v1\",\"kind\":\"\"}", "kind must be a string that is not empty"},
        {"{\"apiVersion\":\"a/b/c\",\"kind\":\"A\"}",
         "apiVersion \"a/b/c\" is neither \"version\" nor \"group/version\""},
        {"{\"apiVersion\":\"/v1\",\"kind\":\"A\"}",
         "apiVersion \"/v1\" is neither \"version\" nor \"group/version\""},
        {"{\"apiVersion\":\"v1\",\"kind\":\"A\"}", "A: metadata.name is missing"},
        {"{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":[]}", "A: metadata.name is missing"},
        {"{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":5}}",
         "A: metadata.name is not text: a number, yes, no, on, off, y and n need quotes"},
        {"{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"a\",\"namespace\":false}}",
         "A: metadata.namespace is not text: a number, yes, no, on, off, y and n need quotes"},
        {"{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":null}}",
         "A: metadata.name is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_JSON cJSON *tree = parse(cases[i].text);
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        struct object_ref ref;
        struct error error = {0};
        assert_false(object_ref_from_json(tree, &arena, &ref, &error));
        assert_string_equal(error.message, cases[i].message);
    }
}

static void label_values_fit_and_stay_distinct(void **state)
{
    (void)state;
    char value[OBJECT_LABEL_VALUE_SIZE];
    object_label_value("shop", "web", value);
    assert_string_equal(value, "shop.web");

    char name[60] = {0};
    memset(name, 'n', 59);
    object_label_value("abc", name, value); /* 63: still as it is */
    assert_int_equal(strlen(value), 63);
    assert_null(strchr(value, '-'));
    object_label_value("abcd", name, value);
    assert_int_equal(strlen(value), 63);
    assert_int_equal(value[46], '-');
    assert_memory_equal(value, "abcd.", 5);
    /* printf 'abcd.%059d' 0 | tr 0 n | sha256sum, first 16 digits */
    assert_string_equal(value + 47, "f9470e056dc777ce");
}

static const char live_text[] =
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\","
    "\"labels\":{\"gitmoor.io/managed-by\":\"shop.web\",\"app\":\"web\"},\"managedFields\":["
    "{\"manager\":\"kube-controller-manager\",\"operation\":\"Update\",\"subresource\":\"status\","
    "\"fieldsV1\":{\"f:status\":{\"f:replicas\":{}}}},"
    "{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"apiVersion\":\"apps/v1\","
    "\"time\":\"2026-01-02T03:04:05Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":"
    "{\"f:metadata\":{\"f:labels\":{\"f:gitmoor.io/managed-by\":{}}},"
    "\"f:spec\":{\"f:replicas\":{},\"f:selector\":{},\"f:strategy\":{},"
    "\"f:template\":{\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"c\\\"}\":"
    "{\".\":{},\"f:name\":{},\"f:image\":{}}}}}}}},"
    "{\"manager\":\"kubectl\",\"operation\":\"Update\",\"fieldsV1\":"
    "{\"f:metadata\":{\"f:labels\":{\"f:app\":{}}},\"f:spec\":{\"f:strategy\":{\"f:type\":{}}}}}]},"
    "\"spec\":{\"replicas\":2,\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
    "\"strategy\":{\"type\":\"RollingUpdate\"},\"template\":{\"spec\":{\"containers\":["
    "{\"name\":\"c\",\"image\":\"i:1\",\"args\":[\"x\"]}]}}},\"status\":{\"replicas\":2}}";

static struct digest fingerprint(const cJSON *live)
{
    struct digest digest;
    object_fingerprint(live, &digest);
    return digest;
}

static void replace(cJSON *tree, const char *path, const char *name, const char *value)
{
    json_set(json_get_path(tree, path), name, parse(value));
}

static cJSON *entry(cJSON *tree, int index)
{
    cJSON *item = json_first(json_get_path(tree, "metadata.managedFields"));
    while (index-- > 0) {
        item = item->next;
    }
    return item;
}

static void the_fingerprint_follows_what_git_declares_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *path, *name, *value;
        bool differs;
    } cases[] = {
        {"a declared scalar changes", "spec", "replicas", "3", true},
        {"a declared scalar goes", "spec", "replicas", "null", true},
        {"our label changes", "metadata.labels", "gitmoor.io/managed-by", "\"x.y\"", true},
        {"a map that is owned as a whole changes", "spec", "selector", "{\"matchLabels\":{}}",
         true},
        {"a list item's declared field changes", "spec.template.spec", "containers",
         "[{\"name\":\"c\",\"image\":\"i:2\"}]", true},
        {"a list item goes", "spec.template.spec", "containers", "[]", true},
        {"a sidecar comes before the declared item", "spec.template.spec", "containers",
         "[{\"name\":\"s\",\"image\":\"j\"},{\"image\":\"i:1\",\"name\":\"c\"}]", false},
        {"what another manager owns in a shared map changes", "spec", "strategy",
         "{\"type\":\"Recreate\"}", false},
        {"a shared map goes", "spec", "strategy", "null", true},
        {"a label of somebody else changes", "metadata.labels", "app", "\"other\"", false},
        {"the status changes", "status", "replicas", "1", false},
        {"the resource version changes", "metadata", "resourceVersion", "\"77\"", false},
        {"the same number is the same", "spec", "replicas", "2", false},
    };
    AUTO_JSON cJSON *live = parse(live_text);
    struct digest before = fingerprint(live);
    assert_false(digest_is_zero(&before));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("  %s\n", cases[i].sentence);
        AUTO_JSON cJSON *changed = json_copy(live);
        replace(changed, cases[i].path, cases[i].name, cases[i].value);
        struct digest after = fingerprint(changed);
        assert_int_equal(!digest_equal(&before, &after), cases[i].differs);
    }
}

static void the_fingerprint_ignores_time_version_and_order_of_the_entries(void **state)
{
    (void)state;
    AUTO_JSON cJSON *live = parse(live_text);
    struct digest before = fingerprint(live);
    json_set(entry(live, 1), "time", json_new_string("2027-01-02T03:04:05Z"));
    json_set(entry(live, 1), "apiVersion", json_new_string("apps/v2"));
    cJSON *entries = json_get_path(live, "metadata.managedFields");
    json_append(entries, cJSON_DetachItemFromArray(entries, 0));
    cJSON *set = json_get_path(entry(live, 0), "fieldsV1.f:spec");
    json_append(entries, cJSON_DetachItemFromArray(entries, 1));
    cJSON *first = cJSON_DetachItemViaPointer(set, set->child);
    json_add(set, "f:replicas", first); /* last now */
    struct digest after = fingerprint(live);
    assert_true(digest_equal(&before, &after));
}

static void the_fingerprint_notices_a_field_that_the_entry_gains_or_loses(void **state)
{
    (void)state;
    AUTO_JSON cJSON *live = parse(live_text);
    struct digest before = fingerprint(live);
    cJSON *spec = json_get(json_get(entry(live, 1), "fieldsV1"), "f:spec");
    json_remove(spec, "f:replicas");
    struct digest lost = fingerprint(live);
    assert_false(digest_equal(&before, &lost));
    json_add_object(spec, "f:replicas");
    json_add_object(spec, "f:paused");
    struct digest gained = fingerprint(live);
    assert_false(digest_equal(&before, &gained));
}

static void without_an_entry_of_ours_there_is_no_fingerprint(void **state)
{
    (void)state;
    static const char *const entries[] = {
        "null",
        "[]",
        "[{}]",
        "{}",
        "[{\"manager\":\"gitmoor\",\"operation\":\"Update\",\"fieldsV1\":{}}]",
        "[{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"subresource\":\"status\",\"fieldsV1\":"
        "{}}]",
        "[{\"manager\":\"Gitmoor\",\"operation\":\"Apply\",\"fieldsV1\":{}}]",
        "[{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"fieldsV1\":[]}]",
    };
    AUTO_JSON cJSON *live = parse(live_text);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        replace(live, "metadata", "managedFields", entries[i]);
        assert_null(object_managed_fields(live));
        struct digest digest = fingerprint(live);
        assert_true(digest_is_zero(&digest));
    }
    struct digest digest = fingerprint(NULL);
    assert_true(digest_is_zero(&digest));
}

static void of_several_entries_the_newest_counts(void **state)
{
    (void)state;
    AUTO_JSON cJSON *live = parse(
        "{\"metadata\":{\"managedFields\":["
        "{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"time\":\"2026-01-02T00:00:00Z\","
        "\"fieldsV1\":{\"f:new\":{}}},"
        "{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"time\":\"2026-01-01T00:00:00Z\","
        "\"fieldsV1\":{\"f:old\":{}}},"
        "{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"fieldsV1\":{\"f:timeless\":{}}}]}}");
    assert_non_null(json_get(object_managed_fields(live), "f:new"));
}

static void the_label_is_read(void **state)
{
    (void)state;
    AUTO_JSON cJSON *live = parse(live_text);
    assert_string_equal(object_label(live), "shop.web");
    replace(live, "metadata", "labels", "[]");
    assert_null(object_label(live));
    assert_null(object_label(NULL));
}

static void a_source_is_a_word_that_tells_its_kind(void **state)
{
    static const struct {
        const char *source, *word, *name, *kind;
    } rows[] = {
        {"{\"repository\":\"shop\"}", "shop", "shop", "GitRepository"},
        {"{\"helmRepository\":\"web\"}", "helm:web", "web", "HelmRepository"},
        {"{\"repository\":\"shop\",\"helmRepository\":\"web\"}", "shop", "shop", "GitRepository"},
        {"{}", NULL, NULL, NULL},
        {"7", NULL, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_FREE char *text = mem_format("{\"spec\":{\"source\":%s}}", rows[i].source);
        struct error error;
        AUTO_JSON cJSON *application = NULL;
        assert_true(json_parse(text, strlen(text), NULL, &application, &error));
        AUTO_FREE char *word = object_source_word(application);
        assert_true(text_equal(word, rows[i].word));
        if (word) {
            const char *kind;
            assert_string_equal(object_source_name(word, &kind), rows[i].name);
            assert_string_equal(kind, rows[i].kind);
        }
    }
    assert_null(object_source_word(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_is_read_from_the_object),
        cmocka_unit_test(what_is_not_an_object_is_refused_with_the_reason),
        cmocka_unit_test(label_values_fit_and_stay_distinct),
        cmocka_unit_test(the_fingerprint_follows_what_git_declares_and_nothing_else),
        cmocka_unit_test(the_fingerprint_ignores_time_version_and_order_of_the_entries),
        cmocka_unit_test(the_fingerprint_notices_a_field_that_the_entry_gains_or_loses),
        cmocka_unit_test(without_an_entry_of_ours_there_is_no_fingerprint),
        cmocka_unit_test(of_several_entries_the_newest_counts),
        cmocka_unit_test(the_label_is_read),
        cmocka_unit_test(a_source_is_a_word_that_tells_its_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
