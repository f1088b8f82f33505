/* The tenancy settings: what the file may say, and what each rule lets a namespace use. */
#include "common/run/tenancy.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char settings[] =
    "apiVersion: gitmoor.io/v1alpha1\n"
    "kind: Tenancy\n"
    "rules:\n"
    "  - name: operators\n"
    "    namespaces: [gitmoor-system, platform]\n"
    "  - name: tenants\n"
    "    namespaces: [team-*]\n"
    "    repositories: [https://git.example.org/$namespace/*, 'https://*.example.net/open/**', "
    "ssh://git@git.example.org/$namespace/*]\n"
    "    sharedRepositories: [platform/charts-*]\n"
    "    targetNamespaces: [$namespace, $namespace-*]\n"
    "    resources:\n"
    "      allow: ['core/*', apps/*, batch/jobs]\n"
    "      deny: [core/secrets]\n"
    "    clusterResources:\n"
    "      allow: [core/namespaces]\n"
    "    serviceAccounts: [deployer, $namespace-*, platform/shared]\n"
    "    defaultServiceAccount: deployer\n"
    "  - namespaces: [closed]\n"
    "    repositories: []\n"
    "    defaultServiceAccount: platform/reader\n";

static struct tenancy *parse(const char *text)
{
    struct tenancy *tenancy = NULL;
    struct error error;
    if (!tenancy_parse(text, strlen(text), "tenancy.yaml", &tenancy, &error)) {
        fail_msg("%s", error.message);
    }
    return tenancy;
}

static void refuses_with_a_line_whatever_is_no_rule(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "tenancy.yaml:1: empty"},
        {"rules: 1", "tenancy.yaml:1: rules must be a list"},
        {"- a", "tenancy.yaml:1: the tenancy settings must be a mapping that holds rules"},
        {"kind: Tenancy\n", "tenancy.yaml:1: the tenancy settings must be a mapping"},
        {"kind: Policy\nrules: []", "tenancy.yaml:1: kind must be Tenancy"},
        {"rules: []\nrule: []", "tenancy.yaml:2: unknown field \"rule\""},
        {"rules: []\n---\nrules: []", "tenancy.yaml:3: a second document"},
        {"rules:\n - 1\n", "tenancy.yaml:2: a rule must be a mapping"},
        {"rules:\n - name: x\n", "tenancy.yaml:2: a rule needs namespaces"},
        {"rules:\n - namespaces: []\n", "tenancy.yaml:2: a rule needs namespaces"},
        {"rules:\n - namespaces: a\n", "tenancy.yaml:2: namespaces must be a list"},
        {"rules:\n - namespaces: [a]\n   kinds: []\n", "tenancy.yaml:3: unknown field \"kinds\""},
        {"rules:\n - namespaces:\n   - a\n   - B\n", "tenancy.yaml:4: namespaces: \"B\" is no"},
        {"rules:\n - namespaces: [$namespace]\n", "there are no variables here"},
        {"rules:\n - namespaces: [a]\n   targetNamespaces: [$name]\n",
         "tenancy.yaml:3: targetNamespaces: \"$name\": the only variable is $namespace"},
        {"rules:\n - namespaces: [a]\n   targetNamespaces:\n", "targetNamespaces must be a list"},
        {"rules:\n - namespaces: [a]\n   targetNamespaces: [1]\n", "must be a string"},
        {"rules:\n - namespaces: [a]\n   repositories: ['git.example.org/*']\n",
         "is no pattern of URLs"},
        {"rules:\n - namespaces: [a]\n   repositories: ['https://git.example.org']\n",
         "is no pattern of URLs"},
        {"rules:\n - namespaces: [a]\n   repositories: ['*://git.example.org/x']\n",
         "is no pattern of URLs"},
        {"rules:\n - namespaces: [a]\n   repositories: ['https://h/a/../b']\n", "/../"},
        {"rules:\n - namespaces: [a]\n   sharedRepositories: [platform]\n",
         "is no pattern of GitRepositories of other namespaces"},
        {"rules:\n - namespaces: [a]\n   resources: [apps/deployments]\n",
         "tenancy.yaml:3: resources must hold allow, deny, or both"},
        {"rules:\n - namespaces: [a]\n   resources: {allowed: []}\n",
         "resources: unknown field \"allowed\""},
        {"rules:\n - namespaces: [a]\n   resources: {allow: [apps/Deployment]}\n",
         "write the resource as RBAC does"},
        {"rules:\n - namespaces: [a]\n   resources: {deny: [secrets]}\n",
         "GROUP/RESOURCE, such as apps/deployments"},
        {"rules:\n - namespaces: [a]\n   serviceAccounts: [a/b/c]\n",
         "is no pattern of service accounts"},
        {"rules:\n - namespaces: [a]\n   defaultServiceAccount: a/b/c\n",
         "is neither NAME nor NAMESPACE/NAME"},
        {"rules:\n - namespaces: [a]\n   defaultServiceAccount: ''\n",
         "is neither NAME nor NAMESPACE/NAME"},
        {"rules:\n - namespaces: [a]\n   defaultServiceAccount: /x\n",
         "is neither NAME nor NAMESPACE/NAME"},
        {"rules:\n - namespaces: [a]\n   namespaces: [b]\n", "duplicate key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tenancy *tenancy = NULL;
        struct error error;
        assert_false(
            tenancy_parse(cases[i].text, strlen(cases[i].text), "tenancy.yaml", &tenancy, &error));
        assert_int_equal(error.code, ERROR_INVALID);
        if (!strstr(error.message, cases[i].message)) {
            fail_msg("%s\nsays: %s\nnot: %s", cases[i].text, error.message, cases[i].message);
        }
    }
}

