/* Unit tests of differ/live.c, with a scripted API server: what answers of the applier and events
 * of the watch make of each other, and when objects are gone. */
#include "common/base/text.h"
#include "differ/live.h"
#include "kube_server.h"

#define ENTRY                                                                                      \
    "\"managedFields\":[{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"fieldsV1\":{"           \
    "\"f:data\":{\"f:x\":{}}}}]"
#define MAP(name, uid, version, value)                                                             \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"" name                 \
    "\",\"namespace\":\"n\",\"uid\":\"" uid "\",\"resourceVersion\":\"" version                    \
    "\",\"labels\":{\"gitmoor.io/managed-by\":\"n.shop\"}," ENTRY "},\"data\":{\"x\":\"" value     \
    "\"}}"
#define KEPT_MAP(name, uid, version, word)                                                         \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"" name                 \
    "\",\"namespace\":\"n\",\"uid\":\"" uid "\",\"resourceVersion\":\"" version                    \
    "\",\"annotations\":{\"gitmoor.io/prune\":\"" word                                             \
    "\"},\"labels\":{\"gitmoor.io/managed-by\":\"n.shop\"}," ENTRY "},\"data\":{\"x\":\"1\"}}"
#define LIST(version, items)                                                                       \
    "{\"metadata\":{\"resourceVersion\":\"" version "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define GONE "{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}"
#define MISSING "{\"kind\":\"Status\",\"code\":404,\"reason\":\"NotFound\",\"message\":\"nothing\"}"
#define KEY(name) "/ConfigMap/n/" name

static const struct kube_resource config_maps = {
    .group = "", .version = "v1", .kind = "ConfigMap", .plural = "configmaps", .namespaced = true};
static const struct object_ref a = {"", "v1", "ConfigMap", "n", "a"};

struct world {
    struct server server;
    struct live *live;
    struct buf log;
    const char *until;
    bool done;
    /* Done when the first list is complete. */
    void (*synced)(struct world *world, struct live_kind *kind);
    unsigned syncs;
};

static void note(struct world *world, const char *format, const char *first, const char *second)
{
    buf_append_format(&world->log, format, first, second);
    world->done = world->done || strstr(world->log.data, world->until) != NULL;
}

static void on_changed(struct live_object *live, const char *label, const cJSON *object,
                       void *context)
{
    (void)label;
    note(context, "%s %s\n", live->name, object ? "is there" : "is gone");
}

static void on_kind(struct live_kind *kind, void *context)
{
    struct world *world = context;
    if (!kind->failing && world->syncs++ == 0 && world->synced) {
        world->synced(world, kind);
    }
    note(world, "%s %s\n", kind->resource.version, kind->failing ? "fails" : "listed");
}

static void run(struct world *world, const struct step *steps, const struct kube_resource *resource,
                const char *until, void (*synced)(struct world *world, struct live_kind *kind))
{
    *world = (struct world){.until = until, .synced = synced};
    buf_init(&world->log, 65536);
    server_start(&world->server, steps);
    struct live_handlers handlers = {
        .changed = on_changed, .kind_changed = on_kind, .context = world};
    world->live = live_new(world->server.client, &handlers);
    live_need(world->live, resource);
    server_run(&world->server, &world->done);
}

static void stop(struct world *world)
{
    live_free(world->live);
    server_stop(&world->server);
    buf_release(&world->log);
}

static void record_version_9(struct world *world, struct live_kind *kind)
{
    struct digest fingerprint = {.bytes = {9}};
    live_record(world->live, kind, &a, "n.shop", "u2", "9", &fingerprint);
}

static void events_older_than_the_appliers_answer_are_not_believed(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/configmaps?", 200, LIST("5", MAP("a", "u1", "5", "old")), false},
        {"watch=", 200,
         EVENT("MODIFIED", MAP("a", "u1", "7", "older")) EVENT(
             "DELETED", MAP("a", "u1", "8", "older")) EVENT("ADDED", MAP("b", "u3", "8", "b")),
         true},
        {0}};
    struct world world;
    run(&world, steps, &config_maps, "b is there", record_version_9);
    const struct live_object *found = live_get(world.live, KEY("a"));
    assert_non_null(found);
    assert_int_equal(found->version, 9);
    assert_int_equal(found->fingerprint.bytes[0], 9);
    assert_string_equal(found->uid, "u2");
    assert_null(strstr(world.log.data, "a is gone"));
    stop(&world);
}

