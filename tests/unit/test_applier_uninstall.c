/* Unit tests of applier/uninstall.c: which Applications count, and what is written of them. */
#include "applier/uninstall.h"

#include "applier_world.h"

static struct world world;

#define LIST(items, token)                                                                         \
    "{\"kind\":\"PartialObjectMetadataList\",\"metadata\":{\"continue\":\"" token                  \
    "\"},\"items\":[" items "]}"
#define ITEM(name, more)                                                                           \
    "{\"metadata\":{\"namespace\":\"shop\",\"name\":\"" name "\",\"uid\":\"u\"" more "}}"
#define FINALIZERS(list) ",\"finalizers\":[" list "]"
#define DELETED ",\"deletionTimestamp\":\"2026-11-24T10:00:00Z\""
#define OURS "\"gitmoor.io/prune\""

/* What the lists are answered with, one after the other, the last one for good; and the patches. */
static struct {
    const char *lists[4];
    unsigned listed;
    int statuses[4];
    unsigned patched;
} script;

static int answer(struct world *served, const struct world_request *request, struct buf *body)
{
    (void)served;
    if (text_equal(request->method, "PATCH")) {
        int status = script.statuses[script.patched++];
        return status == 200 ? (buf_append_string(body, "{}"), 200)
                             : world_answer_status(body, status, "Reason", "it cannot be");
    }
    const char *list = script.lists[script.listed];
    script.listed += script.listed + 1 < 4 && script.lists[script.listed + 1] != NULL;
    if (!list) {
        return world_answer_status(body, 404, "NotFound", "no such kind");
    }
    buf_append_string(body, list);
    return 200;
}

static size_t released(bool expected)
{
    size_t count = 0;
    struct error error = {0};
    bool ok = uninstall_release(world.client, &count, &error);
    if (ok != expected) {
        fail_msg("%s", error.message);
    }
    return count;
}

static void it_is_taken_away_where_it_stands_and_nothing_else_is(void **state)
{
    (void)state;
    script.lists[0] =
        LIST(ITEM("none", "") "," ITEM("other", FINALIZERS("\"example.org/a\"")), "to+ken=");
    script.lists[1] = LIST(
        ITEM("two", FINALIZERS("\"example.org/a\"," OURS)) "," ITEM("one", FINALIZERS(OURS)), "");
    script.statuses[0] = script.statuses[1] = 200;
    assert_int_equal(released(true), 2);
    assert_int_equal(world.count, 4);
    assert_string_equal(world.requests[0].path, "/apis/gitmoor.io/v1alpha1/applications?limit=100");
    assert_string_equal(world.requests[1].path,
                        "/apis/gitmoor.io/v1alpha1/applications?limit=100&continue=to%2Bken%3D");
    assert_string_equal(world.requests[2].path,
                        "/apis/gitmoor.io/v1alpha1/namespaces/shop/applications/two");
    assert_string_equal(world.requests[2].type, "application/json-patch+json");
    assert_string_equal(
        world.requests[2].body,
        "[{\"op\":\"test\",\"path\":\"/metadata/finalizers/1\",\"value\":\"gitmoor.io/prune\"},"
        "{\"op\":\"remove\",\"path\":\"/metadata/finalizers/1\"}]");
}

static void what_has_changed_in_the_meantime_is_looked_at_again(void **state)
{
    (void)state;
    script.lists[0] = LIST(ITEM("one", FINALIZERS(OURS)), "");
    script.lists[1] = LIST(ITEM("one", FINALIZERS("\"example.org/a\"," OURS)), "");
    script.statuses[0] = 422;
    script.statuses[1] = 200;
    assert_int_equal(released(true), 1);
    assert_non_null(strstr(world.requests[3].body, "/metadata/finalizers/1"));
}

static void one_that_is_gone_is_released(void **state)
{
    (void)state;
    script.lists[0] = LIST(ITEM("one", FINALIZERS(OURS)), "");
    script.statuses[0] = 404;
    assert_int_equal(released(true), 0);
}

static void a_refusal_names_the_application(void **state)
{
    (void)state;
    size_t count = 7;
    struct error error = {0};
    script.lists[0] = LIST(ITEM("one", FINALIZERS(OURS)), "");
    script.statuses[0] = 403;
    assert_false(uninstall_release(world.client, &count, &error));
    assert_non_null(strstr(error.message, "Application shop/one"));
    assert_non_null(strstr(error.message, "it cannot be"));
}

static void without_the_definition_there_is_nothing_to_do(void **state)
{
    (void)state;
    size_t left = 7;
    struct error error = {0};
    assert_int_equal(released(true), 0);
    assert_true(uninstall_await_deletions(world.client, 60000, &left, &error));
    assert_int_equal(left, 0);
}

static void deletions_under_way_are_waited_for_and_no_others(void **state)
{
    (void)state;
    size_t left = 7;
    struct error error = {0};
    script.lists[0] =
        LIST(ITEM("kept", FINALIZERS(OURS)) "," ITEM("going", DELETED FINALIZERS(OURS)), "");
    script.lists[1] = LIST(
        ITEM("kept", FINALIZERS(OURS)) "," ITEM("held", DELETED FINALIZERS("\"example.org/a\"")),
        "");
    assert_true(uninstall_await_deletions(world.client, 60000, &left, &error));
    assert_int_equal(left, 0);
    assert_int_equal(world.count, 2);
}

static void they_are_waited_for_within_a_bound(void **state)
{
    (void)state;
    size_t left = 0;
    struct error error = {0};
    script.lists[0] = LIST(ITEM("going", DELETED FINALIZERS(OURS)), "");
    assert_true(uninstall_await_deletions(world.client, 1, &left, &error));
    assert_int_equal(left, 1);
}

static int open_world(void **state)
{
    (void)state;
    world_open(&world);
    memset(&script, 0, sizeof script);
    world.answer = answer;
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_taken_away_where_it_stands_and_nothing_else_is),
        TEST(what_has_changed_in_the_meantime_is_looked_at_again),
        TEST(one_that_is_gone_is_released),
        TEST(a_refusal_names_the_application),
        TEST(without_the_definition_there_is_nothing_to_do),
        TEST(deletions_under_way_are_waited_for_and_no_others),
        TEST(they_are_waited_for_within_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
