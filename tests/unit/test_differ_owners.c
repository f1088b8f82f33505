/* owners_edit: which managedFields are written before an object is applied. */
#include "common/base/memory.h"
#include "differ/owners.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ENTRY(manager, operation, more, set)                                                       \
    "{\"fieldsV1\":" set ",\"manager\":\"" manager "\",\"operation\":\"" operation "\"" more "}"
#define OURS(set) ENTRY("gitmoor", "Apply", "", set)
#define BY(manager, set) ENTRY(manager, "Update", "", set)
#define KIND(api, kind, entries, body)                                                             \
    "{\"apiVersion\":\"" api "\",\"kind\":\"" kind "\",\"metadata\":{\"name\":\"a\","              \
    "\"managedFields\":[" entries "]}," body "}"
#define MAP(entries) KIND("v1", "ConfigMap", entries, "\"data\":{\"a\":\"1\",\"b\":\"2\"}")
#define WEB(entries)                                                                               \
    KIND("apps/v1", "Deployment", entries,                                                         \
         "\"spec\":{\"replicas\":3,\"list\":[{\"name\":\"x\",\"v\":1},{\"name\":\"y\",\"v\":2}]}")
#define DATA(fields) "{\"f:data\":{" fields "}}"

static const struct row {
    const char *name, *live;
    const char *left;     /* a pointer, or NULL */
    const char *allowed;  /* not NULL: exact */
    const char *expected; /* entries; NULL: nothing to write */
    bool gives_up;
} rows[] = {
    {"ours alone", MAP(OURS(DATA("\"f:a\":{}"))), NULL, NULL, NULL, false},
    {"a controller beside us", MAP(OURS(DATA("\"f:a\":{}")) "," BY("istio", DATA("\"f:b\":{}"))),
     NULL, NULL, NULL, false},
    {"a person beside us", MAP(OURS(DATA("\"f:a\":{}")) "," BY("kubectl-edit", DATA("\"f:b\":{}"))),
     NULL, NULL, OURS(DATA("\"f:a\":{},\"f:b\":{}")), false},
    {"a person who owns what we own",
     MAP(BY("kubectl-edit", DATA("\"f:a\":{}")) "," OURS(DATA("\"f:a\":{}"))), NULL, NULL,
     OURS(DATA("\"f:a\":{}")), false},
    {"a person who applies, two of them, and a controller",
     MAP(ENTRY("kubectl", "Apply", "", DATA("\".\":{},\"f:b\":{}")) "," OURS(
         DATA("\"f:a\":{}")) "," BY("before-first-apply",
                                    "{\"f:x\":{}}") "," BY("istio", DATA("\"f:b\":{}"))),
     NULL, NULL,
     OURS("{\"f:data\":{\".\":{},\"f:a\":{},\"f:b\":{}},\"f:x\":{}}") "," BY("istio",
                                                                             DATA("\"f:b\":{}")),
     false},
    {"who writes a subresource",
     MAP(OURS(DATA("\"f:a\":{}")) "," ENTRY("kubectl", "Update", ",\"subresource\":\"scale\"",
                                            DATA("\"f:b\":{}"))),
     NULL, NULL, NULL, false},
    {"our name, but no apply", MAP(OURS(DATA("\"f:a\":{}")) "," BY("gitmoor", DATA("\"f:b\":{}"))),
     NULL, NULL, OURS(DATA("\"f:a\":{},\"f:b\":{}")), false},
    {"no entry of ours", MAP(BY("kubectl-edit", DATA("\"f:b\":{}"))), NULL, NULL, NULL, false},
    {"what always stays, alone",
     MAP(OURS(DATA("\"f:a\":{}")) "," BY(
         "kubectl-edit",
         "{\"f:metadata\":{\"f:annotations\":{\".\":{},\"f:gitmoor.io/x\":{}},"
         "\"f:finalizers\":{\".\":{},\"v:\\\"f\\\"\":{}}},\"f:status\":{\"f:x\":{}}}")),
     NULL, NULL, NULL, false},
    {"break-glass of an Application that is itself in Git, which ends by itself",
     KIND("gitmoor.io/v1alpha1", "Application",
          OURS("{\"f:spec\":{\"f:prune\":{}}}") "," BY(
              "kubectl-edit", "{\"f:spec\":{\"f:breakGlass\":{\"f:until\":{}}}}"),
          "\"spec\":{\"prune\":true,\"breakGlass\":{\"until\":\"x\"}}"),
     NULL, "nobody", NULL, false},
    {"what always stays, among what goes",
     MAP(OURS(DATA("\"f:a\":{}")) "," BY("kubectl-edit",
                                         "{\"f:metadata\":{\"f:annotations\":{\".\":{},\"f:"
                                         "gitmoor.io/x\":{},\"f:n\":{}}}}")),
     NULL, NULL,
     OURS("{\"f:data\":{\"f:a\":{}},\"f:metadata\":{\"f:annotations\":{\".\":{},\"f:n\":{}}"
          "}}") "," BY("kubectl-edit",
                       "{\"f:metadata\":{\"f:annotations\":{\"f:gitmoor.io/x\":{}}}}"),
     false},
    {"what stays of a kind only",
     KIND("v1", "Secret", OURS(DATA("\"f:a\":{}")) "," BY("kubectl", "{\"f:type\":{}}"),
          "\"type\":\"x\""),
     NULL, NULL, NULL, false},
    {"the same field of another kind",
     MAP(OURS(DATA("\"f:a\":{}")) "," BY("kubectl", "{\"f:type\":{}}")), NULL, NULL,
     OURS("{\"f:data\":{\"f:a\":{}},\"f:type\":{}}"), false},
    {"what is left alone is not taken",
     WEB(OURS("{\"f:x\":{}}") "," BY("kubectl", "{\"f:spec\":{\"f:replicas\":{}}}")),
     "/spec/replicas", NULL, NULL, false},
    {"what is left alone is given up", WEB(OURS("{\"f:spec\":{\"f:replicas\":{},\"f:x\":{}}}")),
     "/spec/replicas", NULL, OURS("{\"f:spec\":{\"f:x\":{}}}"), true},
    {"an item of a list by its index",
     WEB(OURS("{\"f:spec\":{\"f:list\":{\"k:{\\\"name\\\":\\\"x\\\"}\":{\"f:v\":{}},"
              "\"k:{\\\"name\\\":\\\"y\\\"}\":{\".\":{},\"f:name\":{},\"f:v\":{}}}}}")),
     "/spec/list/1/v", NULL,
     OURS("{\"f:spec\":{\"f:list\":{\"k:{\\\"name\\\":\\\"x\\\"}\":{\"f:v\":{}},"
          "\"k:{\\\"name\\\":\\\"y\\\"}\":{\".\":{},\"f:name\":{}}}}}"),
     true},
    {"a field that we do not own", WEB(OURS("{\"f:x\":{}}")), "/spec/replicas", NULL, NULL, false},
    {"exact: a controller that is not allowed",
     MAP(OURS(DATA("\"f:a\":{}")) "," BY("istio", DATA("\"f:b\":{}"))), NULL, "kube-*",
     OURS(DATA("\"f:a\":{},\"f:b\":{}")), false},
    {"exact: a controller that is allowed",
     MAP(OURS(DATA("\"f:a\":{}")) "," BY("kube-controller-manager", DATA("\"f:b\":{}"))), NULL,
     "kube-*", NULL, false},
};

