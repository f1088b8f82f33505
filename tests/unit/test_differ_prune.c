/* prune_select and prune_is_dangerous on a hand-made group of live objects. */
#include "common/base/memory.h"
#include "differ/prune.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct live_kind namespaces = {
    .resource = {.group = "", .version = "v1", .kind = "Namespace"}};
static struct live_kind config_maps = {.resource = {.group = "",
                                                    .version = "v1",
                                                    .kind = "ConfigMap",
                                                    .plural = "configmaps",
                                                    .namespaced = true}};

static char no_namespace[] = "", shop[] = "shop", name_a[] = "a", key_a[] = "/ConfigMap/shop/a",
            label[] = "shop.web";

static struct live_object live_namespace(char *name)
{
    return (struct live_object){.kind = &namespaces, .namespace_ = no_namespace, .name = name};
}

static struct live_object live_config_map(char *name)
{
    return (struct live_object){.kind = &config_maps, .namespace_ = shop, .name = name};
}

static bool is_dangerous(const struct live_object **objects, size_t count,
                         struct desired_object *desired, size_t desired_count,
                         const struct live_group *group, struct buf *reason)
{
    struct prune_list list = {.objects = objects, .count = count};
    struct desired_set set = {.objects = desired, .count = desired_count};
    struct prune_limit none = {.value = -1};
    struct problems problems;
    problems_init(&problems);
    bool dangerous = prune_is_dangerous(&list, &set, group, &none, reason, &problems);
    assert_int_equal(problems.total, dangerous ? count : 0);
    problems_release(&problems);
    return dangerous;
}

static void more_than_the_limit_is_dangerous(void **state)
{
    (void)state;
    static const struct {
        struct prune_limit limit;
        size_t existing;
        bool dangerous;
    } cases[] = {
        {{.value = -1}, 2, false},
        {{.value = 2}, 4, false},
        {{.value = 1}, 4, true},
        {{.value = 0}, 4, true},
        {{.value = 50, .is_share = true}, 4, false},
        {{.value = 49, .is_share = true}, 4, true},
        {{.value = 0, .is_share = true}, 1000, true},
        {{.value = 100, .is_share = true}, 2, false},
    };
    struct live_object a = live_config_map(name_a), b = live_config_map(name_a);
    const struct live_object *objects[] = {&a, &b};
    const struct prune_list list = {.objects = objects, .count = 2};
    struct desired_object kept = {.ref = {.group = "", .kind = "ConfigMap"}};
    const struct desired_set set = {.objects = &kept, .count = 1};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO_BUF struct buf reason;
        buf_init(&reason, 4096);
        struct problems problems;
        problems_init(&problems);
        const struct live_group group = {.count = cases[i].existing};
        bool dangerous =
            prune_is_dangerous(&list, &set, &group, &cases[i].limit, &reason, &problems);
        problems_release(&problems);
        if (dangerous != cases[i].dangerous) {
            fail_msg("case %zu: %s", i, reason.data);
        }
    }
}

static void deleting_everything_is_dangerous_and_names_it(void **state)
{
    (void)state;
    AUTO_BUF struct buf reason;
    buf_init(&reason, 4096);
    struct live_object a = live_config_map(name_a), n = live_namespace(shop);
    const struct live_object *objects[] = {&a, &n};
    assert_true(is_dangerous(objects, 2, NULL, 0, NULL, &reason));
    assert_string_equal(reason.data, "this revision would delete everything that the application "
                                     "has (ConfigMap shop/a, Namespace shop)");
}

static void deleting_every_namespace_is_dangerous(void **state)
{
    (void)state;
    AUTO_BUF struct buf reason;
    buf_init(&reason, 4096);
    struct live_object a = live_config_map(name_a), n = live_namespace(shop);
    const struct live_object *objects[] = {&a, &n};
    struct desired_object kept = {.ref = {.group = "", .kind = "ConfigMap"}};
    assert_true(is_dangerous(objects, 2, &kept, 1, NULL, &reason));
    assert_string_equal(reason.data,
                        "this revision would delete every Namespace of the application (ConfigMap "
                        "shop/a, Namespace shop)");
}