static void a_name_stands_for_itself_and_stars_for_what_they_may(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"shop", "shop", true},
        {"shop", "shops", false},
        {"*", "", true},
        {"*", "shop", true},
        {"*", "a/b", false},
        {"**", "a/b", true},
        {"team-*", "team-", true},
        {"team-*", "team-a", true},
        {"team-*", "a-team-a", false},
        {"*-team", "a-team", true},
        {"a*b*c", "a-b-b-c", true},
        {"a*b*c", "a-b-b", false},
        {"/a/*/c", "/a/b/c", true},
        {"/a/*/c", "/a/b/b/c", false},
        {"/a/**/c", "/a/b/b/c", true},
        {"/a/**", "/a/", true},
        {"*a*a*a*b", "aaaaaaaaaa", false},
        {"***", "a/b", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (tenancy_glob(cases[i].pattern, cases[i].text, "/") != cases[i].matches) {
            fail_msg("%s and %s", cases[i].pattern, cases[i].text);
        }
    }
}

static void a_url_is_allowed_by_a_pattern_that_no_spelling_gets_around(void **state)
{
    (void)state;
    static const struct {
        const char *namespace_, *url;
        bool allowed;
    } cases[] = {
        {"platform", "https://anywhere.example.com/x", true},
        {"platform", "whatever it is", true},
        {"team-a", "https://git.example.org/team-a/shop", true},
        {"team-a", "https://git.example.org/team-a/shop.git", true},
        {"team-a", "https://GIT.example.org:443/team-a/shop", true},
        {"team-a", "HTTPS://git.example.org/team-a/shop", true},
        {"team-a", "https://git.example.org/team-b/shop", false},
        {"team-a", "https://git.example.org/team-a/shop/more", false},
        {"team-a", "https://git.example.org/team-a/../team-b/shop", false},
        {"team-a", "https://git.example.org/team-a/..", false},
        {"team-a", "https://git.example.org/team-a/%2E%2e/team-b", false},
        {"team-a", "https://git.example.org/team-a/%2fshop", false},
        {"team-a", "https://git.example.org/team-a/./shop", false},
        {"team-a", "https://git.example.org//team-a/shop", false},
        {"team-a", "https://git.example.org/team-a/shop?x=/", false},
        {"team-a", "https://git.example.org/team-a/shop#x", false},
        {"team-a", "https://git.example.org/team-a/..\\team-b", false},
        {"team-a", "https://git.example.org:8443/team-a/shop", false},
        {"team-a", "http://git.example.org/team-a/shop", false},
        {"team-a", "ssh://git.example.org/team-a/shop", false},
        {"team-a", "ssh://git@git.example.org/team-a/shop", true},
        {"team-a", "ssh://git@git.example.org:22/team-a/shop", true},
        {"team-a", "ssh://Git@git.example.org/team-a/shop", false},
        {"team-a", "ssh://git@git.example.org:2222/team-a/shop", false},
        {"team-a", "ssh://git@git.example.org/team-b/shop", false},
        {"team-a", "ssh://git@evil.net/git@git.example.org/team-a/shop", false},
        {"team-a", "ssh://git@evil.net@git.example.org/team-a/shop", false},
        {"team-a", "https://git.example.org.evil.net/team-a/shop", false},
        {"team-a", "https://git.example.org@evil.net/team-a/shop", false},
        {"team-a", "https://user@git.example.org/team-a/shop", false},
        {"team-a", "file:///team-a/shop", false},
        {"team-a", "git@git.example.org:team-a/shop", false},
        {"team-a", "", false},
        {"team-a", "https://code.example.net/open/deep/er", true},
        {"team-a", "https://a.b.example.net/open/x", true},
        {"team-a", "https://user@a.example.net/open/x", false},
        {"team-a", "https://evil.net:80@a.example.net/open/x", false},
        {"team-a", "https://evil.net/.example.net/open/x", false},
        {"team-a", "https://evil.net\\.example.net/open/x", false},
        {"team-a", "https://code.example.net/open/../closed", false},
        {"closed", "https://git.example.org/closed/x", false},
        {"nobody", "https://git.example.org/team-a/shop", false},
    };
    struct tenancy *tenancy = parse(settings);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error;
        bool allowed = tenancy_check_url(tenancy, cases[i].namespace_, cases[i].url, &error);
        if (allowed != cases[i].allowed) {
            fail_msg("%s of %s: %d", cases[i].url, cases[i].namespace_, allowed);
        }
        assert_true(allowed || error.code == ERROR_DENIED);
    }
    tenancy_free(tenancy);
}

