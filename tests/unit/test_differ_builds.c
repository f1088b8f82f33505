/* The queue of builds: how many run, whose turn it is, and what becomes of those that fail. */
#include "differ_world.h"

#include "common/base/clock.h"

#include <signal.h>
#include <unistd.h>

/* ---- The worker that is played ---- */

static int play_worker(void)
{
    AUTO_JSON cJSON *request = world_request();
    if (!request) {
        return 1;
    }
    const cJSON *applications = json_array(request, "applications");
    if (text_equal(json_string(json_first(applications), "path"), "refused")) {
        printf("{\"ok\":false,\"reason\":\"missing-objects\",\"message\":\"m\"}\n");
        return 0;
    }
    printf("{\"ok\":true,\"commit\":\"%s\"}\n", json_string(request, "commit"));
    for (const cJSON *item = json_first(applications); item; item = item->next) {
        const char *path = json_string(item, "path");
        fflush(stdout);
        if (text_equal(path, "dies")) {
            raise(SIGKILL);
        }
        if (text_equal(path, "cut")) {
            printf("{\"application\":\"%s\",\"renderKey\":\"k\",\"objects\":1,\"bytes\":999,"
                   "\"errors\":[]}\n{\"file\":\"a.yaml\",\"line\":1}\n",
                   json_string(item, "key"));
            return 0;
        }
        if (text_equal(path, "late")) {
            return 0; /* there is no time left */
        }
        const char *key = text_equal(path, "fails") ? "" : "k";
        printf("{\"application\":\"%s\",\"renderKey\":\"%s\",\"objects\":0,\"bytes\":0,"
               "\"errors\":[{\"file\":\"a.yaml\",\"line\":1,\"message\":\"wrong\"}]}\n",
               json_string(item, "key"), key);
    }
    return 0;
}

/* ---- Looking at the queue ---- */

static size_t running(const struct world *world)
{
    size_t count = 0;
    for (struct map_slot *slot = map_first(&world->differ.repositories); slot;
         slot = map_next(&world->differ.repositories, slot)) {
        count += ((const struct repository *)slot->value)->builds;
    }
    return count;
}

/* Until nothing runs; never more than the bound do. */
static void run_all(struct world *world)
{
    int64_t until = clock_monotonic_ms() + 60000;
    while (running(world) > 0) {
        assert_true(running(world) <= (size_t)world->settings.builds);
        assert_true(clock_monotonic_ms() < until);
        event_base_loop(world->differ.loop, EVLOOP_ONCE);
    }
}

static void add_many(struct world *world, const char *repository, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        AUTO_FREE char *name = mem_format("%s-%zu", repository, i);
        world_want(world_add(world, name, repository, "good"), "k");
    }
}

/* ---- Tests ---- */

static void no_more_run_than_the_bound_says_whoever_wants_them(void **state)
{
    (void)state;
    struct world *world = world_open(2);
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < COUNT(names); i++) {
        world_commit(world, names[i], "1");
        add_many(world, names[i], 5);
    }
    builds_step(&world->differ);
    assert_int_equal(running(world), 2);
    run_all(world);
    for (struct map_slot *slot = map_first(&world->differ.applications); slot;
         slot = map_next(&world->differ.applications, slot)) {
        const struct application *application = slot->value;
        assert_int_equal(application->answered, 1);
        assert_true(application->rendered);
        assert_false(builds_is_under_way(application));
        assert_string_equal(application->render_key, "k");
        assert_int_equal(application->render_problems.total, 1);
    }
    world_close(world);
}

static void the_repository_that_has_fewer_is_next(void **state)
{
    (void)state;
    struct world *world = world_open(2);
    struct repository *many = world_commit(world, "many", "1");
    add_many(world, "many", 100);
    builds_step(&world->differ);
    assert_int_equal(many->builds, 2);
    struct repository *one = world_commit(world, "one", "1");
    add_many(world, "one", 1);
    while (running(world) == 2 && one->builds == 0) {
        event_base_loop(world->differ.loop, EVLOOP_ONCE);
    }
    assert_int_equal(many->builds, 1);
    assert_int_equal(one->builds, 1); /* the first that could begin */
    run_all(world);
    world_close(world);
}

static void of_few_each_has_a_run_of_its_own_and_of_many_several_share_one(void **state)
{
    (void)state;
    struct world *world = world_open(1);
    static const struct {
        size_t due, together;
    } cases[] = {{1, 1}, {3, 1}, {8, 4}, {100, 16}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_FREE char *name = mem_format("r%zu", i);
        world_commit(world, name, "1");
        add_many(world, name, cases[i].due);
        builds_step(&world->differ);
        size_t together = 0;
        for (struct map_slot *slot = map_first(&world->differ.applications); slot;
             slot = map_next(&world->differ.applications, slot)) {
            together += ((const struct application *)slot->value)->build.run != NULL;
        }
        assert_int_equal(together, cases[i].together);
        run_all(world);
    }
    world_close(world);
}

static void those_that_have_waited_for_longest_are_first(void **state)
{
    (void)state;
    enum { MANY = 10 };
    struct world *world = world_open(1);
    struct application *applications[MANY];
    world_commit(world, "a", "1");
    for (size_t i = 0; i < MANY; i++) {
        AUTO_FREE char *name = mem_format("a-%zu", i);
        applications[i] = world_add(world, name, "a", "good");
    }
    for (size_t i = MANY; i > 0; i--) {
        world_want(applications[i - 1], "k");
    }
    world_want(applications[MANY - 1], "of a newer commit"); /* it keeps its place */
    builds_step(&world->differ);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(applications[i]->build.run != NULL, i >= MANY / 2);
    }
    run_all(world);
    world_close(world);
}