#define OF(version, manager, operation, set)                                                       \
    "{\"apiVersion\":\"e/" version "\",\"fieldsV1\":" set ",\"manager\":\"" manager                \
    "\",\"operation\":\"" operation "\"}"

/* Rows whose entries are moved to e/v2. */
static const struct row moves[] = {
    {"entries of another version, and twins",
     MAP(OF("v1", "gitmoor", "Apply", DATA("\"f:a\":{}")) "," OF(
         "v1", "ctl", "Update", DATA("\"f:b\":{}")) "," OF("v2", "ctl", "Update",
                                                           DATA("\"f:c\":{}"))),
     NULL, NULL,
     OF("v2", "gitmoor", "Apply", DATA("\"f:a\":{}")) "," OF("v2", "ctl", "Update",
                                                             DATA("\"f:b\":{},\"f:c\":{}")),
     true},
    {"entries of that version", MAP(OF("v2", "gitmoor", "Apply", DATA("\"f:a\":{}"))), NULL, NULL,
     NULL, false},
};

static char *edit(const struct row *row, const char *version, bool *gives_up)
{
    struct managers people, allowed;
    managers_init(&people);
    managers_init(&allowed);
    managers_add(&people, "kubectl*,before-first-apply");
    managers_add(&allowed, row->allowed);
    AUTO_JSON cJSON *live = NULL;
    struct error error;
    if (!json_parse(row->live, strlen(row->live), NULL, &live, &error)) {
        fail_msg("%s: %s", row->name, error.message);
    }
    const struct owners_rules rules = {.people = &people,
                                       .allowed = row->allowed ? &allowed : NULL,
                                       .left = &row->left,
                                       .left_count = row->left ? 1 : 0,
                                       .api_version = version};
    char *text = owners_edit(live, &rules, gives_up);
    managers_release(&people);
    managers_release(&allowed);
    return text;
}

