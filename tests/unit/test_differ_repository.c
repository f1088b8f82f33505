/* Repositories as they are announced, and the queue of those that are to be looked at. */
#include "differ_world.h"

#include "common/base/clock.h"
#include "common/base/directory.h"
#include "common/kube/resource.h"

#include <stdlib.h>
#include <unistd.h>

#define AT_ONCE 4 /* looks; LOOKS_MAXIMUM of repository.c */

/* ---- The worker that is played ---- */

/* Whatever it is asked for is found to be wrong, which is an answer too; or it never answers. */
static int play_worker(void)
{
    AUTO_JSON cJSON *request = world_request();
    if (!request) {
        return 1;
    }
    printf("{\"ok\":true,\"commit\":\"%s\"}\n", json_string(request, "commit"));
    for (const cJSON *item = json_first(json_array(request, "applications")); item;
         item = item->next) {
        if (text_equal(json_string(item, "path"), "hangs")) {
            pause();
        }
        printf("{\"application\":\"%s\",\"renderKey\":\"k\",\"objects\":0,\"bytes\":0,"
               "\"errors\":[{\"file\":\"a.yaml\",\"line\":1,\"message\":\"wrong\"}]}\n",
               json_string(item, "key"));
    }
    return 0;
}

/* ---- A differ that may look ---- */

struct place {
    struct world *world;
    char directory[64];
};