static void what_there_was_no_time_for_is_built_next(void **state)
{
    (void)state;
    struct world *world = world_open(1);
    world_commit(world, "a", "1");
    add_many(world, "a", 8);
    struct application *late = world_add(world, "late", "a", "late");
    world_want(late, "k");
    builds_step(&world->differ);
    while (late->build.failures == 0) { /* until it was alone, and not even then answered */
        event_base_loop(world->differ.loop, EVLOOP_ONCE);
    }
    for (size_t i = 0; i < 8; i++) {
        AUTO_FREE char *key = mem_format("n/a-%zu", i);
        const struct application *application = map_get(&world->differ.applications, key);
        assert_int_equal(application->build.failures, 0);
    }
    run_all(world);
    assert_string_equal(late->build.trouble, "the render worker's answer is empty");
    world_close(world);
}

/* Whatever it is that fails, the others are built, and it is due again after a while. */
static void who_fails_is_put_off_alone(void **state)
{
    (void)state;
    static const struct {
        const char *path, *trouble;
    } cases[] = {{"dies", "died of signal 9"}, {"cut", "ends early"}, {"fails", "wrong"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct world *world = world_open(1);
        world_commit(world, "a", "1");
        struct application *bad = world_add(world, "bad", "a", cases[i].path);
        world_want(bad, "k");
        add_many(world, "a", 30);
        builds_step(&world->differ);
        run_all(world);
        for (size_t j = 0; j < 30; j++) {
            AUTO_FREE char *key = mem_format("n/a-%zu", j);
            const struct application *good = map_get(&world->differ.applications, key);
            assert_int_equal(good->answered, 1);
        }
        assert_int_equal(bad->answered, 0); /* nothing of it was taken for the whole */
        assert_null(bad->render_key);
        assert_true(bad->build.is_due);
        assert_true(bad->build.failures > 0); /* again, if the others take longer than its pause */
        assert_true(bad->build.retry_at > 0);
        assert_non_null(strstr(bad->build.trouble, cases[i].trouble));
        assert_true(bad->rendered); /* nobody waits for it */
        world_close(world);
    }
}

static void missing_objects_are_asked_for_again(void **state)
{
    (void)state;
    struct world *world = world_open(1);
    struct repository *repository = world_commit(world, "a", "1");
    world_want(world_add(world, "one", "a", "refused"), "k");
    builds_step(&world->differ);
    run_all(world);
    assert_true(repository->objects_missing);
    assert_null(repository->looked);
    assert_null(repository->whole_commit); /* and nothing is built until they are here */
    world_close(world);
}

static void what_is_under_way_already_is_not_begun_again(void **state)
{
    (void)state;
    struct world *world = world_open(1);
    world_commit(world, "a", "1");
    struct application *one = world_add(world, "one", "a", "good");
    world_want(one, "k");
    builds_step(&world->differ);
    world_commit(world, "a", "2"); /* a commit elsewhere: the key is the same */
    world_want(one, "k");
    assert_false(one->build.is_due);
    run_all(world);
    assert_int_equal(one->answered, 2);
    assert_false(builds_is_under_way(one));
    world_close(world);
}

static void what_has_changed_meanwhile_is_built_after_what_is_under_way(void **state)
{
    (void)state;
    struct world *world = world_open(1);
    world_commit(world, "a", "1");
    struct application *one = world_add(world, "one", "a", "good");
    world_want(one, "k");
    builds_step(&world->differ);
    world_commit(world, "a", "2");
    world_want(one, "other");
    while (one->answered == 0) {
        event_base_loop(world->differ.loop, EVLOOP_ONCE);
    }
    assert_int_equal(one->answered, 1); /* a commit behind, and taken all the same */
    assert_true(builds_is_under_way(one));
    run_all(world);
    assert_int_equal(one->answered, 2);
    world_close(world);
}

static void what_is_not_wanted_any_more_is_not_taken(void **state)
{
    (void)state;
    struct world *world = world_open(1);
    world_commit(world, "a", "1");
    struct application *one = world_add(world, "one", "a", "good");
    world_want(one, "k");
    builds_step(&world->differ);
    builds_drop(one);
    run_all(world);
    assert_int_equal(one->answered, 0);
    assert_null(one->render_key);
    world_close(world);
}

int main(int argc, char **argv)
{
    if (argc > 1 && text_equal(argv[1], "worker")) {
        return play_worker();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_run_than_the_bound_says_whoever_wants_them),
        cmocka_unit_test(the_repository_that_has_fewer_is_next),
        cmocka_unit_test(of_few_each_has_a_run_of_its_own_and_of_many_several_share_one),
        cmocka_unit_test(those_that_have_waited_for_longest_are_first),
        cmocka_unit_test(what_there_was_no_time_for_is_built_next),
        cmocka_unit_test(who_fails_is_put_off_alone),
        cmocka_unit_test(missing_objects_are_asked_for_again),
        cmocka_unit_test(what_is_under_way_already_is_not_begun_again),
        cmocka_unit_test(what_has_changed_meanwhile_is_built_after_what_is_under_way),
        cmocka_unit_test(what_is_not_wanted_any_more_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