static void health_is_open_until_the_watch_shows_what_was_applied(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/configmaps?", 200, LIST("5", MAP("a", "u1", "5", "old")), false},
        {"watch=", 200, EVENT("ADDED", MAP("b", "u3", "8", "b")), true},
        {0}};
    struct world world;
    run(&world, steps, &config_maps, "b is there", record_version_9);
    assert_int_equal(live_get(world.live, KEY("a"))->health, HEALTH_IN_PROGRESS);
    assert_int_equal(live_get(world.live, KEY("b"))->health, HEALTH_CURRENT);
    stop(&world);

    static const struct step shown[] = {
        {"/configmaps?", 200, LIST("5", MAP("a", "u1", "5", "old")), false},
        {"watch=", 200,
         EVENT("MODIFIED", MAP("a", "u2", "9", "new")) EVENT("ADDED", MAP("b", "u3", "9", "b")),
         true},
        {0}};
    run(&world, shown, &config_maps, "b is there", record_version_9);
    assert_int_equal(live_get(world.live, KEY("a"))->health, HEALTH_CURRENT);
    stop(&world);
}

static void record_a_word(struct world *world, struct live_kind *kind)
{
    struct digest fingerprint = {.bytes = {9}};
    assert_int_equal(live_get(world->live, KEY("a"))->keep, KEEP_NO);
    live_record(world->live, kind, &a, "n.shop", "u1", "9", &fingerprint);
    live_record_keep(world->live, KEY("a"));
    live_record_keep(world->live, KEY("none"));
    assert_int_equal(live_get(world->live, KEY("a"))->keep, KEEP_YES);
}

static void whether_an_object_stays_is_what_it_says_itself(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/configmaps?", 200, LIST("5", MAP("a", "u1", "5", "1")), false},
        {"watch=", 200,
         EVENT("ADDED", KEPT_MAP("b", "u2", "10", "disabled")) EVENT(
             "ADDED", KEPT_MAP("c", "u3", "10", "no")) EVENT("MODIFIED", MAP("a", "u1", "11", "1"))
             EVENT("ADDED", MAP("d", "u4", "12", "1")),
         true},
        {0}};
    struct world world;
    run(&world, steps, &config_maps, "d is there", record_a_word);
    assert_int_equal(live_get(world.live, KEY("a"))->keep, KEEP_NO);
    assert_int_equal(live_get(world.live, KEY("b"))->keep, KEEP_YES);
    assert_int_equal(live_get(world.live, KEY("c"))->keep, KEEP_UNCLEAR);
    stop(&world);
}

/* ---- News ---- */

static void look_whether_it_is_news(struct live_object *live, const char *label,
                                    const cJSON *object, void *context)
{
    (void)label;
    note(context, "%s: %s\n", live->name, object && live->unchanged ? "as before" : "news");
}

#define POD(version, label, value, phase, meta)                                                    \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":\"n\","    \
    "\"uid\":\"u\",\"resourceVersion\":\"" version                                                 \
    "\",\"labels\":{\"gitmoor.io/managed-by\":\"" label "\"}," meta ENTRY                          \
    "},\"data\":{\"x\":\"" value "\"},\"status\":{\"phase\":\"" phase "\",\"round\":\"" version    \
    "\"}}"

static const struct kube_resource pods = {
    .group = "", .version = "v1", .kind = "Pod", .plural = "pods", .namespaced = true};

static void a_status_that_says_the_same_of_health_is_no_news(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/pods?", 200, LIST("1", POD("1", "n.shop", "v", "Succeeded", "")), false},
        {"watch=", 200,
         EVENT("MODIFIED", POD("2", "n.shop", "v", "Succeeded", "")) /* as before */
         EVENT("MODIFIED", POD("3", "n.shop", "v", "Pending", ""))   /* health */
         EVENT("MODIFIED", POD("4", "n.shop", "v", "Pending", ""))   /* as before */
         EVENT("MODIFIED", POD("5", "n.shop", "w", "Pending", ""))   /* a field of ours */
         EVENT("MODIFIED", POD("6", "n.other", "w", "Pending", ""))  /* the label */
         EVENT("MODIFIED", POD("7", "n.other", "w", "Pending",
                               "\"annotations\":{\"gitmoor.io/break-glass-reason\":\"r\"},"))
             EVENT("MODIFIED", POD("8", "n.other", "w", "Pending",
                                   "\"annotations\":{\"gitmoor.io/break-glass-reason\":\"r\"},"
                                   "\"deletionTimestamp\":\"2026-11-24T00:00:00Z\","))
                 EVENT("ADDED", MAP("end", "e", "9", "e")),
         true},
        {0}};
    struct world world = {.until = "end"};
    buf_init(&world.log, 65536);
    server_start(&world.server, steps);
    struct live_handlers handlers = {
        .changed = look_whether_it_is_news, .kind_changed = on_kind, .context = &world};
    world.live = live_new(world.server.client, &handlers);
    live_need(world.live, &pods);
    server_run(&world.server, &world.done);
    assert_string_equal(world.log.data, "p: news\nv1 listed\np: as before\np: news\np: as before\n"
                                        "p: news\np: news\np: news\np: news\nend: news\n");
    stop(&world);
}

static void record_version_4(struct world *world, struct live_kind *kind)
{
    struct digest fingerprint = {.bytes = {4}};
    live_record(world->live, kind, &a, "n.shop", "u0", "4", &fingerprint);
}

