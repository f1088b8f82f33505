/* Unit tests of common/kube/resource.c. */
#include "common/base/text.h"
#include "common/kube/resource.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char core[] =
    "{\"kind\":\"APIGroupDiscoveryList\",\"items\":[{\"metadata\":{},\"versions\":[{\"version\":"
    "\"v1\",\"resources\":[{\"resource\":\"pods\",\"responseKind\":{\"kind\":\"Pod\"},\"scope\":"
    "\"Namespaced\",\"verbs\":[\"get\",\"list\",\"watch\"],\"subresources\":[{\"subresource\":"
    "\"log\"}]},{\"resource\":\"nodes\",\"responseKind\":{\"kind\":\"Node\"},\"scope\":\"Cluster\","
    "\"verbs\":[\"list\"]}]}]}]}";
static const char groups[] =
    "{\"kind\":\"APIGroupDiscoveryList\",\"items\":["
    "{\"metadata\":{\"name\":\"autoscaling\"},\"versions\":["
    "{\"version\":\"v2\",\"resources\":[{\"resource\":\"hpas\",\"responseKind\":{\"kind\":\"HPA\"},"
    "\"scope\":\"Namespaced\",\"verbs\":[]}]},"
    "{\"version\":\"v1\",\"resources\":[{\"resource\":\"hpas\",\"responseKind\":{\"kind\":\"HPA\"},"
    "\"scope\":\"Namespaced\",\"verbs\":[]},{\"resource\":\"olds\",\"responseKind\":{\"kind\":"
    "\"Old\"},\"scope\":\"Cluster\"}]}]},"
    "{\"metadata\":{\"name\":\"down.example.org\"},\"versions\":[{\"version\":\"v1\",\"freshness\":"
    "\"Stale\"}]},"
    "{\"metadata\":{\"name\":\"odd.example.org\"},\"versions\":[{},{\"version\":\"v1\","
    "\"resources\":[1,{},{\"resource\":\"a\"}]}]}]}";

static struct kube_discovery *load(void)
{
    AUTO_JSON cJSON *api = NULL;
    AUTO_JSON cJSON *apis = NULL;
    struct kube_discovery *discovery = NULL;
    struct error error;
    assert_true(json_parse(core, strlen(core), NULL, &api, &error));
    assert_true(json_parse(groups, strlen(groups), NULL, &apis, &error));
    assert_true(kube_discovery_parse(api, apis, &discovery, &error));
    return discovery;
}

static void test_kinds_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *group, *version, *kind;
        const char *plural; /* NULL: not served */
        const char *found_version;
        bool namespaced, preferred, watchable;
    } cases[] = {
        {"", "v1", "Pod", "pods", "v1", true, true, true},
        {"", NULL, "Node", "nodes", "v1", false, true, false},
        {"autoscaling", NULL, "HPA", "hpas", "v2", true, true, false},
        {"autoscaling", "v1", "HPA", "hpas", "v1", true, false, false},
        {"autoscaling", NULL, "Old", "olds", "v1", false, true, false},
        {"autoscaling", "v2", "Old", NULL, NULL, false, false, false},
        {"autoscaling", "v3", "HPA", NULL, NULL, false, false, false},
        {"apps", NULL, "Pod", NULL, NULL, false, false, false},
        {"", "v1", "pod", NULL, NULL, false, false, false},
        {"odd.example.org", NULL, "", NULL, NULL, false, false, false},
    };
    struct kube_discovery *discovery = load();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct kube_resource *resource =
            kube_discovery_find(discovery, cases[i].group, cases[i].version, cases[i].kind);
        if (!cases[i].plural) {
            assert_null(resource);
            continue;
        }
        assert_non_null(resource);
        assert_string_equal(resource->plural, cases[i].plural);
        assert_string_equal(resource->version, cases[i].found_version);
        assert_int_equal(resource->namespaced, cases[i].namespaced);
        assert_int_equal(resource->preferred, cases[i].preferred);
        assert_int_equal(resource->watchable, cases[i].watchable);
    }
    kube_discovery_free(discovery);
}

static void test_a_group_whose_server_is_down_is_named(void **state)
{
    (void)state;
    struct kube_discovery *discovery = load();
    assert_string_equal(kube_discovery_partial(discovery), "down.example.org");
    assert_true(kube_discovery_is_partial(discovery, "down.example.org"));
    static const char *const others[] = {"", "down", "down.example.orgs", "autoscaling"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(kube_discovery_is_partial(discovery, others[i]));
    }
    kube_discovery_free(discovery);
}

static void test_another_document_is_refused(void **state)
{
    (void)state;
    struct kube_discovery *discovery = NULL;
    struct error error;
    AUTO_JSON cJSON *plain = json_new_object();
    json_add_string(plain, "kind", "APIGroupList");
    assert_false(kube_discovery_parse(NULL, plain, &discovery, &error));
    assert_non_null(strstr(error.message, "APIGroupList"));
    assert_null(discovery);
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        struct kube_resource resource;
        const char *namespace_, *name, *path;
    } cases[] = {
        {{.group = "apps", .version = "v1", .plural = "deployments", .namespaced = true},
         "shop",
         "web",
         "/apis/apps/v1/namespaces/shop/deployments/web"},
        {{.group = "", .version = "v1", .plural = "pods", .namespaced = true},
         "",
         NULL,
         "/api/v1/pods"},
        {{.group = "", .version = "v1", .plural = "pods", .namespaced = true},
         NULL,
         NULL,
         "/api/v1/pods"},
        {{.group = "", .version = "v1", .plural = "nodes"}, "shop", "n", "/api/v1/nodes/n"},
        {{.group = "r", .version = "v1", .plural = "roles"}, NULL, "a:b", "/apis/r/v1/roles/a%3Ab"},
        /* The API server decodes the path before it splits it: a slash is encoded twice. */
        {{.group = "", .version = "v1", .plural = "pods", .namespaced = true},
         "a/b",
         "../x?y#z%2F",
         "/api/v1/namespaces/a%252Fb/pods/..%252Fx%3Fy%23z%252F"},
        {{.group = "", .version = "v1", .plural = "nodes"}, NULL, "..", "/api/v1/nodes/%252E%252E"},
        {{.group = "", .version = "v1", .plural = "nodes"}, NULL, ".", "/api/v1/nodes/%252E"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_BUF struct buf path = {0};
        buf_init(&path, 4096);
        kube_resource_path(&cases[i].resource, cases[i].namespace_, cases[i].name, &path);
        assert_string_equal(path.data, cases[i].path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_are_found),
        cmocka_unit_test(test_a_group_whose_server_is_down_is_named),
        cmocka_unit_test(test_another_document_is_refused),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
