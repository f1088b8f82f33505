/* Buses that talk to each other inside one process and one loop, over real sockets: what the tests
 * of the bus share. */
#ifndef GITMOOR_TESTS_BUS_WORLD_H
#define GITMOOR_TESTS_BUS_WORLD_H

#include "common/bus/bus.h"

#include "common/base/clock.h"
#include "common/base/memory.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 60000 /* for what must come, on a machine with much else to do */

/* One side: what its handlers were told. */
struct side {
    struct bus *bus;
    struct bus_peer *peer;
    char inbox[128];
    uint64_t ups, hints, problems;
    unsigned decline; /* so many hints first */
    char kind[64], last[64];
    size_t last_size;
    uint64_t sum; /* of the numbers that hints held */
    /* of the last fetch */
    bool fetched;
    char *data;
    size_t size;
    struct error error;
};

struct world {
    struct event_base *base;
    char directory[64];
    struct side one, two;
};

__attribute__((unused)) static bool on_hint(struct bus_peer *peer, const char *kind,
                                            const char *body, size_t size, void *context)
{
    struct side *side = context;
    (void)peer;
    if (side->decline > 0) {
        side->decline--;
        return false;
    }
    side->hints++;
    side->last_size = size;
    snprintf(side->kind, sizeof side->kind, "%s", kind);
    snprintf(side->last, sizeof side->last, "%.*s", size > 60 ? 60 : (int)size, body);
    side->sum += strtoull(side->last, NULL, 10);
    assert_int_equal(body[size], '\0');
    return true;
}

__attribute__((unused)) static void on_peer_up(struct bus_peer *peer, void *context)
{
    struct side *side = context;
    assert_true(bus_peer_is_up(peer));
    side->ups++;
}

__attribute__((unused)) static void on_problem(const struct error *error, void *context)
{
    struct side *side = context;
    side->error = *error;
    side->problems++;
}

__attribute__((unused)) static void on_blob(char *data, size_t size, const struct error *error,
                                            void *context)
{
    struct side *side = context;
    assert_false(side->fetched);
    assert_true((data == NULL) == (error != NULL));
    side->fetched = true;
    side->data = data;
    side->size = size;
    if (error) {
        side->error = *error;
    }
}

__attribute__((unused)) static void forget_fetch(struct side *side)
{
    free(side->data);
    side->data = NULL;
    side->fetched = false;
    memset(&side->error, 0, sizeof side->error);
}

__attribute__((unused)) static bool try_open(struct world *world, struct side *side,
                                             const char *instance, const char *keys,
                                             struct error *error)
{
    const struct bus_options options = {
        .instance = instance,
        .inbox = side->inbox,
        .key_directory = keys,
        .blob_store_maximum = 4 << 20,
        .handlers = {on_hint, on_peer_up, on_problem, side},
    };
    side->bus = bus_new(world->base, &options, error);
    return side->bus != NULL;
}

__attribute__((unused)) static void open_side(struct world *world, struct side *side,
                                              const char *instance, const char *keys)
{
    struct error error = {0};
    if (!try_open(world, side, instance, keys, &error)) {
        fail_msg("%s", error.message);
    }
}

__attribute__((unused)) static struct bus_peer *add(struct side *side, const struct side *other)
{
    struct error error = {0};
    side->peer = bus_peer_add(side->bus, BUS_DIFFER_APPLIER, other->inbox, &error);
    if (!side->peer) {
        fail_msg("%s", error.message);
    }
    return side->peer;
}

__attribute__((unused)) static int make_world(void **state)
{
    struct world *world = NEW(struct world);
    world->base = event_base_new();
    snprintf(world->directory, sizeof world->directory, "/tmp/gitmoor-bus-XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    snprintf(world->one.inbox, sizeof world->one.inbox, "ipc://%s/one", world->directory);
    snprintf(world->two.inbox, sizeof world->two.inbox, "ipc://%s/two", world->directory);
    *state = world;
    return 0;
}

__attribute__((unused)) static int end_world(void **state)
{
    struct world *world = *state;
    bus_free(world->one.bus);
    bus_free(world->two.bus);
    forget_fetch(&world->one);
    forget_fetch(&world->two);
    event_base_free(world->base);
    AUTO_FREE char *command = mem_format("rm -rf '%s'", world->directory);
    int status = system(command);
    free(world);
    return status;
}

__attribute__((unused)) static void nothing(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events, (void)context;
}

/* Runs the loop until the condition holds; a timer wakes it, so that it cannot hang. */
__attribute__((unused)) static bool holds(struct world *world, bool (*condition)(void *),
                                          void *context, int64_t patience_ms)
{
    struct event *tick = event_new(world->base, -1, EV_PERSIST, nothing, NULL);
    struct timeval period = {.tv_usec = 2000};
    event_add(tick, &period);
    int64_t end = clock_monotonic_ms() + patience_ms;
    while (!condition(context) && clock_monotonic_ms() < end) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
    event_free(tick);
    return condition(context);
}

struct goal {
    const uint64_t *counter;
    uint64_t value;
};

__attribute__((unused)) static bool is_reached(void *context)
{
    const struct goal *goal = context;
    return *goal->counter >= goal->value;
}

__attribute__((unused)) static bool reaches(struct world *world, const uint64_t *counter,
                                            uint64_t value)
{
    struct goal goal = {counter, value};
    return holds(world, is_reached, &goal, PATIENCE_MS);
}

__attribute__((unused)) static bool is_fetched(void *context)
{
    return ((const struct side *)context)->fetched;
}

__attribute__((unused)) static bool fetch_ends(struct world *world, struct side *side)
{
    return holds(world, is_fetched, side, PATIENCE_MS);
}

__attribute__((unused)) static void meet(struct world *world)
{
    open_side(world, &world->one, "one", NULL);
    open_side(world, &world->two, "two", NULL);
    add(&world->one, &world->two);
    add(&world->two, &world->one);
    assert_true(reaches(world, &world->one.ups, 1));
    assert_true(reaches(world, &world->two.ups, 1));
}

__attribute__((unused)) static uint64_t send_number(struct side *side, unsigned number)
{
    char text[16];
    int size = snprintf(text, sizeof text, "%u", number);
    struct error error = {0};
    uint64_t id = bus_send(side->peer, "number", text, (size_t)size, &error);
    if (id == 0) {
        fail_msg("%s", error.message);
    }
    return id;
}

#endif
