/* desired_build against a small discovery document: namespaces, label, kinds of the same commit,
 * duplicates, and what is carried over from one revision to the next. */
#include "common/base/memory.h"
#include "differ/desired.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char api_document[] =
    "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/v2\",\"items\":[{"
    "\"metadata\":{},\"versions\":[{\"version\":\"v1\",\"resources\":["
    "{\"resource\":\"configmaps\",\"responseKind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":"
    "\"ConfigMap\"},\"scope\":\"Namespaced\",\"verbs\":[\"get\",\"list\",\"watch\"]},"
    "{\"resource\":\"namespaces\",\"responseKind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":"
    "\"Namespace\"},\"scope\":\"Cluster\",\"verbs\":[\"get\",\"list\",\"watch\"]}]}]}]}";
static const char apis_document[] =
    "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/v2\",\"items\":[{"
    "\"metadata\":{\"name\":\"apiextensions.k8s.io\"},\"versions\":[{\"version\":\"v1\","
    "\"resources\":[{\"resource\":\"customresourcedefinitions\",\"responseKind\":{\"group\":"
    "\"apiextensions.k8s.io\",\"version\":\"v1\",\"kind\":\"CustomResourceDefinition\"},\"scope\":"
    "\"Cluster\",\"verbs\":[\"get\",\"list\",\"watch\"]}]}]},{\"metadata\":{\"name\":"
    "\"down.example.org\"},\"versions\":[{\"version\":\"v1\",\"freshness\":\"Stale\"}]}]}";

static cJSON *parse(const char *text)
{
    cJSON *tree = NULL;
    struct error error;
    if (!json_parse(text, strlen(text), NULL, &tree, &error)) {
        fail_msg("%s", error.message);
    }
    return tree;
}

static int open_discovery(void **state)
{
    AUTO_JSON cJSON *api = parse(api_document);
    AUTO_JSON cJSON *apis = parse(apis_document);
    struct kube_discovery *discovery = NULL;
    struct error error;
    if (!kube_discovery_parse(api, apis, &discovery, &error)) {
        fail_msg("%s", error.message);
    }
    *state = discovery;
    return 0;
}

static int close_discovery(void **state)
{
    kube_discovery_free(*state);
    return 0;
}

struct built {
    struct desired_set *set;
    struct problems problems;
    struct map unknown_kinds;
};

static struct built build_in(void *discovery, const char *target, const char *otherwise,
                             const struct desired_set *before, const char *const *texts)
{
    struct desired_input inputs[8];
    size_t count = 0;
    for (; texts[count]; count++) {
        inputs[count] = (struct desired_input){texts[count], strlen(texts[count]), "app.yaml",
                                               (unsigned)count + 1};
    }
    struct desired_options options = {.namespace_ = "shop",
                                      .application = "web",
                                      .target_namespace = target,
                                      .default_namespace = otherwise,
                                      .discovery = discovery,
                                      .before = before};
    struct built built;
    problems_init(&built.problems);
    map_init(&built.unknown_kinds);
    built.set = desired_build(&options, inputs, count, &built.problems, &built.unknown_kinds);
    return built;
}

static struct built build(void *discovery, const char *target, const struct desired_set *before,
                          const char *const *texts)
{
    return build_in(discovery, target, NULL, before, texts);
}

static void release(struct built *built)
{
    desired_free(built->set);
    problems_release(&built->problems);
    map_release(&built->unknown_kinds, NULL);
}

static void expect_problem(struct built *built, const char *part)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 65536);
    problems_describe(&built->problems, &text);
    if (built->problems.total != 1 || !strstr(text.data, part)) {
        fail_msg("wanted one problem with \"%s\", got %zu: %s", part, built->problems.total,
                 text.data);
    }
}

#define CONFIG_MAP(name, rest)                                                                     \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"" name "\"" rest "}}"

static void an_object_says_whether_it_stays(void **state)
{
#define PRUNE(word) CONFIG_MAP("a", ",\"annotations\":{\"gitmoor.io/prune\":\"" word "\"}")
    struct built built = build(*state, NULL, NULL, (const char *[]){PRUNE("disabled"), NULL});
    assert_int_equal(built.problems.total, 0);
    assert_true(built.set->objects[0].keeps);
    release(&built);
    built = build(*state, NULL, NULL, (const char *[]){PRUNE("enabled"), NULL});
    assert_false(built.set->objects[0].keeps);
    release(&built);
    built = build(*state, NULL, NULL, (const char *[]){CONFIG_MAP("b", ""), PRUNE("off"), NULL});
    expect_problem(&built, "app.yaml:2: ConfigMap a: the annotation gitmoor.io/prune must be "
                           "\"disabled\" or \"enabled\", not \"off\"");
    release(&built);
}

static void an_object_without_namespace_goes_to_the_applications(void **state)
{
    struct built built = build(*state, NULL, NULL, (const char *[]){CONFIG_MAP("a", ""), NULL});
    assert_int_equal(built.problems.total, 0);
    assert_string_equal(built.set->objects[0].key, "/ConfigMap/shop/a");
    assert_non_null(strstr(built.set->objects[0].text, "\"gitmoor.io/managed-by\":\"shop.web\""));
    release(&built);
}