static void the_listed_urls_are_told_with_the_namespace_in_them(void **state)
{
    (void)state;
    struct tenancy *tenancy = parse("rules:\n"
                                    "- {namespaces: [shop], repositories: "
                                    "['https://h/$namespace/**', 'oci://r/**']}\n"
                                    "- {namespaces: ['*']}\n");
    cJSON *patterns AUTO_JSON = tenancy_url_patterns(tenancy, "shop");
    assert_int_equal(json_size(patterns), 2);
    assert_true(tenancy_url_matches(patterns, "https://h/shop/a.tgz"));
    assert_true(tenancy_url_matches(patterns, "oci://r/charts"));
    assert_false(tenancy_url_matches(patterns, "https://h/other/a.tgz"));
    assert_false(tenancy_url_matches(patterns, "https://h/shop/../other/a.tgz"));
    assert_null(tenancy_url_patterns(tenancy, "other"));
    assert_null(tenancy_url_patterns(NULL, "shop"));
    assert_true(tenancy_url_matches(NULL, "https://anything"));
    tenancy_free(tenancy);
}

static void a_chart_of_another_namespace_is_named_by_its_kind(void **state)
{
    (void)state;
    struct error error;
    struct tenancy *tenancy =
        parse("rules:\n- {namespaces: [shop], sharedRepositories: ['charts/*']}\n");
    assert_true(tenancy_check_source(tenancy, "shop", "charts", "helm:web", &error));
    assert_false(tenancy_check_source(tenancy, "shop", "other", "helm:web", &error));
    assert_non_null(strstr(error.message, "HelmRepository other/web"));
    assert_false(tenancy_check_source(NULL, "shop", "other", "helm:web", &error));
    assert_non_null(strstr(error.message, "HelmRepository other/web"));
    tenancy_free(tenancy);
}

static void a_source_of_another_namespace_must_be_shared(void **state)
{
    (void)state;
    static const struct {
        const char *namespace_, *source_namespace, *source;
        bool allowed;
    } cases[] = {
        {"team-a", "team-a", "shop", true},          {"team-a", "platform", "charts-1", true},
        {"team-a", "platform", "secret", false},     {"team-a", "team-b", "shop", false},
        {"team-a", "platform", "charts-1/x", false}, {"platform", "team-a", "shop", false},
        {"nobody", "nobody", "shop", false},
    };
    struct tenancy *tenancy = parse(settings);
    struct error error;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool allowed = tenancy_check_source(tenancy, cases[i].namespace_, cases[i].source_namespace,
                                            cases[i].source, &error);
        if (allowed != cases[i].allowed) {
            fail_msg("%s/%s of %s", cases[i].source_namespace, cases[i].source,
                     cases[i].namespace_);
        }
    }
    tenancy_free(tenancy);
    assert_true(tenancy_check_source(NULL, "team-a", "team-a", "shop", &error));
    assert_false(tenancy_check_source(NULL, "team-a", "platform", "charts-1", &error));
    assert_non_null(strstr(error.message, "is in another namespace, which nothing allows"));
}

