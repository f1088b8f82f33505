/* The worker's answer, taken as it comes: in whatever pieces, and not to its end. */
#include "differ_world.h"

#include "differ/answer.h"

#define HEAD "{\"commit\":\"1\",\"ok\":true}\n"
/* It has an object, which is none: so the application gets two problems and no set. */
#define LINES "{\"file\":\"a.yaml\",\"line\":1}\n{}\n"
#define PART(name, key)                                                                            \
    "{\"application\":\"n/" name "\",\"renderKey\":\"" key "\",\"objects\":1,\"bytes\":30,"        \
    "\"errors\":[{\"file\":\"b.yaml\",\"line\":2,\"message\":\"wrong\"}]}\n" LINES
#define WORD(name, key, word)                                                                      \
    "{\"application\":\"n/" name "\",\"renderKey\":\"" key "\",\"" word "\":true}\n"

_Static_assert(sizeof LINES - 1 == 30, "as the head says");

/* A look at a repository of two applications. */
struct scene {
    struct world *world;
    struct run run;
    struct application *one, *two;
};

static void open_scene(struct scene *scene)
{
    *scene = (struct scene){.world = world_open(1)};
    struct repository *repository = world_commit(scene->world, "a", "1");
    scene->one = world_add(scene->world, "one", "a", "one");
    scene->two = world_add(scene->world, "two", "a", "two");
    scene->one->looking = scene->two->looking = true;
    scene->run = (struct run){.repository = repository,
                              .commit = repository->commit,
                              .revision = repository->revision,
                              .sequence = 1,
                              .is_newest = true};
    repository->look = &scene->run;
}

static void close_scene(struct scene *scene)
{
    scene->run.repository->look = NULL;
    world_close(scene->world);
}

/* In pieces of that size, as the child hands them over; returns what is left. */
static size_t feed(struct scene *scene, const char *text, size_t piece)
{
    size_t size = strlen(text), taken = 0, come = 0;
    while (come < size) {
        come += piece < size - come ? piece : size - come;
        AUTO_FREE char *copy = mem_string_n(text + taken, come - taken); /* for the sanitizer */
        taken += answer_take(&scene->run, copy, come - taken);
    }
    return size - taken;
}

static void it_comes_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const char text[] = HEAD PART("one", "k1") WORD("two", "k2", "deferred");
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct scene scene;
        open_scene(&scene);
        assert_int_equal(feed(&scene, text, piece), 0);
        assert_int_equal(scene.run.failure.code, ERROR_NONE);
        assert_int_equal(scene.run.answered, 2);
        assert_string_equal(scene.one->render_key, "k1");
        assert_int_equal(scene.one->render_problems.total, 2);
        assert_false(scene.one->looking);
        assert_true(scene.two->build.is_due);
        assert_string_equal(scene.two->build.key, "k2");
        close_scene(&scene);
    }
}

static void each_application_is_taken_as_soon_as_its_part_is_whole(void **state)
{
    (void)state;
    static const char first[] = HEAD PART("one", "k1"),
                      all[] = HEAD PART("one", "k1") PART("two", "k2");
    for (size_t size = 0; size <= sizeof all - 1; size++) {
        struct scene scene;
        open_scene(&scene);
        AUTO_FREE char *text = mem_string_n(all, size);
        feed(&scene, text, sizeof all);
        assert_int_equal(scene.one->answered, size >= sizeof first - 1 ? 1 : 0);
        assert_int_equal(scene.two->answered, size == sizeof all - 1 ? 1 : 0);
        assert_int_equal(scene.two->looking, size < sizeof all - 1); /* it is asked for again */
        close_scene(&scene);
    }
}

static void a_deferred_one_is_not_answered(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    feed(&scene, HEAD WORD("one", "k1", "deferred"), 1000);
    assert_int_equal(scene.one->looked, 1);
    assert_int_equal(scene.one->answered, 0);
    assert_false(scene.one->rendered);
    assert_true(builds_is_under_way(scene.one));
    close_scene(&scene);
}

/* Rolled back from commit 0, which commit 1 does not change. */
static struct rollback *rolled_back(struct application *application)
{
    struct rollback *rollback = NEW(struct rollback);
    *rollback = (struct rollback){.from = mem_string("main@sha1:0"),
                                  .to = mem_string("main@sha1:00"),
                                  .key = mem_string("k0"),
                                  .commit = mem_string("0")};
    application->rollback = rollback;
    application->revision = mem_string(rollback->to);
    return rollback;
}