static void a_target_namespace_overrides_what_git_says(void **state)
{
    struct built built =
        build(*state, "prod", NULL,
              (const char *[]){CONFIG_MAP("a", ",\"namespace\":\"elsewhere\""), NULL});
    assert_string_equal(built.set->objects[0].key, "/ConfigMap/prod/a");
    release(&built);
}

static void the_namespace_of_a_release_is_for_objects_that_name_none(void **state)
{
    const char *const texts[] = {CONFIG_MAP("a", ""), CONFIG_MAP("b", ",\"namespace\":\"own\""),
                                 NULL};
    struct built built = build_in(*state, NULL, "release", NULL, texts);
    assert_string_equal(built.set->objects[0].key, "/ConfigMap/own/b");
    assert_string_equal(built.set->objects[1].key, "/ConfigMap/release/a");
    release(&built);
    built = build_in(*state, "target", "release", NULL, texts);
    assert_string_equal(built.set->objects[0].key, "/ConfigMap/target/a");
    release(&built);
}

static void a_cluster_scoped_object_never_gets_a_namespace(void **state)
{
    struct built built =
        build(*state, "prod", NULL,
              (const char *[]){"{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{"
                               "\"name\":\"n\",\"namespace\":\"x\"}}",
                               NULL});
    assert_string_equal(built.set->objects[0].key, "/Namespace//n");
    assert_null(strstr(built.set->objects[0].text, "\"namespace\""));
    release(&built);
}

static void a_kind_of_a_server_that_is_down_is_told_from_one_that_nobody_serves(void **state)
{
    struct built built = build(*state, NULL, NULL,
                               (const char *[]){"{\"apiVersion\":\"down.example.org/v1\",\"kind\":"
                                                "\"Widget\",\"metadata\":{\"name\":\"w\"}}",
                                                NULL});
    expect_problem(&built,
                   "app.yaml:1: Widget w: the cluster does not tell now whether it serves a "
                   "kind Widget in down.example.org/v1");
    assert_true(map_has(&built.unknown_kinds, "down.example.org/v1/Widget"));
    release(&built);
}

static void a_kind_that_is_not_served_is_a_problem_that_may_pass(void **state)
{
    struct built built = build(*state, NULL, NULL,
                               (const char *[]){"{\"apiVersion\":\"example.org/v1\",\"kind\":"
                                                "\"Widget\",\"metadata\":{\"name\":\"w\"}}",
                                                NULL});
    expect_problem(&built, "app.yaml:1: Widget w: the cluster serves no kind Widget");
    assert_int_equal(built.unknown_kinds.count, 1);
    release(&built);
}

static void a_definition_of_the_same_commit_serves_its_kind(void **state)
{
    struct built built = build(
        *state, NULL, NULL,
        (const char *[]){
            "{\"apiVersion\":\"example.org/v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"w\"}}",
            "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\","
            "\"metadata\":{\"name\":\"widgets.example.org\"},\"spec\":{\"group\":\"example.org\","
            "\"scope\":\"Namespaced\",\"names\":{\"kind\":\"Widget\",\"plural\":\"widgets\"}}}",
            NULL});
    assert_int_equal(built.problems.total, 0);
    assert_int_equal(built.set->count, 2);
    assert_string_equal(built.set->objects[0].ref.kind, "CustomResourceDefinition");
    assert_string_equal(built.set->objects[1].key, "example.org/Widget/shop/w");
    assert_string_equal(built.set->objects[1].resource.plural, "widgets");
    release(&built);
}

static void an_object_declared_twice_names_both_places(void **state)
{
    struct built built = build(
        *state, NULL, NULL,
        (const char *[]){CONFIG_MAP("a", ""), CONFIG_MAP("a", ",\"namespace\":\"shop\""), NULL});
    expect_problem(&built, "declared twice, also at app.yaml:");
    release(&built);
}

static void our_label_may_not_be_claimed_in_git(void **state)
{
    struct built built =
        build(*state, NULL, NULL,
              (const char *[]){
                  CONFIG_MAP("a", ",\"labels\":{\"gitmoor.io/managed-by\":\"other.app\"}"), NULL});
    expect_problem(&built, "gitmoor.io/managed-by is Gitmoor's own");
    release(&built);
}

static void generate_name_is_refused(void **state)
{
    struct built built = build(*state, NULL, NULL,
                               (const char *[]){"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
                                                "\"metadata\":{\"generateName\":\"a-\"}}",
                                                NULL});
    expect_problem(&built, "give metadata.name");
    release(&built);
}

