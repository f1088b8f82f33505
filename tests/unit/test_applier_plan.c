/* Unit tests of applier/plan.c. */
#include "applier/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                       \
    "{\"id\":\"p-1\",\"mode\":\"apply\",\"name\":\"shop\",\"namespace\":\"team\",\"preflight\":"   \
    "false,\"revision\":\"main@sha1:abc\",\"uid\":\"u\"}\n"
#define PATH "/api/v1/namespaces/shop/configmaps/a"
#define APPLY "{\"op\":\"apply\",\"path\":\"" PATH "\",\"stage\":2}\n{\"kind\":\"ConfigMap\"}\n"
#define OWNERS "{\"op\":\"owners\",\"path\":\"" PATH "\",\"resourceVersion\":\"7\",\"stage\":0}\n"
#define ENTRY "{\"fieldsV1\":{\"f:data\":{}},\"manager\":\"gitmoor\",\"operation\":\"Apply\"}"
#define DELETE "{\"op\":\"delete\",\"path\":\"" PATH "\",\"stage\":3,\"uid\":\"x\"}\n"

static struct plan *parse(const char *text)
{
    struct plan *plan = NULL;
    struct error error;
    if (!plan_parse(text, strlen(text), &plan, &error)) {
        fail_msg("%s", error.message);
    }
    return plan;
}

static void a_plan_is_read_and_bodies_point_into_its_text(void **state)
{
    (void)state;
    static const char text[] = HEAD APPLY
        "{\"after\":2,\"op\":\"apply\",\"path\":\"/apis/apps/v1/namespaces/s/deployments/web\","
        "\"stage\":3}\n{\"a\":[1, 2]}\n" DELETE;
    struct plan *plan = parse(text);
    assert_string_equal(plan->id, "p-1");
    assert_string_equal(plan->namespace_, "team");
    assert_string_equal(plan->name, "shop");
    assert_string_equal(plan->uid, "u");
    assert_string_equal(plan->revision, "main@sha1:abc");
    assert_false(plan->dry_run);
    assert_false(plan->preflight);
    assert_false(plan->heal);
    assert_int_equal(plan->count, 3);
    const struct plan_operation *operations = plan->operations;
    assert_int_equal(operations[0].verb, PLAN_APPLY);
    assert_int_equal(operations[0].stage, 2);
    assert_int_equal(operations[0].after, -1);
    assert_string_equal(operations[0].path, PATH);
    assert_int_equal(operations[1].after, 2);
    assert_int_equal(operations[1].body_size, strlen("{\"a\":[1, 2]}"));
    assert_true(operations[1].body > text && operations[1].body < text + sizeof text);
    assert_memory_equal(operations[1].body, "{\"a\":[1, 2]}", operations[1].body_size);
    assert_int_equal(operations[2].verb, PLAN_DELETE);
    assert_string_equal(operations[2].uid, "x");
    plan_free(plan);
}

static void a_change_of_owners_names_the_version_that_it_is_of(void **state)
{
    (void)state;
    struct plan *plan = parse(HEAD OWNERS "[" ENTRY "]\n" APPLY);
    assert_int_equal(plan->count, 2);
    assert_int_equal(plan->operations[0].verb, PLAN_OWNERS);
    assert_string_equal(plan->operations[0].resource_version, "7");
    assert_memory_equal(plan->operations[0].body, "[" ENTRY "]", plan->operations[0].body_size);
    assert_int_equal(plan->operations[1].verb, PLAN_APPLY);
    plan_free(plan);
}

static void a_finalizer_is_of_the_plans_own_application_whatever_it_is_called(void **state)
{
    (void)state;
    struct plan *plan = parse(HEAD "{\"op\":\"finalizer\",\"stage\":1,\"action\":\"add\"}\n"
                                   "{\"op\":\"finalizer\",\"stage\":1,\"action\":\"remove\"}\n");
    assert_int_equal(plan->count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(plan->operations[i].verb, PLAN_FINALIZER);
        assert_string_equal(plan->operations[i].path,
                            "/apis/gitmoor.io/v1alpha1/namespaces/team/applications/shop");
        assert_string_equal(plan->operations[i].uid, "u");
    }
    assert_true(plan->operations[0].adds);
    assert_false(plan->operations[1].adds);
    plan_free(plan);
    struct error error;
    static const char odd[] =
        "{\"id\":\"p\",\"mode\":\"apply\",\"name\":\"a/../../x\",\"namespace\":"
        "\"n\",\"revision\":\"r\",\"uid\":\"u\"}\n"
        "{\"op\":\"finalizer\",\"stage\":1,\"action\":\"add\"}\n";
    assert_false(plan_parse(odd, strlen(odd), &plan, &error));
}

