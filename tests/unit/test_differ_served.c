/* Unit tests of differ/served.c, with a scripted API server: a change is told once it has settled,
 * what is there at the start is not, and after a gap a change is assumed. */
#include "differ/served.h"
#include "kube_server.h"

#define NAMED(name, version)                                                                       \
    "{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" version "\"}}"
#define LIST(version, items)                                                                       \
    "{\"metadata\":{\"resourceVersion\":\"" version "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define GONE "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n"
#define SETTLE_MS 30

struct world {
    struct server server;
    struct served *served;
    unsigned told;
    bool done;
};

static void on_changed(void *context)
{
    struct world *world = context;
    world->told++;
    world->done = true;
}

static void on_time(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    ((struct world *)context)->done = true;
}

static void start(struct world *world, const struct step *steps)
{
    *world = (struct world){0};
    server_start(&world->server, steps);
    const struct served_options options = {
        .client = world->server.client,
        .loop = world->server.base,
        .resource = {.group = "apiextensions.k8s.io",
                     .version = "v1",
                     .kind = "CustomResourceDefinition",
                     .plural = "customresourcedefinitions"},
        .settle_ms = SETTLE_MS,
        .changed = on_changed,
        .context = world,
    };
    world->served = served_new(&options);
}

/* Runs on for as long as a change would have taken to be told, several times over. */
static void linger(struct world *world)
{
    world->done = false;
    const struct timeval after = {.tv_usec = 5 * SETTLE_MS * 1000};
    event_base_once(world->server.base, -1, EV_TIMEOUT, on_time, world, &after);
    server_run(&world->server, &world->done);
}

static void stop(struct world *world)
{
    served_free(world->served);
    server_stop(&world->server);
}

static void what_is_there_at_the_start_is_no_change(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/customresourcedefinitions?", 200, LIST("5", NAMED("a", "5")), false},
        {"watch=", 200, "", true},
        {0}};
    struct world world;
    start(&world, steps);
    while (world.server.served < 2) {
        linger(&world);
    }
    linger(&world);
    assert_int_equal(world.told, 0);
    stop(&world);
}

static void changes_that_come_together_are_told_once(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/customresourcedefinitions?", 200, LIST("5", NAMED("a", "5")), false},
        {"watch=", 200,
         EVENT("ADDED", NAMED("b", "6")) EVENT("MODIFIED", NAMED("b", "7"))
             EVENT("DELETED", NAMED("a", "8")),
         true},
        {0}};
    struct world world;
    start(&world, steps);
    server_run(&world.server, &world.done);
    linger(&world);
    assert_int_equal(world.told, 1);
    stop(&world);
}

static void after_a_gap_a_change_is_assumed(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/customresourcedefinitions?", 200, LIST("5", NAMED("a", "5")), false},
        {"watch=", 200, GONE, false},
        {"/customresourcedefinitions?", 200, LIST("9", NAMED("a", "5")), false},
        {"watch=", 200, "", true},
        {0}};
    struct world world;
    start(&world, steps);
    server_run(&world.server, &world.done);
    while (world.server.served < 4) {
        linger(&world);
    }
    assert_true(world.told >= 1);
    stop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_at_the_start_is_no_change),
        cmocka_unit_test(changes_that_come_together_are_told_once),
        cmocka_unit_test(after_a_gap_a_change_is_assumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