static void what_is_known_is_kept_for_an_unchanged_object_only(void **state)
{
    struct built before =
        build(*state, NULL, NULL, (const char *[]){CONFIG_MAP("a", ""), CONFIG_MAP("b", ""), NULL});
    before.set->objects[0].synced.bytes[0] = 1;
    before.set->objects[1].synced.bytes[0] = 2;
    struct built after =
        build(*state, NULL, before.set,
              (const char *[]){CONFIG_MAP("a", ""),
                               CONFIG_MAP("b", ",\"annotations\":{\"x\":\"y\"}"), NULL});
    assert_int_equal(desired_find(after.set, "/ConfigMap/shop/a")->synced.bytes[0], 1);
    assert_true(digest_is_zero(&desired_find(after.set, "/ConfigMap/shop/b")->synced));
    release(&before);
    release(&after);
}

#define HOOK ",\"annotations\":{\"gitmoor.io/hook\":\"before\",\"gitmoor.io/wave\":\"7\"}"

static void a_hook_is_none_of_the_objects_and_is_declared_all_the_same(void **state)
{
    struct built built = build(*state, NULL, NULL,
                               (const char *[]){CONFIG_MAP("a", ""), CONFIG_MAP("h", HOOK), NULL});
    assert_int_equal(built.problems.total, 0);
    assert_int_equal(built.set->count, 1);
    assert_int_equal(built.set->hook_count, 1);
    assert_null(desired_find(built.set, "/ConfigMap/shop/h"));
    assert_true(desired_declares(built.set, "/ConfigMap/shop/h"));
    assert_string_equal(desired_at(built.set, 1)->key, "/ConfigMap/shop/h");
    assert_null(desired_at(built.set, 2));
    assert_int_equal(built.set->hooks[0].object.wave, 7);
    assert_false(built.set->has_waves);
    release(&built);
}

static void the_name_of_a_hook_may_follow_from_its_content(void **state)
{
#define GENERATED(what)                                                                            \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"generateName\":\"a-\"" HOOK     \
    "},\"data\":{\"x\":\"" what "\"}}"
    struct built one = build(*state, NULL, NULL, (const char *[]){GENERATED("1"), NULL});
    struct built same = build(*state, NULL, NULL, (const char *[]){GENERATED("1"), NULL});
    struct built other = build(*state, NULL, NULL, (const char *[]){GENERATED("2"), NULL});
    assert_int_equal(one.set->hook_count, 1);
    const char *name = one.set->hooks[0].object.ref.name;
    assert_int_equal(strlen(name), strlen("a-") + 8);
    assert_true(strncmp(name, "a-", 2) == 0);
    assert_string_equal(name, same.set->hooks[0].object.ref.name);
    assert_string_not_equal(name, other.set->hooks[0].object.ref.name);
    assert_null(strstr(one.set->hooks[0].object.text, "generateName"));
    release(&one);
    release(&same);
    release(&other);
}

static void a_hook_and_an_object_of_one_name_are_declared_twice(void **state)
{
    struct built built = build(*state, NULL, NULL,
                               (const char *[]){CONFIG_MAP("a", ""), CONFIG_MAP("a", HOOK), NULL});
    expect_problem(&built, "declared twice, also at app.yaml:1");
    release(&built);
}

static void the_digest_of_the_content_covers_hooks_and_not_their_order(void **state)
{
    static const char *const texts[][3] = {{CONFIG_MAP("a", ""), CONFIG_MAP("h", HOOK), NULL},
                                           {CONFIG_MAP("h", HOOK), CONFIG_MAP("a", ""), NULL},
                                           {CONFIG_MAP("a", ""), NULL}};
    struct built first = build(*state, NULL, NULL, texts[0]);
    struct built turned = build(*state, NULL, NULL, texts[1]);
    struct built without = build(*state, NULL, NULL, texts[2]);
    assert_true(digest_equal(&first.set->content, &turned.set->content));
    assert_false(digest_equal(&first.set->content, &without.set->content));
    release(&first);
    release(&turned);
    release(&without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_says_whether_it_stays),
        cmocka_unit_test(an_object_without_namespace_goes_to_the_applications),
        cmocka_unit_test(a_target_namespace_overrides_what_git_says),
        cmocka_unit_test(the_namespace_of_a_release_is_for_objects_that_name_none),
        cmocka_unit_test(a_cluster_scoped_object_never_gets_a_namespace),
        cmocka_unit_test(a_kind_that_is_not_served_is_a_problem_that_may_pass),
        cmocka_unit_test(a_kind_of_a_server_that_is_down_is_told_from_one_that_nobody_serves),
        cmocka_unit_test(a_definition_of_the_same_commit_serves_its_kind),
        cmocka_unit_test(an_object_declared_twice_names_both_places),
        cmocka_unit_test(our_label_may_not_be_claimed_in_git),
        cmocka_unit_test(generate_name_is_refused),
        cmocka_unit_test(a_hook_is_none_of_the_objects_and_is_declared_all_the_same),
        cmocka_unit_test(the_name_of_a_hook_may_follow_from_its_content),
        cmocka_unit_test(a_hook_and_an_object_of_one_name_are_declared_twice),
        cmocka_unit_test(the_digest_of_the_content_covers_hooks_and_not_their_order),
        cmocka_unit_test(what_is_known_is_kept_for_an_unchanged_object_only),
    };
    return cmocka_run_group_tests(tests, open_discovery, close_discovery);
}
