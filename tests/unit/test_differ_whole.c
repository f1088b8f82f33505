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

/* The why, or "" where nothing is doubted. */
static const char *doubt_of(const struct application *application)
{
    static char text[1024];
    AUTO_BUF struct buf why;
    buf_init(&why, sizeof text);
    bool doubted = whole_doubts(application, &why);
    snprintf(text, sizeof text, "%s", doubted ? why.data : "");
    return text;
}

static void
files_that_cannot_be_rendered_are_doubted_if_they_are_newer_than_the_last_sweep(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.two->answered = scene.two->unread = 2;
    problems_add(&scene.two->render_problems, "", "two/b.yaml", 3, "wrong");
    assert_string_equal(doubt_of(scene.one),
                        "the files of application n/two cannot be rendered (two/b.yaml:3)");
    scene.one->answered = 1;
    whole_note_swept(scene.one);
    assert_string_not_equal(doubt_of(scene.one), "");
    scene.one->answered = 2; /* it was broken then, and nothing was left to be pruned */
    whole_note_swept(scene.one);
    assert_string_equal(doubt_of(scene.one), "");
    scene.two->unread = 3;
    assert_string_not_equal(doubt_of(scene.one), "");
    assert_string_equal(doubt_of(scene.two), ""); /* its own files are no doubt of its own */
    world_close(scene.world);
}

static void whoever_cannot_take_anything_over_is_not_doubted(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.two->unread = 2;
    scene.two->deleting = true;
    assert_string_equal(doubt_of(scene.one), "");
    scene.two->deleting = false;
    scene.two->source_denied = true;
    assert_string_equal(doubt_of(scene.one), "");
    scene.two->source_denied = false;
    scene.one->revision = mem_string("main@sha1:2");
    scene.one->approved_revision = mem_string("main@sha1:1");
    assert_string_not_equal(doubt_of(scene.one), "");
    free(scene.one->approved_revision);
    scene.one->approved_revision = mem_string("main@sha1:2"); /* deleting is meant */
    assert_string_equal(doubt_of(scene.one), "");
    free(scene.one->approved_revision);
    scene.one->approved_revision = mem_string("main@sha1:2 0123456789ab");
    assert_string_equal(doubt_of(scene.one), "");
    world_close(scene.world);
}

static void an_application_that_git_declares_and_nobody_has_made_is_doubted(void **state)
{
    (void)state;
    static const struct {
        const char *name, *source;
        bool doubted;
    } rows[] = {
        {"new", "{\"repository\":\"a\",\"path\":\"new\"}", true},
        {"new", "{\"repository\":\"a\",\"namespace\":\"n\"}", true},
        {"new", "{\"repository\":\"b\"}", false}, /* nothing moves there from this repository */
        {"new", "{\"repository\":\"a\",\"namespace\":\"m\"}", false},
        {"two", "{\"repository\":\"a\"}", false}, /* it is there */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene scene;
        open_scene(&scene);
        AUTO_FREE char *text = mem_format("{\"spec\":{\"source\":%s}}", rows[i].source);
        struct desired_object object = {.ref = {.group = "gitmoor.io",
                                                .kind = "Application",
                                                .namespace_ = "n",
                                                .name = rows[i].name},
                                        .text = text,
                                        .size = strlen(text)};
        struct desired_set set = {.objects = &object, .count = 1, .has_applications = true};
        scene.two->desired = &set;
        scene.two->since = 2;
        const char *doubt = doubt_of(scene.one);
        const char *wanted =
            rows[i].doubted ? "application n/new, which n/two declares, is not there yet" : "";
        if (strcmp(doubt, wanted) != 0) {
            fail_msg("%s %s: %s", rows[i].name, rows[i].source, doubt);
        }
        scene.one->answered = 2;
        whole_note_swept(scene.one);
        assert_string_equal(doubt_of(scene.one), "");
        scene.two->desired = NULL;
        world_close(scene.world);
    }
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
        cmocka_unit_test(
            files_that_cannot_be_rendered_are_doubted_if_they_are_newer_than_the_last_sweep),
        cmocka_unit_test(whoever_cannot_take_anything_over_is_not_doubted),
        cmocka_unit_test(an_application_that_git_declares_and_nobody_has_made_is_doubted),
        cmocka_unit_test(those_that_wait_are_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
