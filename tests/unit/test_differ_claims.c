/* Who holds an object that several applications declare. */
#include "common/base/memory.h"
#include "differ/claims.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define KEY "/ConfigMap/n/a"

static const struct object_ref a = {"", "v1", "ConfigMap", "n", "a"};

/* Two applications that both declare the ConfigMap a. */
struct world {
    struct differ differ;
    struct application first, second;
    struct live_kind kind;
};

static void on_changed(struct live_object *live, const char *label, const cJSON *object,
                       void *context)
{
    (void)live;
    (void)label;
    (void)object;
    (void)context;
}

static void on_queue(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)context;
}

static struct desired_set *declare(void)
{
    struct desired_set *set = NEW(struct desired_set);
    arena_init(&set->arena);
    map_init(&set->by_key);
    set->objects = NEW(struct desired_object);
    set->count = 1;
    set->objects[0] = (struct desired_object){.ref = a, .key = KEY, .file = "a.yaml"};
    map_set(&set->by_key, KEY, &set->objects[0]);
    return set;
}

static void add(struct world *world, struct application *application, char *key, const char *label)
{
    *application = (struct application){
        .differ = &world->differ, .key = key, .desired = declare(), .retry_at = 1};
    memcpy(application->label, label, strlen(label) + 1);
    map_set(&world->differ.applications, key, application);
    map_set(&world->differ.by_label, label, application);
}

static struct world *open_world(void)
{
    static char keys[2][8] = {"n/one", "n/two"};
    struct world *world = NEW(struct world);
    struct live_handlers handlers = {.changed = on_changed};
    world->differ.live = live_new(NULL, &handlers);
    world->differ.loop = event_base_new();
    world->differ.queue_event = event_new(world->differ.loop, -1, 0, on_queue, NULL);
    add(world, &world->first, keys[0], "n.one");
    add(world, &world->second, keys[1], "n.two");
    return world;
}

static void close_world(struct world *world)
{
    desired_free(world->first.desired);
    desired_free(world->second.desired);
    map_release(&world->differ.applications, NULL);
    map_release(&world->differ.by_label, NULL);
    map_release(&world->differ.elsewhere, NULL);
    map_release(&world->differ.claims, NULL);
    live_free(world->differ.live);
    event_free(world->differ.queue_event);
    event_base_free(world->differ.loop);
    free(world);
}

/* The number of objects that it may not have. */
static size_t refused(struct application *application)
{
    struct problems problems;
    problems_init(&problems);
    claims_take(application, &problems);
    size_t total = problems.total;
    problems_release(&problems);
    return total;
}

static void record(struct world *world, const char *label, uint8_t fingerprint)
{
    struct digest digest = {.bytes = {fingerprint}};
    live_record(world->differ.live, &world->kind, &a, label, "u", "1", &digest);
}

static void of_two_the_one_that_came_first_holds_it(void **state)
{
    (void)state;
    struct world *world = open_world();
    assert_int_equal(refused(&world->second), 0);
    assert_int_equal(refused(&world->first), 1);
    assert_int_equal(refused(&world->second), 0);
    close_world(world);
}

static void the_one_that_the_live_object_names_holds_it_whoever_came_first(void **state)
{
    (void)state;
    struct world *world = open_world();
    record(world, "n.one", 1);
    assert_int_equal(refused(&world->second), 1);
    assert_int_equal(refused(&world->first), 0);
    assert_int_equal(refused(&world->second), 1);
    close_world(world);
}

static void a_label_without_our_entry_names_nobody(void **state)
{
    (void)state;
    struct world *world = open_world();
    record(world, "n.one", 0);
    assert_int_equal(refused(&world->second), 0);
    close_world(world);
}

static void what_the_named_one_declares_no_more_is_free(void **state)
{
    (void)state;
    struct world *world = open_world();
    record(world, "n.one", 1);
    map_remove(&world->first.desired->by_key, KEY);
    assert_int_equal(refused(&world->second), 0);
    close_world(world);
}

static void what_an_application_of_another_replica_has_is_left_to_it(void **state)
{
    (void)state;
    struct world *world = open_world();
    record(world, "m.other", 1);
    assert_int_equal(refused(&world->second), 0); /* no application has that label */
    map_set(&world->differ.elsewhere, "m.other", (void *)"m/other");
    assert_int_equal(refused(&world->second), 1);
    map_remove(&world->differ.elsewhere, "m.other");
    assert_int_equal(refused(&world->second), 0);
    close_world(world);
}

static void who_waits_for_an_object_is_woken_at_once_when_it_is_free(void **state)
{
    (void)state;
    struct world *world = open_world();
    assert_int_equal(refused(&world->first), 0);
    assert_int_equal(refused(&world->second), 1);
    world->second.conflicted = true;
    claims_release(&world->first, world->first.desired);
    assert_false(world->second.queued);
    claims_release(&world->first, NULL);
    assert_true(world->second.queued);
    assert_int_equal(world->second.retry_at, 0);
    assert_int_equal(refused(&world->second), 0);
    close_world(world);
}

static void one_that_holds_it_and_is_a_commit_behind_may_give_it_up(void **state)
{
    (void)state;
    struct world *world = open_world();
    struct problems problems;
    problems_init(&problems);
    assert_null(claims_take(&world->first, &problems));
    world->first.answered = 1;
    world->second.since = 2;
    assert_ptr_equal(claims_take(&world->second, &problems), &world->first);
    assert_int_equal(problems.total, 0);
    world->first.answered = 2;
    assert_null(claims_take(&world->second, &problems));
    assert_int_equal(problems.total, 1);
    problems_release(&problems);
    close_world(world);
}

/* As after a restart, when what is built is known later than plain manifests. */
static void one_that_the_live_object_names_may_declare_it_once_it_is_rendered(void **state)
{
    (void)state;
    struct world *world = open_world();
    struct problems problems;
    problems_init(&problems);
    record(world, "n.one", 1);
    map_remove(&world->first.desired->by_key, KEY);
    world->second.since = 1;
    assert_ptr_equal(claims_take(&world->second, &problems), &world->first);
    assert_false(map_has(&world->differ.claims, KEY));
    world->first.answered = 1;
    assert_null(claims_take(&world->second, &problems));
    assert_ptr_equal(map_get(&world->differ.claims, KEY), &world->second);
    assert_int_equal(problems.total, 0);
    problems_release(&problems);
    close_world(world);
}

static void what_anybody_declares_is_declared_before_it_is_claimed(void **state)
{
    (void)state;
    struct world *world = open_world();
    assert_true(claims_is_declared(&world->differ, KEY));
    assert_false(claims_is_declared(&world->differ, "/ConfigMap/n/b"));
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_two_the_one_that_came_first_holds_it),
        cmocka_unit_test(the_one_that_the_live_object_names_holds_it_whoever_came_first),
        cmocka_unit_test(a_label_without_our_entry_names_nobody),
        cmocka_unit_test(what_the_named_one_declares_no_more_is_free),
        cmocka_unit_test(what_an_application_of_another_replica_has_is_left_to_it),
        cmocka_unit_test(who_waits_for_an_object_is_woken_at_once_when_it_is_free),
        cmocka_unit_test(one_that_holds_it_and_is_a_commit_behind_may_give_it_up),
        cmocka_unit_test(one_that_the_live_object_names_may_declare_it_once_it_is_rendered),
        cmocka_unit_test(what_anybody_declares_is_declared_before_it_is_claimed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
