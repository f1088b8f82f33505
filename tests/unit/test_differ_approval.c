/* A person's word is for one list of objects: what counts as that list, and for how long. */
#include "differ/approval.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char key_a[] = "/ConfigMap/n/a", key_b[] = "/ConfigMap/n/b", a[] = "a", b[] = "b", n[] = "n",
            uid_a[] = "u1", uid_b[] = "u2", uid_anew[] = "u3", revision[] = "main@sha1:1",
            other_revision[] = "main@sha1:2";
static struct live_kind config_maps = {
    .resource = {.group = "", .version = "v1", .kind = "ConfigMap", .namespaced = true}};

/* Nothing is declared any more, and two objects are there. */
struct world {
    struct differ differ;
    struct application application;
    struct desired_set desired;
    struct live_object a, b;
    const struct live_object *objects[2];
    struct prune_list list;
};

static void on_changed(struct live_object *live, const char *label, const cJSON *object,
                       void *context)
{
    (void)live;
    (void)label;
    (void)object;
    (void)context;
}

static struct world *open_world(void)
{
    const struct live_handlers handlers = {.changed = on_changed};
    struct world *world = NEW(struct world);
    world->differ.live = live_new(NULL, &handlers);
    world->application.differ = &world->differ;
    world->application.desired = &world->desired;
    world->application.revision = revision;
    world->application.spec.prune_limit.value = -1;
    world->application.status = packed_new(json_new_object());
    world->a = (struct live_object){
        .key = key_a, .uid = uid_a, .namespace_ = n, .name = a, .kind = &config_maps};
    world->b = (struct live_object){
        .key = key_b, .uid = uid_b, .namespace_ = n, .name = b, .kind = &config_maps};
    world->objects[0] = &world->a;
    world->objects[1] = &world->b;
    world->list = (struct prune_list){.objects = world->objects, .count = 2};
    return world;
}

static void close_world(struct world *world)
{
    approval_end(&world->application);
    packed_free(world->application.status);
    free(world->application.approved_revision);
    free(world->application.adopt_revision);
    map_release(&world->application.others, NULL);
    live_free(world->differ.live);
    free(world);
}

static bool is_held(struct world *world)
{
    AUTO_BUF struct buf reason;
    struct problems found;
    buf_init(&reason, 4096);
    problems_init(&found);
    bool held = approval_is_lacking(&world->application, &world->list, &reason, &found);
    problems_release(&found);
    return held;
}

/* The word for what is held now, as `gitmoor approve` gives it. */
static void approve(struct world *world)
{
    const struct approval *approval = world->application.approvals[APPROVAL_TO_DELETE];
    free(world->application.approved_revision);
    world->application.approved_revision = mem_format("%s %s", approval->revision, approval->list);
}

/* As another process, which knows the status only. */
static void restart(struct world *world)
{
    cJSON *status = json_new_object();
    approval_set_status(&world->application, status);
    packed_set(world->application.status, status);
    approval_end(&world->application);
    approval_adopt(&world->application);
}

static void what_is_approved_goes_on_with_what_is_left_of_it(void **state)
{
    (void)state;
    struct world *world = open_world();
    assert_true(is_held(world));
    restart(world);
    assert_null(world->application.approvals[APPROVAL_TO_DELETE]);
    assert_true(is_held(world));
    approve(world);
    assert_false(is_held(world));
    world->list.count = 1;
    assert_false(is_held(world));
    restart(world);
    assert_false(is_held(world));
    close_world(world);
}

static void another_list_has_to_be_approved_anew(void **state)
{
    (void)state;
    static const char *const cases[] = {"a revision alone is no word",
                                        "an object more",
                                        "an object that was made anew",
                                        "another revision",
                                        "the same revision that declares other objects",
                                        "the same list once more, when it was applied already"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world *world = open_world();
        world->list.count = i == 1 ? 1 : 2;
        assert_true(is_held(world));
        approve(world);
        switch (i) {
        case 0:
            free(world->application.approved_revision);
            world->application.approved_revision = mem_string(revision);
            break;
        case 1:
            world->list.count = 2;
            break;
        case 2:
            world->b.uid = uid_anew;
            break;
        case 3:
            world->application.revision = other_revision;
            break;
        case 4:
            assert_false(is_held(world));
            world->list.count = 1;
            world->desired.content.bytes[0] = 1;
            break;
        default:
            assert_false(is_held(world));
            approval_end(&world->application);
            world->a.uid = uid_anew;
        }
        if (!is_held(world)) {
            fail_msg("%s", cases[i]);
        }
        close_world(world);
    }
}