static void a_rollback_ends_by_a_newer_commit_that_has_another_key(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *commit, *text;
        bool is_left, is_rendered_anew;
    } cases[] = {
        {"a newer commit, of other files", "0", HEAD WORD("one", "k1", "deferred"), false, false},
        {"a newer commit, elsewhere", "0", HEAD WORD("one", "k0", "deferred"), true, false},
        {"the commit that was left, with other values", "1", HEAD WORD("one", "k1", "deferred"),
         true, true},
        {"the commit that was left", "1", HEAD WORD("one", "k0", "unchanged"), true, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        open_scene(&scene);
        struct rollback *rollback = rolled_back(scene.one);
        free(rollback->commit);
        rollback->commit = mem_string(cases[i].commit);
        feed(&scene, cases[i].text, 1000);
        bool is_left = !builds_is_under_way(scene.one) && text_equal(rollback->commit, "1") &&
                       text_equal(rollback->key, scene.one->render_key);
        if (is_left != cases[i].is_left || rollback->needs_render != cases[i].is_rendered_anew) {
            fail_msg("%s", cases[i].sentence);
        }
        close_scene(&scene);
    }
}

static void one_that_does_not_wait_for_it_is_passed_over(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.one->looking = false; /* its spec has changed */
    assert_int_equal(feed(&scene, HEAD PART("one", "k1") PART("none", "k") PART("two", "k2"), 1000),
                     0);
    assert_null(scene.one->render_key);
    assert_int_equal(scene.one->answered, 0);
    assert_int_equal(scene.two->answered, 1);
    close_scene(&scene);
}

static void unchanged_files_are_an_answer_and_end_a_build_of_others(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.one->needs_render = false;
    scene.one->render_key = mem_string("k1");
    builds_want(scene.one, "of the commit before");
    feed(&scene, HEAD WORD("one", "k1", "unchanged"), 1000);
    assert_int_equal(scene.one->answered, 1);
    assert_false(builds_is_under_way(scene.one));
    assert_false(scene.one->needs_render);
    close_scene(&scene);
}

static void unchanged_since_a_build_that_has_come_between_is_looked_at_again(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene);
    scene.one->needs_render = false;
    scene.one->render_key = mem_string("of a build");
    feed(&scene, HEAD WORD("one", "k1", "unchanged"), 1000);
    assert_true(scene.one->needs_render);
    close_scene(&scene);
}

static void what_cannot_be_understood_is_told_and_not_read_on(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "not JSON\n",
        "{\"application\":\"n/one\",\"renderKey\":\"k1\",\"objects\":2,\"bytes\":30}\n" LINES,
        "{\"application\":\"n/one\",\"renderKey\":\"k1\",\"objects\":0,\"bytes\":30}\n" LINES,
        "{\"application\":\"n/one\",\"renderKey\":\"k1\",\"objects\":-1,\"bytes\":30}\n" LINES,
        "{\"application\":\"n/one\",\"renderKey\":\"k1\",\"objects\":9999999,\"bytes\":30}\n" LINES,
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct scene scene;
        open_scene(&scene);
        AUTO_FREE char *text = mem_format(HEAD "%s" PART("two", "k2"), wrong[i]);
        assert_int_equal(feed(&scene, text, 1000), 0);
        assert_int_not_equal(scene.run.failure.code, ERROR_NONE);
        assert_null(scene.one->render_key);
        assert_int_equal(scene.two->answered, 0);
        close_scene(&scene);
    }
}

static void a_negative_answer_says_whether_objects_are_missing(void **state)
{
    (void)state;
    static const struct {
        const char *reason;
        bool missing;
    } cases[] = {{"missing-objects", true}, {"invalid-pack", true}, {"system", false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scene scene;
        open_scene(&scene);
        AUTO_FREE char *text =
            mem_format("{\"ok\":false,\"reason\":\"%s\",\"message\":\"why\"}\n", cases[i].reason);
        feed(&scene, text, 1000);
        assert_int_equal(scene.run.objects_missing, cases[i].missing);
        assert_non_null(strstr(scene.run.failure.message, "why"));
        close_scene(&scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_in_pieces_of_any_size),
        cmocka_unit_test(each_application_is_taken_as_soon_as_its_part_is_whole),
        cmocka_unit_test(a_deferred_one_is_not_answered),
        cmocka_unit_test(a_rollback_ends_by_a_newer_commit_that_has_another_key),
        cmocka_unit_test(one_that_does_not_wait_for_it_is_passed_over),
        cmocka_unit_test(unchanged_files_are_an_answer_and_end_a_build_of_others),
        cmocka_unit_test(unchanged_since_a_build_that_has_come_between_is_looked_at_again),
        cmocka_unit_test(what_cannot_be_understood_is_told_and_not_read_on),
        cmocka_unit_test(a_negative_answer_says_whether_objects_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
