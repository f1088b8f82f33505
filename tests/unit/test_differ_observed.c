/* When status.observedRevision is written, and what it says. */
#include "differ_world.h"

#include "differ/observed.h"

struct scene {
    struct world *world;
    struct application *application;
    struct repository *repository;
};

/* An application that was looked at, at the newest commit of its repository: "2". */
static void open_scene(struct scene *scene)
{
    scene->world = world_open(1);
    world_commit(scene->world, "a", "1");
    scene->repository = world_commit(scene->world, "a", "2");
    scene->application = world_add(scene->world, "one", "a", "one");
    scene->application->rendered = true;
    scene->application->needs_render = false;
    scene->application->answered = scene->repository->sequence;
}

static void await(struct application *application, const char *revision)
{
    free(application->awaited_revision);
    application->awaited_revision = mem_string(revision);
}

/* As it would be written. */
static void assert_told(const struct application *application, const char *expected)
{
    AUTO_JSON cJSON *status = json_copy(packed_tree(application->status));
    observed_set(application, status);
    assert_true(text_equal(json_string(status, "observedRevision"), expected));
}

static void write_it(struct application *application)
{
    cJSON *status = json_copy(packed_tree(application->status));
    observed_set(application, status);
    packed_set(application->status, status);
}

static void the_newest_commit_that_was_looked_at_is_told(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    assert_told(scene.application, "main@sha1:2");
    write_it(scene.application);
    world_commit(scene.world, "a", "3");
    assert_told(scene.application, "main@sha1:2"); /* as it was: nobody has looked yet */
    scene.application->answered = scene.repository->sequence;
    assert_told(scene.application, "main@sha1:3");
    world_close(scene.world);
}

static void what_is_not_rendered_yet_tells_of_no_commit(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.application->rendered = false;
    assert_told(scene.application, NULL);
    scene.application->rendered = true;
    scene.application->needs_render = true;
    assert_told(scene.application, NULL);
    world_want(scene.application, "key"); /* a build of it is due */
    assert_told(scene.application, NULL);
    world_close(scene.world);
}

static void it_is_due_for_the_awaited_commit_alone(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    assert_false(observed_is_due(scene.application)); /* nobody waits */
    await(scene.application, "main@sha1:1");
    assert_false(observed_is_due(scene.application));
    await(scene.application, "main@sha1:2");
    assert_true(observed_is_due(scene.application));
    await(scene.application, "2"); /* the commit without its branch */
    assert_true(observed_is_due(scene.application));
    scene.application->needs_render = true;
    assert_false(observed_is_due(scene.application)); /* not yet */
    scene.application->needs_render = false;
    write_it(scene.application);
    assert_false(observed_is_due(scene.application)); /* told already */
    world_close(scene.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_commit_that_was_looked_at_is_told),
        cmocka_unit_test(what_is_not_rendered_yet_tells_of_no_commit),
        cmocka_unit_test(it_is_due_for_the_awaited_commit_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