static void deleting_some_is_what_pruning_is_for(void **state)
{
    (void)state;
    AUTO_BUF struct buf reason;
    buf_init(&reason, 4096);
    struct live_object a = live_config_map(name_a), n = live_namespace(shop);
    struct live_object stays = live_namespace(name_a);
    struct live_group group = {.label = label, .first = &n, .count = 2};
    const struct live_object *objects[] = {&a, &n};
    struct desired_object kept = {.ref = {.group = "", .kind = "Namespace", .name = name_a}};
    n.next = &stays;
    assert_false(is_dangerous(objects, 2, &kept, 1, &group, &reason));
    assert_false(is_dangerous(objects, 0, NULL, 0, &group, &reason));
}

static void a_namespace_that_is_only_declared_takes_the_place_of_none(void **state)
{
    (void)state;
    AUTO_BUF struct buf reason;
    buf_init(&reason, 4096);
    struct live_object n = live_namespace(shop);
    const struct live_object *objects[] = {&n};
    const struct live_group group = {.label = label, .first = &n, .count = 1};
    struct desired_object new = {.ref = {.group = "", .kind = "Namespace", .name = name_a}};
    assert_true(is_dangerous(objects, 1, &new, 1, &group, &reason));
    assert_string_equal(
        reason.data,
        "this revision would delete every Namespace of the application (Namespace shop)");
}

static void only_what_we_own_and_nobody_declares_is_pruned(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool owned, deleting, claimed, pruned;
    } rows[] = {
        {"ours and undeclared", true, false, false, true},
        {"a controller's copy: the label without our entry", false, false, false, false},
        {"under deletion already", true, true, false, false},
        {"moved to another application", true, false, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct differ differ = {0};
        struct application application = {.differ = &differ, .label = "shop.web"};
        struct desired_set desired = {0};
        application.desired = &desired;
        map_init(&differ.claims);
        map_init(&desired.by_key);
        if (rows[i].claimed) {
            map_set(&differ.claims, "/ConfigMap/shop/a", &application);
        }
        struct live_object live = live_config_map(name_a);
        live.key = key_a;
        live.deleting = rows[i].deleting;
        live.fingerprint.bytes[0] = rows[i].owned;
        struct live_group group = {.label = label, .first = &live, .count = 1};
        struct prune_list list;
        prune_select_from(&application, &group, &list);
        if ((list.count == 1) != rows[i].pruned) {
            fail_msg("%s", rows[i].name);
        }
        prune_release(&list);
        map_release(&differ.claims, NULL);
    }
}

static struct live_kind definitions = {.resource = {.group = "apiextensions.k8s.io",
                                                    .version = "v1",
                                                    .kind = "CustomResourceDefinition"}};
static struct live_kind plants = {.resource = {.group = "example.org",
                                               .version = "v1",
                                               .kind = "Plant",
                                               .plural = "plants",
                                               .namespaced = true}};

/* Objects of one group, of which each belongs to the application and is declared by nobody. */
struct scene {
    struct differ differ;
    struct application application;
    struct live_object objects[8];
    struct live_group group;
    char keys[8][8];
};

static void open_scene(struct scene *scene)
{
    *scene = (struct scene){.application = {.differ = &scene->differ}, .group.label = label};
    map_init(&scene->differ.claims);
    problems_init(&scene->application.kept);
}

static void close_scene(struct scene *scene)
{
    problems_release(&scene->application.kept);
    map_release(&scene->differ.claims, NULL);
}

static void put(struct scene *scene, struct live_kind *kind, char *namespace_, char *name,
                enum keep keep)
{
    size_t i = scene->group.count++;
    struct live_object *live = &scene->objects[i];
    scene->keys[i][0] = (char)('a' + i);
    *live = (struct live_object){.key = scene->keys[i],
                                 .kind = kind,
                                 .namespace_ = namespace_,
                                 .name = name,
                                 .keep = keep,
                                 .fingerprint.bytes = {1},
                                 .next = scene->group.first};
    scene->group.first = live;
}

