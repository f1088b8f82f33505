/* Which other applications have to be rendered before what one declares no more is deleted. */
#include "differ_world.h"

#include "differ/whole.h"

struct scene {
    struct world *world;
    struct application *one, *two;
};

static void open_scene(struct scene *scene)
{
    scene->world = world_open(1);
    world_commit(scene->world, "a", "1");
    world_commit(scene->world, "b", "1");
    scene->one = world_add(scene->world, "one", "a", "one");
    scene->two = world_add(scene->world, "two", "a", "two");
    scene->one->answered = scene->one->since = 2;
    scene->two->answered = 1;
}

static void one_that_is_a_commit_behind_is_awaited(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    assert_ptr_equal(whole_awaited(scene.one), scene.two);
    assert_null(whole_awaited(scene.two)); /* what one declares now it declared before, or adds */
    scene.two->answered = 2;
    assert_null(whole_awaited(scene.one));
    world_close(scene.world);
}

static void one_that_is_behind_a_newer_commit_is_not(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.one->answered = 3; /* unchanged there: what is in force is of the second */
    scene.two->answered = 2;
    assert_null(whole_awaited(scene.one));
    world_close(scene.world);
}

static void whoever_cannot_take_anything_over_is_not(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.two->deleting = true;
    assert_null(whole_awaited(scene.one));
    scene.two->deleting = false;
    scene.two->source_denied = true;
    assert_null(whole_awaited(scene.one));
    scene.two->source_denied = false;
    assert_ptr_equal(whole_awaited(scene.one), scene.two);
    struct application *other =
        world_add(scene.world, "two", "b", "two"); /* another repository's */
    assert_ptr_equal(other, scene.two);
    assert_null(whole_awaited(scene.one));
    world_close(scene.world);
}

static void one_whose_spec_has_changed_is(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.two->answered = 2;
    AUTO_JSON cJSON *object = NULL;
    static const char text[] =
        "{\"metadata\":{\"namespace\":\"n\",\"name\":\"two\",\"uid\":\"two\",\"generation\":2},"
        "\"spec\":{\"source\":{\"repository\":\"a\",\"path\":\"elsewhere\"}}}";
    assert_true(json_parse(text, sizeof text - 1, NULL, &object, NULL));
    application_changed(&scene.world->differ, "n", "two", object);
    assert_ptr_equal(whole_awaited(scene.one), scene.two);
    world_close(scene.world);
}

static void those_that_wait_are_woken(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.world->differ.queue_first = scene.world->differ.queue_last = NULL;
    scene.one->queued = scene.two->queued = false;
    whole_wait(scene.one, "waiting");
    whole_wake(&scene.world->differ);
    assert_true(scene.one->queued);
    assert_false(scene.two->queued);
    assert_int_equal(scene.one->outcome, OUTCOME_RENDERING);
    world_close(scene.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_a_commit_behind_is_awaited),
        cmocka_unit_test(one_that_is_behind_a_newer_commit_is_not),
        cmocka_unit_test(whoever_cannot_take_anything_over_is_not),
        cmocka_unit_test(one_whose_spec_has_changed_is),
        cmocka_unit_test(those_that_wait_are_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