static void one_that_is_made_anew_has_a_uid_and_an_object(void **state)
{
    (void)state;
    struct plan *plan = parse(HEAD "{\"op\":\"recreate\",\"stage\":1,\"uid\":\"x\",\"path\":\"" PATH
                                   "\"}\n{\"kind\":\"ConfigMap\"}\n");
    assert_int_equal(plan->operations[0].verb, PLAN_RECREATE);
    assert_string_equal(plan->operations[0].uid, "x");
    assert_int_equal(plan->operations[0].body_size, strlen("{\"kind\":\"ConfigMap\"}"));
    plan_free(plan);
}

static void mode_preflight_and_priority(void **state)
{
    (void)state;
    struct plan *plan = parse("{\"id\":\"a\",\"namespace\":\"n\",\"name\":\"a\",\"uid\":\"u\","
                              "\"revision\":\"r\",\"mode\":\"dryRun\",\"priority\":\"heal\"}");
    assert_true(plan->dry_run);
    assert_true(plan->preflight); /* the safe default */
    assert_true(plan->heal);
    assert_int_equal(plan->count, 0);
    plan_free(plan);
}

static void what_is_not_a_plan_is_refused_with_its_line(void **state)
{
    (void)state;
#define WITH(head_end)                                                                             \
    "{\"id\":\"p\",\"namespace\":\"n\",\"name\":\"a\",\"uid\":\"u\",\"revision\":\"r\"," head_end  \
    "}\n"
    static const struct {
        const char *text;
        const char *part;
    } cases[] = {
        {"", "plan: empty"},
        {"\n", "line 1"},
        {"[]\n", "line 1: not an object"},
        {"{}\n", "line 1: \"id\" must be a string"},
        {"{\"id\":7}\n", "line 1: \"id\" must be a string"},
        {WITH("\"mode\":\"force\""), "\"mode\" must be"},
        {WITH("\"mode\":\"apply\",\"preflight\":1"), "\"preflight\" must be a boolean"},
        {WITH("\"mode\":\"apply\",\"priority\":\"high\""), "\"priority\" can only be"},
        {WITH("\"mode\":\"apply\",\"user\":\"admin\""), "unknown member \"user\""},
        {WITH("\"mode\":\"apply\",\"mode\":\"apply\""), "line 1"},
        {"{\"id\":\"a b\",\"namespace\":\"n\",\"name\":\"a\",\"uid\":\"u\",\"revision\":\"r\","
         "\"mode\":\"apply\"}\n",
         "\"id\" may hold"},
        {HEAD "{\"op\":\"apply\",\"stage\":0,\"path\":\"" PATH "\"}\n", "line 2: an object must"},
        {HEAD "{\"op\":\"apply\",\"stage\":0,\"path\":\"" PATH "\"}\n\n", "an object must follow"},
        {HEAD "{\"op\":\"apply\",\"stage\":0,\"path\":\"" PATH "\"}\n[1]\n", "an object must"},
        {HEAD "{\"op\":\"create\",\"stage\":0,\"path\":\"" PATH "\"}\n{}\n", "\"op\" must be"},
        {HEAD "{\"op\":\"apply\",\"path\":\"" PATH "\"}\n{}\n", "\"stage\" must be"},
        {HEAD "{\"op\":\"apply\",\"stage\":-1,\"path\":\"" PATH "\"}\n{}\n", "\"stage\" must be"},
        {HEAD "{\"op\":\"apply\",\"stage\":1.5,\"path\":\"" PATH "\"}\n{}\n", "\"stage\" must be"},
        {HEAD "{\"op\":\"apply\",\"stage\":10000,\"path\":\"" PATH "\"}\n{}\n", "\"stage\" must"},
        {HEAD "{\"op\":\"apply\",\"stage\":1,\"after\":1,\"path\":\"" PATH "\"}\n{}\n",
         "\"after\" must name an earlier stage than 1"},
        {HEAD "{\"op\":\"apply\",\"stage\":1,\"path\":\"/metrics\"}\n{}\n",
         "\"/metrics\" is not an object's path"},
        {HEAD "{\"op\":\"apply\",\"stage\":1,\"uid\":\"x\",\"path\":\"" PATH "\"}\n{}\n",
         "only a deletion and a release have a \"uid\""},
        {HEAD "{\"op\":\"release\",\"stage\":1,\"path\":\"" PATH "\"}\n", "\"uid\" must be"},
        {HEAD "{\"op\":\"release\",\"stage\":1,\"uid\":\"x\",\"path\":\"" PATH "\"}\n{}\n",
         "line 3: \"op\" must be"},
        {HEAD "{\"op\":\"apply\",\"stage\":1,\"foreground\":true,\"path\":\"" PATH "\"}\n{}\n",
         "only a deletion has \"foreground\""},
        {HEAD "{\"op\":\"apply\",\"stage\":1,\"resourceVersion\":\"7\",\"path\":\"" PATH
              "\"}\n{}\n",
         "only a change of owners has a \"resourceVersion\""},
        {HEAD "{\"op\":\"owners\",\"stage\":0,\"path\":\"" PATH "\"}\n[]\n",
         "\"resourceVersion\" must be a string"},
        {HEAD OWNERS, "managedFields must follow"},
        {HEAD OWNERS "{}\n", "line 3: managedFields must be a list of entries"},
        {HEAD OWNERS "[]\n", "line 3: managedFields must be a list of entries"},
        {HEAD OWNERS "[{\"manager\":\"m\"}]\n", "managedFields must be a list of entries"},
        {HEAD OWNERS "[" ENTRY "]},{\"op\":\"remove\",\"path\":\"/data\"}]\n",
         "line 3: managedFields"},
        {HEAD "{\"op\":\"delete\",\"stage\":1,\"path\":\"" PATH "\"}\n", "\"uid\" must be"},
        {HEAD "{\"op\":\"delete\",\"stage\":1,\"path\":\"" PATH "\",\"uid\":\"\"}\n",
         "\"uid\" must"},
        {HEAD "{\"op\":\"recreate\",\"stage\":1,\"path\":\"" PATH "\"}\n{}\n", "\"uid\" must be"},
        {HEAD "{\"op\":\"recreate\",\"stage\":1,\"uid\":\"x\",\"path\":\"" PATH "\"}\n",
         "an object must follow"},
        {HEAD "{\"op\":\"finalizer\",\"stage\":1}\n", "\"action\" must be"},
        {HEAD "{\"op\":\"finalizer\",\"stage\":1,\"action\":\"replace\"}\n", "\"action\" must be"},
        {HEAD "{\"op\":\"finalizer\",\"stage\":1,\"action\":\"remove\",\"path\":\"" PATH "\"}\n",
         "a finalizer names no object"},
        {HEAD "{\"op\":\"finalizer\",\"stage\":1,\"action\":\"remove\",\"uid\":\"x\"}\n",
         "a finalizer names no object"},
        {HEAD "{\"op\":\"delete\",\"stage\":1,\"action\":\"add\",\"uid\":\"x\",\"path\":\"" PATH
              "\"}\n",
         "only a finalizer has"},
        {HEAD DELETE APPLY, "line 4: stage 2 comes after stage 3"},
        {HEAD APPLY "{\"op\":\n", "line 4"},
        {HEAD APPLY "\n", "line 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct plan *plan = NULL;
        struct error error;
        if (plan_parse(cases[i].text, strlen(cases[i].text), &plan, &error)) {
            fail_msg("taken: %s", cases[i].text);
        }
        assert_null(plan);
        assert_false(error.retryable);
        if (!strstr(error.message, cases[i].part)) {
            fail_msg("%s\n%s", cases[i].text, error.message);
        }
    }
}

static void paths_are_those_of_whole_objects_only(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool valid;
    } cases[] = {
        {"/api/v1/namespaces/shop", true},
        {"/api/v1/namespaces/shop/configmaps/a", true},
        {"/api/v1/nodes/n1", true},
        {"/apis/apps/v1/namespaces/shop/deployments/web", true},
        {"/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", true},
        {"/apis/apps/v1/namespaces/shop/deployments/a.b-c_d~e", true},
        /* collections and what is no object */
        {"", false},
        {"/", false},
        {"api/v1/nodes/n1", false},
        {"/api/v1/nodes", false},
        {"/api/v1/namespaces/shop/configmaps", false},
        {"/apis/apps/v1", false},
        {"/healthz", false},
        {"/openapi/v2/a/b", false},
        {"/apix/v1/nodes/n1", false},
        /* subresources: a token, a binding, a proxy into a node */
        {"/api/v1/nodes/n1/status", false},
        {"/api/v1/nodes/n1/proxy/run", false},
        {"/api/v1/namespaces/shop/finalize", false},
        {"/api/v1/namespaces/shop/serviceaccounts/default/token", false},
        {"/apis/apps/v1/namespaces/shop/deployments/web/scale", false},
        {"/apis/apps/v1/things/shop/deployments/web", false},
        /* ways out */
        {"/api/v1/namespaces/shop/configmaps/..", false},
        {"/api/v1/namespaces/shop/configmaps/.", false},
        {"/api/v1/namespaces/../configmaps/a", false},
        {"/api/v1/namespaces/shop/configmaps/%2e%2e", false},
        {"/api/v1/namespaces/shop/configmaps/.%2E", false},
        {"/api/v1/namespaces/shop/configmaps/a%2fb", false},
        {"/api/v1/namespaces/shop/configmaps/a%5cb", false},
        {"/api/v1/namespaces/shop/configmaps/a%252fb", false},
        {"/api/v1/namespaces/shop/configmaps/a?dryRun=All", false},
        {"/api/v1/namespaces/shop/configmaps/a#b", false},
        {"/api/v1/namespaces/shop/configmaps/a%0d%0ab", false},
        {"/api/v1/namespaces/shop/configmaps/a%00", false},
        {"/api/v1/namespaces/shop/configmaps/a b", false},
        {"/api/v1/namespaces/shop/configmaps/a\r\n", false},
        {"/api/v1/namespaces/shop/configmaps/a%", false},
        {"/api/v1/namespaces/shop/configmaps/a%4", false},
        {"/api/v1/namespaces/shop/configmaps/a%zz", false},
        {"/api/v1/namespaces//configmaps/a", false},
        {"/api/v1/namespaces/shop/configmaps/a/", false},
        {"//api/v1/nodes/n1", false},
        {"/api/v1/namespaces/shop/configmaps/\xc3\xa4", false},
        {"/apis/a/b/namespaces/c/d/e/f/g", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (plan_path_is_valid(cases[i].path) != cases[i].valid) {
            fail_msg("%s", cases[i].path);
        }
    }
    char large[PLAN_PATH_MAXIMUM + 64];
    snprintf(large, sizeof large, "/api/v1/nodes/%0*d", (int)PLAN_PATH_MAXIMUM, 7);
    assert_false(plan_path_is_valid(large));
}

static void a_path_is_read_as_the_server_reads_it(void **state)
{
    (void)state;
    static const struct {
        const char *path, *group, *resource, *namespace_, *name;
    } cases[] = {
        {"/api/v1/namespaces/shop", "", "namespaces", "", "shop"},
        {"/api/v1/namespaces/shop/configmaps/a", "", "configmaps", "shop", "a"},
        {"/apis/apps/v1/namespaces/shop/deployments/web", "apps", "deployments", "shop", "web"},
        {"/apis/apps/v1/namespaces/sh%6Fp/deploy%6dents/w%65b", "apps", "deployments", "shop",
         "web"},
        {"/apis/%61pps/v1/things/system%3Aweb", "apps", "things", "", "system:web"},
        {"/api/v1/nodes/a", "", "nodes", "", "a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        struct plan_object object;
        assert_true(plan_path_read(cases[i].path, &arena, &object));
        assert_string_equal(object.group, cases[i].group);
        assert_string_equal(object.resource, cases[i].resource);
        assert_string_equal(object.namespace_, cases[i].namespace_);
        assert_string_equal(object.name, cases[i].name);
    }
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    struct plan_object object;
    assert_false(plan_path_read("/api/v1/n%61mespaces/shop/configmaps/a", &arena, &object));
    assert_false(plan_path_read("/api/v1/namespaces/shop/configmaps", &arena, &object));
}

static void every_prefix_of_a_plan_is_read_or_refused_in_order(void **state)
{
    (void)state;
    static const char text[] = HEAD APPLY DELETE APPLY;
    for (size_t size = 0; size < sizeof text; size++) {
        char *copy =
            malloc(size ? size : 1); /* so that a sanitizer sees what is read past the end */
        memcpy(copy, text, size);
        struct plan *plan = NULL;
        struct error error;
        if (plan_parse(copy, size, &plan, &error)) {
            plan_free(plan);
        }
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_is_read_and_bodies_point_into_its_text),
        cmocka_unit_test(a_change_of_owners_names_the_version_that_it_is_of),
        cmocka_unit_test(a_finalizer_is_of_the_plans_own_application_whatever_it_is_called),
        cmocka_unit_test(one_that_is_made_anew_has_a_uid_and_an_object),
        cmocka_unit_test(mode_preflight_and_priority),
        cmocka_unit_test(what_is_not_a_plan_is_refused_with_its_line),
        cmocka_unit_test(paths_are_those_of_whole_objects_only),
        cmocka_unit_test(a_path_is_read_as_the_server_reads_it),
        cmocka_unit_test(every_prefix_of_a_plan_is_read_or_refused_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
