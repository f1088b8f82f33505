/* Unit tests of applier/permit.c: whatever a plan calls a thing, it is judged by what its path
 * means. */
#include "applier/permit.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char settings[] = "rules:\n"
                               "- namespaces: [team]\n"
                               "  targetNamespaces: [team]\n"
                               "  resources: {deny: [core/secrets]}\n"
                               "  clusterResources: {allow: [core/namespaces]}\n"
                               "- namespaces: [free]\n";

static struct tenancy *known(void)
{
    struct tenancy *tenancy;
    struct error error;
    assert_true(tenancy_parse(settings, strlen(settings), "tenancy.yaml", &tenancy, &error));
    return tenancy;
}

static struct plan *plan_of(const char *namespace_, const char *const *paths, size_t count,
                            char **ret_text)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 1 << 20);
    buf_append_format(&text,
                      "{\"id\":\"p\",\"namespace\":\"%s\",\"name\":\"shop\",\"uid\":\"u\","
                      "\"revision\":\"r\",\"mode\":\"apply\"}\n",
                      namespace_);
    for (size_t i = 0; i < count; i++) {
        buf_append_format(&text,
                          i % 2 ? "{\"op\":\"delete\",\"stage\":0,\"path\":\"%s\",\"uid\":\"u\"}\n"
                                : "{\"op\":\"apply\",\"stage\":0,\"path\":\"%s\"}\n{}\n",
                          paths[i]);
    }
    *ret_text = buf_detach(&text);
    struct plan *plan = NULL;
    struct error error;
    if (!plan_parse(*ret_text, strlen(*ret_text), &plan, &error)) {
        fail_msg("%s", error.message);
    }
    return plan;
}

/* How many of the paths are refused to the namespace. */
static size_t refused(const struct tenancy *tenancy, const char *namespace_,
                      const char *const *paths, size_t count)
{
    AUTO_FREE char *text = NULL;
    struct plan *plan = plan_of(namespace_, paths, count, &text);
    struct result result;
    result_init(&result);
    bool ok = permit_plan(tenancy, plan, &result);
    size_t failures = result.failures;
    assert_int_equal(ok, failures == 0);
    result_release(&result);
    plan_free(plan);
    return failures;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const good[] = {
    "/api/v1/namespaces/team/configmaps/a",
    "/apis/apps/v1/namespaces/team/deployments/a",
    "/api/v1/namespaces/team",
};
static const char *const bad[] = {
    "/api/v1/namespaces/team/secrets/a",
    "/api/v1/namespaces/team/secre%74s/a",
    "/api/v1/namespaces/te%61m/%73ecrets/a",
    "/api/v1/namespaces/kube-system/configmaps/a",
    "/api/v1/namespaces/kube-system",
    "/api/v1/namespaces/kube%2Dsystem",
    "/api/v1/%6eodes/a",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/a",
    "/apis/apps/v1/namespaces/other/deployments/a",
};

static void each_operation_is_held_to_the_rule_of_the_applications_namespace(void **state)
{
    (void)state;
    struct tenancy *tenancy = known();
    assert_int_equal(refused(tenancy, "team", good, COUNT(good)), 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (refused(tenancy, "team", &bad[i], 1) != 1) {
            fail_msg("%s is allowed", bad[i]);
        }
    }
    assert_int_equal(refused(tenancy, "team", bad, COUNT(bad)), COUNT(bad));
    assert_int_equal(refused(tenancy, "free", bad, COUNT(bad)), 0);
    assert_int_equal(refused(tenancy, "nobody", good, COUNT(good)), COUNT(good));
    assert_int_equal(refused(NULL, "nobody", bad, COUNT(bad)), 0);
    tenancy_free(tenancy);
}

static void a_refusal_is_a_failure_of_its_operation(void **state)
{
    (void)state;
    struct tenancy *tenancy = known();
    const char *const paths[] = {good[0], bad[0]};
    AUTO_FREE char *text = NULL;
    struct plan *plan = plan_of("team", paths, 2, &text);
    struct result result;
    result_init(&result);
    assert_false(permit_plan(tenancy, plan, &result));
    size_t size;
    AUTO_FREE char *told = result_finish(&result, "p", RESULT_INVALID, 0, NULL, &size);
    assert_non_null(strstr(told, "{\"i\":1,"));
    assert_null(strstr(told, "{\"i\":0,"));
    assert_non_null(strstr(told, "\"reason\":\"NotAllowed\",\"retryable\":false"));
    assert_non_null(strstr(told, "core/secrets team/a is not allowed"));
    result_release(&result);
    plan_free(plan);
    tenancy_free(tenancy);
}

static void of_endless_refusals_so_many_are_told(void **state)
{
    (void)state;
    struct tenancy *tenancy = known();
    AUTO_FREE const char **paths = mem_new(3000, sizeof *paths);
    for (size_t i = 0; i < 3000; i++) {
        paths[i] = bad[0];
    }
    assert_int_equal(refused(tenancy, "team", paths, 3000), 1000);
    tenancy_free(tenancy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operation_is_held_to_the_rule_of_the_applications_namespace),
        cmocka_unit_test(a_refusal_is_a_failure_of_its_operation),
        cmocka_unit_test(of_endless_refusals_so_many_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