/* "name name|name": what is given up, and what is deleted, in order. */
static const char *selected(struct scene *scene, bool prunes)
{
    static char text[256];
    struct prune_list list;
    size_t used = 0;
    prune_select_from(&scene->application, &scene->group, &list);
    if (!prunes) {
        prune_keep_all(&list);
    }
    prune_leave_unclear(&scene->application, &list);
    for (size_t i = 0; i < list.kept_count; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "",
                                 list.kept[i]->name);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "|");
    for (size_t i = 0; i < list.count; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "",
                                 list.objects[i]->name);
    }
    assert_int_equal(prune_is_empty(&list), list.count + list.kept_count == 0);
    prune_release(&list);
    return text;
}

static void what_says_that_it_stays_is_given_up_with_all_that_it_lies_in(void **state)
{
    (void)state;
    static char data[] = "data", web[] = "web", fern[] = "fern", other[] = "other",
                defines[] = "plants.example.org", similar[] = "plantsX.example.org";
    struct scene scene;
    open_scene(&scene);
    put(&scene, &config_maps, shop, data, KEEP_YES);
    put(&scene, &config_maps, shop, web, KEEP_NO);
    put(&scene, &namespaces, no_namespace, shop, KEEP_NO);
    put(&scene, &namespaces, no_namespace, other, KEEP_NO);
    assert_string_equal(selected(&scene, true), "shop data|web other");
    assert_string_equal(selected(&scene, false), "other shop data web|");
    put(&scene, &plants, other, fern, KEEP_YES);
    put(&scene, &definitions, no_namespace, defines, KEEP_NO);
    put(&scene, &definitions, no_namespace, similar, KEEP_NO);
    assert_string_equal(selected(&scene, true),
                        "plants.example.org other shop data fern|web plantsX.example.org");
    close_scene(&scene);
}

static void what_is_unclear_is_left_with_its_namespace_and_told(void **state)
{
    (void)state;
    static char data[] = "data", other[] = "other";
    struct scene scene;
    open_scene(&scene);
    put(&scene, &config_maps, shop, data, KEEP_UNCLEAR);
    put(&scene, &namespaces, no_namespace, shop, KEEP_NO);
    put(&scene, &namespaces, no_namespace, other, KEEP_NO);
    assert_string_equal(selected(&scene, true), "|other");
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    problems_describe(&scene.application.kept, &text);
    assert_int_equal(scene.application.kept.total, 2);
    assert_non_null(strstr(text.data, "Namespace shop: not in Git any more, but left in place: "
                                      "what it holds is left in place, too"));
    assert_non_null(strstr(text.data, "ConfigMap shop/data: not in Git any more, but left in "
                                      "place: its annotation gitmoor.io/prune"));
    close_scene(&scene);
}

static void what_stays_does_not_count_as_deleted(void **state)
{
    (void)state;
    struct live_object a = live_config_map(name_a), n = live_namespace(shop);
    const struct live_object *kept[] = {&n, &a};
    const struct prune_list list = {.kept = kept, .kept_count = 2};
    const struct desired_set nothing = {0};
    const struct live_group group = {.label = label, .first = &n, .count = 1};
    const struct prune_limit none_at_all = {.value = 0};
    AUTO_BUF struct buf reason;
    buf_init(&reason, 4096);
    struct problems problems;
    problems_init(&problems);
    assert_false(prune_is_dangerous(&list, &nothing, &group, &none_at_all, &reason, &problems));
    problems_release(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_says_that_it_stays_is_given_up_with_all_that_it_lies_in),
        cmocka_unit_test(what_is_unclear_is_left_with_its_namespace_and_told),
        cmocka_unit_test(what_stays_does_not_count_as_deleted),
        cmocka_unit_test(deleting_everything_is_dangerous_and_names_it),
        cmocka_unit_test(deleting_every_namespace_is_dangerous),
        cmocka_unit_test(deleting_some_is_what_pruning_is_for),
        cmocka_unit_test(a_namespace_that_is_only_declared_takes_the_place_of_none),
        cmocka_unit_test(more_than_the_limit_is_dangerous),
        cmocka_unit_test(only_what_we_own_and_nobody_declares_is_pruned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