static void the_word_taken_back_holds_it_again(void **state)
{
    (void)state;
    struct world *world = open_world();
    assert_true(is_held(world));
    approve(world);
    assert_false(is_held(world));
    free(world->application.approved_revision);
    world->application.approved_revision = NULL;
    assert_true(is_held(world));
    close_world(world);
}

static void a_revision_in_its_place_ends_it(void **state)
{
    (void)state;
    struct world *world = open_world();
    assert_true(is_held(world));
    approve(world);
    assert_false(is_held(world));
    approval_end_of_others(&world->application, revision);
    assert_non_null(world->application.approvals[APPROVAL_TO_DELETE]);
    approval_end_of_others(&world->application, other_revision);
    assert_null(world->application.approvals[APPROVAL_TO_DELETE]);
    close_world(world);
}

/* ---- Of what is taken over ---- */

static bool is_held_for_others(struct world *world)
{
    return !approval_to_take_over_goes_on(&world->application) &&
           approval_to_take_over_is_lacking(&world->application);
}

static void approve_others(struct world *world)
{
    const struct approval *approval = world->application.approvals[APPROVAL_TO_TAKE_OVER];
    free(world->application.adopt_revision);
    world->application.adopt_revision = mem_format("%s %s", approval->revision, approval->list);
}

static struct world *open_approved(void)
{
    struct world *world = open_world();
    map_set(&world->application.others, key_a, uid_a);
    map_set(&world->application.others, key_b, uid_b);
    assert_true(is_held_for_others(world));
    approve_others(world);
    return world;
}

static void what_may_be_taken_over_goes_on_with_what_is_left_of_it(void **state)
{
    (void)state;
    struct world *world = open_approved();
    restart(world);
    assert_null(world->application.approvals[APPROVAL_TO_TAKE_OVER]);
    assert_false(is_held_for_others(world)); /* the list is the same again */
    map_remove(&world->application.others, key_b);
    assert_false(is_held_for_others(world));
    restart(world);
    assert_false(is_held_for_others(world));
    close_world(world);
}

static void other_objects_have_to_be_approved_anew(void **state)
{
    (void)state;
    static const char *const cases[] = {"a revision alone is no word",
                                        "an object more",
                                        "an object less that was approved with it",
                                        "an object that was made anew",
                                        "another revision",
                                        "another path of the revision, once it was given",
                                        "the word for what is deleted is another"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world *world = open_approved();
        struct application *application = &world->application;
        switch (i) {
        case 0:
            free(application->adopt_revision);
            application->adopt_revision = mem_string(revision);
            break;
        case 1:
            map_set(&application->others, "/ConfigMap/n/c", uid_anew);
            break;
        case 2:
            map_remove(&application->others, key_a);
            break;
        case 3:
            map_set(&application->others, key_b, uid_anew);
            break;
        case 4:
            application->revision = other_revision;
            break;
        case 5:
            assert_false(is_held_for_others(world));
            map_remove(&application->others, key_a);
            world->desired.content.bytes[0] = 1;
            break;
        default:
            application->approved_revision = application->adopt_revision;
            application->adopt_revision = NULL;
        }
        if (!is_held_for_others(world)) {
            fail_msg("%s", cases[i]);
        }
        close_world(world);
    }
}

static void a_word_is_used_up_once_it_is_applied(void **state)
{
    (void)state;
    for (int restarted = 0; restarted < 2; restarted++) {
        struct world *world = open_approved();
        assert_false(is_held_for_others(world));
        approval_end(&world->application);
        if (restarted) {
            restart(world);
        }
        assert_true(is_held_for_others(world)); /* the same objects, by the same revision */
        approve_others(world);
        assert_false(is_held_for_others(world));
        close_world(world);
    }
}

static void a_word_that_never_was_given_is_not_used_up(void **state)
{
    (void)state;
    struct world *world = open_approved();
    approval_to_take_over_end(&world->application);
    assert_false(is_held_for_others(world));
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_approved_goes_on_with_what_is_left_of_it),
        cmocka_unit_test(another_list_has_to_be_approved_anew),
        cmocka_unit_test(the_word_taken_back_holds_it_again),
        cmocka_unit_test(a_revision_in_its_place_ends_it),
        cmocka_unit_test(what_may_be_taken_over_goes_on_with_what_is_left_of_it),
        cmocka_unit_test(other_objects_have_to_be_approved_anew),
        cmocka_unit_test(a_word_is_used_up_once_it_is_applied),
        cmocka_unit_test(a_word_that_never_was_given_is_not_used_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