static void an_answer_older_than_the_watch_is_not_believed(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/configmaps?", 200, LIST("5", MAP("a", "u1", "5", "old")), false},
        {"watch=", 200, EVENT("ADDED", MAP("b", "u3", "8", "b")), true},
        {0}};
    struct world world;
    run(&world, steps, &config_maps, "b is there", record_version_4);
    assert_string_equal(live_get(world.live, KEY("a"))->uid, "u1");
    stop(&world);
}

static void what_a_new_list_does_not_bring_is_gone(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/configmaps?", 200, LIST("5", MAP("a", "u1", "5", "x") "," MAP("b", "u2", "4", "x")),
         false},
        {"watch=", 200, EVENT("ERROR", GONE), true},
        {"/configmaps?", 200, LIST("9", MAP("b", "u2", "4", "x")), false},
        {"watch=", 200, "", true},
        {0}};
    struct world world;
    run(&world, steps, &config_maps, "a is gone", NULL);
    assert_null(live_get(world.live, KEY("a")));
    assert_non_null(live_get(world.live, KEY("b")));
    assert_int_equal(live_group_get(world.live, "n.shop")->count, 1);
    while (world.server.served < 4) {
        event_base_loop(world.server.base, EVLOOP_ONCE);
    }
    stop(&world);
}

static void of_a_kind_that_is_not_served_there_is_nothing(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/configmaps?", 200, LIST("5", MAP("a", "u1", "5", "x")), false},
        {"watch=", 404, MISSING, false},
        {"/configmaps?", 200, "", true}, /* it tries again */
        {0}};
    struct world world;
    run(&world, steps, &config_maps, "v1 fails", NULL);
    assert_null(live_get(world.live, KEY("a")));
    assert_non_null(strstr(world.log.data, "a is gone\nv1 fails"));
    while (world.server.served < 3) {
        event_base_loop(world.server.base, EVLOOP_ONCE);
    }
    stop(&world);
}

static void a_kind_that_is_listed_again_tells_of_each_object_and_sweeps_the_rest(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/configmaps?", 200, LIST("5", MAP("a", "u1", "5", "x") "," MAP("b", "u2", "4", "x")),
         false},
        {"watch=", 200, EVENT("ADDED", MAP("c", "u3", "8", "x")), true},
        {"/configmaps?", 200, LIST("9", MAP("b", "u2", "4", "x")), false},
        {"watch=", 200, "", true},
        {0}};
    struct world world;
    run(&world, steps, &config_maps, "c is there", NULL);
    struct live_kind *kind = live_kind_get(world.live, "ConfigMap.");
    int64_t before = kind->listed;
    buf_clear(&world.log);
    world.done = false;
    world.until = "v1 listed";
    live_list_again(kind);
    assert_false(kind->synced);
    assert_true(kind->listed >= before);
    assert_non_null(live_get(world.live, KEY("a"))); /* nothing is forgotten meanwhile */
    server_run(&world.server, &world.done);
    assert_true(kind->synced);
    assert_null(live_get(world.live, KEY("a")));
    assert_non_null(live_get(world.live, KEY("b")));
    assert_null(live_get(world.live, KEY("c")));
    assert_non_null(strstr(world.log.data, "b is there"));
    stop(&world);
}

static void a_kind_moves_to_the_version_that_is_served(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"+/apis/example.org/v1beta1/widgets?", 404, MISSING, false},
        {"/apis/example.org/v1/widgets?", 200, LIST("5", ""), false},
        {"watch=", 200, "", true},
        {0}};
    struct kube_resource widgets = {
        .group = "example.org", .version = "v1beta1", .kind = "Widget", .plural = "widgets"};
    struct world world;
    run(&world, steps, &widgets, "v1beta1 fails", NULL);
    widgets.version = "v1";
    struct live_kind *kind = live_kind_get(world.live, "Widget.example.org");
    live_move(kind, &widgets);
    assert_false(kind->failing || kind->synced);
    world.until = "v1 listed";
    world.done = false;
    server_run(&world.server, &world.done);
    assert_true(kind->synced);
    while (world.server.served < 3) {
        event_base_loop(world.server.base, EVLOOP_ONCE);
    }
    stop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_older_than_the_appliers_answer_are_not_believed),
        cmocka_unit_test(health_is_open_until_the_watch_shows_what_was_applied),
        cmocka_unit_test(whether_an_object_stays_is_what_it_says_itself),
        cmocka_unit_test(a_status_that_says_the_same_of_health_is_no_news),
        cmocka_unit_test(an_answer_older_than_the_watch_is_not_believed),
        cmocka_unit_test(what_a_new_list_does_not_bring_is_gone),
        cmocka_unit_test(of_a_kind_that_is_not_served_there_is_nothing),
        cmocka_unit_test(a_kind_that_is_listed_again_tells_of_each_object_and_sweeps_the_rest),
        cmocka_unit_test(a_kind_moves_to_the_version_that_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