static int open_place(void **state)
{
    struct place *place = NEW(struct place);
    snprintf(place->directory, sizeof place->directory, "/tmp/gitmoor-test-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    place->world = world_open(1);
    place->world->settings.data_dir = place->directory;
    assert_true(kube_discovery_parse(NULL, NULL, &place->world->differ.discovery, NULL));
    *state = place;
    return 0;
}

static int close_place(void **state)
{
    struct place *place = *state;
    kube_discovery_free(place->world->differ.discovery);
    world_close(place->world);
    bool removed = directory_remove(place->directory, NULL);
    free(place);
    return removed ? 0 : 1;
}

/* A repository with one application of its name, whose objects are here: a look is due. */
static struct repository *add_with(struct place *place, const char *name, const char *path)
{
    AUTO_FREE char *kept = mem_format("%s/%s.git/refs/gitmoor/1", place->directory, name);
    assert_true(directory_make(kept, NULL));
    world_add(place->world, name, name, path);
    return world_commit(place->world, name, "1");
}

static struct repository *add(struct place *place, const char *name)
{
    return add_with(place, name, "good");
}

static void add_many(struct place *place, const char *prefix, size_t count, struct repository **ret)
{
    for (size_t i = 0; i < count; i++) {
        AUTO_FREE char *name = mem_format("%s-%zu", prefix, i);
        ret[i] = add(place, name);
    }
}

static size_t looking(const struct place *place)
{
    size_t count = 0;
    for (struct map_slot *slot = map_first(&place->world->differ.repositories); slot;
         slot = map_next(&place->world->differ.repositories, slot)) {
        count += ((const struct repository *)slot->value)->look != NULL;
    }
    return count;
}

/* Until no look is under way; never more than may be at once. */
static void run_all(struct place *place)
{
    int64_t until = clock_monotonic_ms() + 60000;
    while (looking(place) > 0) {
        assert_true(looking(place) <= AT_ONCE);
        assert_true(clock_monotonic_ms() < until);
        event_base_loop(place->world->differ.loop, EVLOOP_ONCE);
    }
}

/* ---- The queue of looks ---- */

static void no_more_are_looked_at_at_once_than_may_be_and_all_of_them_in_the_end(void **state)
{
    struct place *place = *state;
    struct repository *repositories[3 * AT_ONCE];
    add_many(place, "a", COUNT(repositories), repositories);
    assert_int_equal(looking(place), AT_ONCE);
    run_all(place);
    for (size_t i = 0; i < COUNT(repositories); i++) {
        assert_string_equal(repositories[i]->looked, "1");
        assert_int_equal(repositories[i]->turn, 0);
    }
}

static bool has_begun(const struct repository *repository)
{
    return repository->look || repository->looked;
}

/* All places but one are taken for good, so that they come one by one. */
static void who_has_waited_for_longest_is_next(void **state)
{
    struct place *place = *state;
    static const char *const names[] = {"c", "a", "d", "b"};
    struct repository *waiting[COUNT(names)];
    for (size_t i = 1; i < AT_ONCE; i++) {
        AUTO_FREE char *name = mem_format("hangs-%zu", i);
        add_with(place, name, "hangs");
    }
    struct repository *first = add(place, "first");
    for (size_t i = 0; i < COUNT(names); i++) {
        waiting[i] = add(place, names[i]);
    }
    repository_step(waiting[0]); /* who asks again keeps its place */
    int64_t until = clock_monotonic_ms() + 60000;
    assert_non_null(first->look);
    for (size_t i = 0; i < COUNT(names); i++) {
        while (!has_begun(waiting[i])) {
            assert_true(clock_monotonic_ms() < until);
            event_base_loop(place->world->differ.loop, EVLOOP_ONCE);
        }
        for (size_t later = i + 1; later < COUNT(names); later++) {
            assert_false(has_begun(waiting[later]));
        }
    }
}

/* As many as looks are under way have no application left when it is their turn: each look that
 * ends wakes one of them, and then nothing is under way that could wake another. */
static void who_waits_behind_those_with_nothing_to_look_at_is_looked_at(void **state)
{
    struct place *place = *state;
    struct repository *first[AT_ONCE], *idle[AT_ONCE];
    add_many(place, "first", AT_ONCE, first);
    add_many(place, "idle", AT_ONCE, idle);
    struct repository *last = add(place, "last");
    for (size_t i = 0; i < AT_ONCE; i++) {
        assert_true(idle[i]->turn > 0 && idle[i]->turn < last->turn);
        AUTO_FREE char *name = mem_format("idle-%zu", i);
        application_changed(&place->world->differ, "n", name, NULL);
    }
    run_all(place);
    assert_non_null(last->looked);
    for (size_t i = 0; i < AT_ONCE; i++) {
        assert_null(idle[i]->looked);
    }
}

/* ---- Announcements ---- */

static void an_announcement_that_is_not_whole_or_leads_elsewhere_is_refused(void **state)
{
    struct place *place = *state;
    static const char *const bodies[] = {
        "{\"uid\":\"u\",\"commit\":\"c\",\"revision\":\"r\"}",
        "{\"repository\":\"n/a\",\"commit\":\"c\",\"revision\":\"r\"}",
        "{\"repository\":\"n/a\",\"uid\":\"u\",\"revision\":\"r\"}",
        "{\"repository\":\"n/a\",\"uid\":\"u\",\"commit\":\"c\"}",
        "{\"repository\":\"a\",\"uid\":\"u\",\"commit\":\"c\",\"revision\":\"r\"}",
        "{\"repository\":\"n/a\",\"uid\":\"..\",\"commit\":\"c\",\"revision\":\"r\"}",
        "{\"repository\":\"n/a\",\"uid\":\"u/v\",\"commit\":\"c\",\"revision\":\"r\"}",
        "{\"repository\":\"n/a\",\"uid\":\"u\",\"commit\":\"..\",\"revision\":\"r\"}",
        "{\"repository\":\"n/a\",\"uid\":\"u\",\"commit\":\"c/d\",\"revision\":\"r\"}",
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        AUTO_JSON cJSON *body = NULL;
        assert_true(json_parse(bodies[i], strlen(bodies[i]), NULL, &body, NULL));
        assert_false(repository_announced(&place->world->differ, body));
    }
    assert_int_equal(place->world->differ.repositories.count, 0);
}

static void the_same_commit_announced_again_is_nothing_new(void **state)
{
    struct place *place = *state;
    const struct repository *repository = add(place, "a");
    run_all(place);
    world_commit(place->world, "a", "1");
    assert_int_equal(repository->sequence, 1);
    assert_int_equal(looking(place), 0);
}

static void who_is_gone_is_not_looked_at_any_more_unless_another_has_its_name(void **state)
{
    struct place *place = *state;
    struct repository *repository = add(place, "a");
    run_all(place);
    repository_gone(&place->world->differ, "n/a", "of another");
    assert_string_equal(repository->commit, "1");
    repository_gone(&place->world->differ, "n/a", "a");
    assert_null(repository->commit);
    assert_null(repository->looked);
    assert_null(repository->whole_commit);
    repository_step(repository);
    assert_int_equal(looking(place), 0);
}

/* ---- Trouble ---- */

static void a_failure_that_may_pass_is_told_to_who_has_nothing_to_go_on_with(void **state)
{
    struct place *place = *state;
    struct repository *repository = add(place, "a");
    run_all(place);
    repository_set_trouble(repository, "cut");
    assert_true(repository_is_backing_off(repository));
    assert_null(repository_trouble(repository, false));
    assert_string_equal(repository_trouble(repository, true), "cut");
    repository_set_trouble(repository, "cut again");
    assert_null(repository_trouble(repository, false)); /* what is in force is the newest commit */
    free(repository->looked);
    repository->looked = NULL;
    assert_string_equal(repository_trouble(repository, false), "cut again");
    repository_set_trouble(repository, NULL);
    assert_null(repository_trouble(repository, true));
    assert_int_equal(repository->failures, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && text_equal(argv[1], "worker")) {
        return play_worker();
    }
#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, open_place, close_place)
    const struct CMUnitTest tests[] = {
        WITH_PLACE(no_more_are_looked_at_at_once_than_may_be_and_all_of_them_in_the_end),
        WITH_PLACE(who_has_waited_for_longest_is_next),
        WITH_PLACE(who_waits_behind_those_with_nothing_to_look_at_is_looked_at),
        WITH_PLACE(an_announcement_that_is_not_whole_or_leads_elsewhere_is_refused),
        WITH_PLACE(the_same_commit_announced_again_is_nothing_new),
        WITH_PLACE(who_is_gone_is_not_looked_at_any_more_unless_another_has_its_name),
        WITH_PLACE(a_failure_that_may_pass_is_told_to_who_has_nothing_to_go_on_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