static void objects_are_held_to_resources_and_target_namespaces(void **state)
{
    (void)state;
    static const struct {
        const char *namespace_;
        struct tenancy_object object;
        bool allowed;
    } cases[] = {
        {"platform", {"rbac.authorization.k8s.io", "clusterroles", NULL, "admin"}, true},
        {"platform", {"", "secrets", "kube-system", "x"}, true},
        {"team-a", {"", "configmaps", "team-a", "x"}, true},
        {"team-a", {"apps", "deployments", "team-a-test", "x"}, true},
        {"team-a", {"apps", "deployments", "team-b", "x"}, false},
        {"team-a", {"apps", "deployments", "team-ab", "x"}, false},
        {"team-a", {"", "configmaps", "kube-system", "x"}, false},
        {"team-a", {"", "secrets", "team-a", "x"}, false},
        {"team-a", {"batch", "jobs", "team-a", "x"}, true},
        {"team-a", {"batch", "cronjobs", "team-a", "x"}, false},
        {"team-a", {"appsx", "deployments", "team-a", "x"}, false},
        {"team-a", {"rbac.authorization.k8s.io", "clusterroles", NULL, "x"}, false},
        {"team-a", {"rbac.authorization.k8s.io", "clusterroles", "", "x"}, false},
        {"team-a", {"", "namespaces", NULL, "team-a-test"}, true},
        {"team-a", {"", "namespaces", NULL, "team-b"}, false},
        {"team-a", {"", "namespaces", NULL, "kube-system"}, false},
        {"nobody", {"", "configmaps", "nobody", "x"}, false},
    };
    struct tenancy *tenancy = parse(settings);
    struct error error;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool allowed = tenancy_check_object(tenancy, cases[i].namespace_, &cases[i].object, &error);
        if (allowed != cases[i].allowed) {
            fail_msg("%s/%s %s/%s of %s", cases[i].object.group, cases[i].object.resource,
                     text_or_empty(cases[i].object.namespace_), cases[i].object.name,
                     cases[i].namespace_);
        }
    }
    assert_true(tenancy_check_object(NULL, "nobody", &cases[0].object, &error));
    tenancy_free(tenancy);
}

static void service_accounts_are_of_the_own_namespace_unless_named_with_theirs(void **state)
{
    (void)state;
    static const struct {
        const char *namespace_, *account_namespace, *account;
        bool allowed;
    } cases[] = {
        {"team-a", "team-a", "deployer", true},  {"team-a", "team-a", "team-a-x", true},
        {"team-a", "team-a", "team-b-x", false}, {"team-a", "team-a", "admin", false},
        {"team-a", "platform", "shared", true},  {"team-a", "platform", "deployer", false},
        {"platform", "anywhere", "admin", true}, {"nobody", "nobody", "default", false},
    };
    struct tenancy *tenancy = parse(settings);
    struct error error;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (tenancy_check_account(tenancy, cases[i].namespace_, cases[i].account_namespace,
                                  cases[i].account, &error) != cases[i].allowed) {
            fail_msg("%s/%s of %s", cases[i].account_namespace, cases[i].account,
                     cases[i].namespace_);
        }
    }
    const char *home = NULL, *account = NULL;
    assert_true(tenancy_default_account(tenancy, "team-a", &home, &account));
    assert_string_equal(home, "team-a");
    assert_string_equal(account, "deployer");
    assert_true(tenancy_default_account(tenancy, "closed", &home, &account));
    assert_string_equal(home, "platform");
    assert_string_equal(account, "reader");
    assert_false(tenancy_default_account(tenancy, "platform", &home, &account));
    assert_false(tenancy_default_account(tenancy, "nobody", &home, &account));
    assert_false(tenancy_default_account(NULL, "team-a", &home, &account));
    tenancy_free(tenancy);
}

static void a_refusal_names_object_rule_line_and_remedy(void **state)
{
    (void)state;
    struct tenancy *tenancy = parse(settings);
    struct error error;
    const struct tenancy_object secret = {"", "secrets", "team-a", "key"};
    assert_false(tenancy_check_object(tenancy, "team-a", &secret, &error));
    assert_string_equal(error.message,
                        "core/secrets team-a/key is not allowed by the tenancy settings (rule "
                        "\"tenants\", tenancy.yaml:6): `resources.deny` names core/secrets. Change "
                        "it, or ask whoever operates Gitmoor to allow it there");
    assert_false(tenancy_check_source(tenancy, "team-a", "team-b", "shop", &error));
    assert_non_null(strstr(error.message, "`sharedRepositories` allows only platform/charts-*."));
    assert_false(tenancy_check_url(tenancy, "closed", "https://x.example.org/y", &error));
    assert_non_null(strstr(error.message, "(tenancy.yaml:18): `repositories` allows none."));
    assert_false(tenancy_check_account(tenancy, "nobody", "nobody", "default", &error));
    assert_non_null(strstr(error.message, "no rule of the tenancy settings (tenancy.yaml) is for"));
    tenancy_free(tenancy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_with_a_line_whatever_is_no_rule),
        cmocka_unit_test(a_name_stands_for_itself_and_stars_for_what_they_may),
        cmocka_unit_test(a_url_is_allowed_by_a_pattern_that_no_spelling_gets_around),
        cmocka_unit_test(the_listed_urls_are_told_with_the_namespace_in_them),
        cmocka_unit_test(a_chart_of_another_namespace_is_named_by_its_kind),
        cmocka_unit_test(a_source_of_another_namespace_must_be_shared),
        cmocka_unit_test(objects_are_held_to_resources_and_target_namespaces),
        cmocka_unit_test(service_accounts_are_of_the_own_namespace_unless_named_with_theirs),
        cmocka_unit_test(a_refusal_names_object_rule_line_and_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
