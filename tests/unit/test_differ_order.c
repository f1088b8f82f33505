#include "differ/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct object_ref ref(const char *group, const char *kind, const char *namespace_,
                             const char *name)
{
    return (struct object_ref){group, "v1", kind, namespace_, name};
}

struct order_case {
    const char *sentence;
    struct object_ref first;
    struct object_ref second;
};

static void pairs_come_in_the_documented_order(void **state)
{
    (void)state;
    const struct order_case cases[] = {
        {"a definition comes before its custom resource",
         ref("apiextensions.k8s.io", "CustomResourceDefinition", "", "widgets.example.org"),
         ref("example.org", "Widget", "shop", "a")},
        {"a namespace comes before what lives in it", ref("", "Namespace", "", "z"),
         ref("", "ConfigMap", "z", "a")},
        {"a cluster role comes before the service account that is bound to it",
         ref("rbac.authorization.k8s.io", "ClusterRole", "", "z"),
         ref("", "ServiceAccount", "a", "a")},
        {"a storage class comes before a claim", ref("storage.k8s.io", "StorageClass", "", "z"),
         ref("", "PersistentVolumeClaim", "a", "a")},
        {"foundations come before classes", ref("", "Namespace", "", "z"),
         ref("scheduling.k8s.io", "PriorityClass", "", "a")},
        {"a config map comes before a workload", ref("", "ConfigMap", "z", "z"),
         ref("apps", "Deployment", "a", "a")},
        {"a service comes before a workload", ref("", "Service", "z", "z"),
         ref("apps", "StatefulSet", "a", "a")},
        {"an API service comes before custom resources",
         ref("apiregistration.k8s.io", "APIService", "", "z"), ref("a.org", "A", "a", "a")},
        {"a custom resource comes before a webhook", ref("example.org", "Widget", "z", "z"),
         ref("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "", "a")},
        {"a Service of another group is a custom resource", ref("", "Pod", "z", "z"),
         ref("serving.knative.dev", "Service", "a", "a")},
        {"custom resources are sorted by kind first", ref("z.org", "A", "z", "z"),
         ref("a.org", "B", "a", "a")},
        {"then by group", ref("a.org", "A", "z", "z"), ref("b.org", "A", "a", "a")},
        {"then by namespace", ref("", "ConfigMap", "a", "z"), ref("", "ConfigMap", "b", "a")},
        {"then by name", ref("", "ConfigMap", "a", "a"), ref("", "ConfigMap", "a", "b")},
        {"an object without a namespace comes first", ref("", "ConfigMap", NULL, "z"),
         ref("", "ConfigMap", "a", "a")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (order_compare(&cases[i].first, &cases[i].second) >= 0 ||
            order_compare(&cases[i].second, &cases[i].first) <= 0) {
            fail_msg("not so: %s", cases[i].sentence);
        }
    }
}

static void stages_follow_the_kind_and_its_group(void **state)
{
    (void)state;
    struct object_ref namespace_ = ref("", "Namespace", "", "a");
    struct object_ref foreign = ref("example.org", "Namespace", "", "a");
    struct object_ref runtime = ref("node.k8s.io", "RuntimeClass", "", "a");
    struct object_ref policy =
        ref("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "", "a");
    assert_int_equal(order_stage_of(&namespace_), ORDER_FOUNDATIONS);
    assert_int_equal(order_stage_of(&foreign), ORDER_REST);
    assert_int_equal(order_stage_of(&runtime), ORDER_CLASSES);
    assert_int_equal(order_stage_of(&policy), ORDER_WEBHOOKS);
}

static void the_same_object_in_two_versions_compares_equal(void **state)
{
    (void)state;
    struct object_ref one = {"apps", "v1", "Deployment", "a", "a"};
    struct object_ref two = {"apps", "v1beta1", "Deployment", "a", "a"};
    assert_int_equal(order_compare(&one, &two), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_come_in_the_documented_order),
        cmocka_unit_test(stages_follow_the_kind_and_its_group),
        cmocka_unit_test(the_same_object_in_two_versions_compares_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