static void check(const struct row *row, const char *version)
{
    bool gives_up = false;
    AUTO_FREE char *text = edit(row, version, &gives_up);
    AUTO_FREE char *expected = row->expected ? mem_format("[%s]", row->expected) : NULL;
    if (!text != !expected || (text && strcmp(text, expected) != 0)) {
        fail_msg("%s:\n%s\n%s", row->name, text ? text : "nothing",
                 expected ? expected : "nothing");
    }
    if (gives_up != row->gives_up) {
        fail_msg("%s: gives up", row->name);
    }
}

static void owners_are_written_as_the_rules_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check(&rows[i], NULL);
    }
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        check(&moves[i], "e/v2");
    }
}

static void a_tool_that_has_gone_is_taken_over_beside_people(void **state)
{
    (void)state;
    static const char live[] = MAP(OF("v1", "gitmoor", "Apply", DATA("\"f:a\":{}")) "," OF(
        "v1", "kustomize-controller", "Apply", DATA("\"f:b\":{}")) "," OF("v1", "ctl", "Update",
                                                                          DATA("\"f:c\":{}")));
    struct managers people = {0}, taken = {0};
    AUTO_JSON cJSON *tree = NULL;
    assert_true(json_parse(live, strlen(live), NULL, &tree, NULL));
    managers_add(&people, "kubectl*");
    struct owners_rules rules = {.people = &people, .taken = &taken};
    bool gives_up;
    assert_null(owners_edit(tree, &rules, &gives_up));
    managers_add(&taken, "kustomize-controller");
    AUTO_FREE char *text = owners_edit(tree, &rules, &gives_up);
    assert_string_equal(text,
                        "[" OF("v1", "gitmoor", "Apply", DATA("\"f:a\":{},\"f:b\":{}")) "," OF(
                            "v1", "ctl", "Update", DATA("\"f:c\":{}")) "]");
    managers_release(&people);
    managers_release(&taken);
}

/* A set of ten thousand fields costs no more than its size. */
static void wide_sets_are_merged_by_index(void **state)
{
    (void)state;
    AUTO_BUF struct buf text, fields, data;
    buf_init(&text, 16 << 20);
    buf_init(&fields, 8 << 20);
    buf_init(&data, 8 << 20);
    for (int i = 0; i < 20000; i++) {
        buf_append_format(&fields, "%s\"f:%d\":{}", i ? "," : "", i);
        buf_append_format(&data, "%s\"%d\":\"x\"", i ? "," : "", i);
    }
    buf_append_format(&text, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
                             "\"a\",\"managedFields\":[");
    for (int i = 0; i < 2; i++) {
        buf_append_format(
            &text, "%s{\"fieldsV1\":{\"f:data\":{%s}},\"manager\":\"%s\",\"operation\":\"%s\"}",
            i ? "," : "", fields.data, i ? "kubectl" : "gitmoor", i ? "Update" : "Apply");
    }
    buf_append_format(&text, "]},\"data\":{%s}}", data.data);
    const struct row row = {.name = "wide", .live = text.data};
    bool gives_up = false;
    AUTO_FREE char *edited = edit(&row, NULL, &gives_up);
    assert_non_null(edited);
    assert_non_null(strstr(edited, "\"f:19999\":{}"));
    assert_null(strstr(edited, "kubectl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_are_written_as_the_rules_say),
        cmocka_unit_test(a_tool_that_has_gone_is_taken_over_beside_people),
        cmocka_unit_test(wide_sets_are_merged_by_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
