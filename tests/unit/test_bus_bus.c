/* Buses that talk to each other inside one process and one loop, over real sockets. What a stranger
 * or a broken relay sends is written to the same sockets by hand. */
#include "common/bus/bus.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/bus/frame.h"

#include <event2/event.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 10000

/* One side: what its handlers were told. */
struct side {
    struct bus *bus;
    struct bus_peer *peer;
    char inbox[128];
    unsigned ups, hints, problems;
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

static bool on_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                    void *context)
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

static void on_peer_up(struct bus_peer *peer, void *context)
{
    struct side *side = context;
    assert_true(bus_peer_is_up(peer));
    side->ups++;
}

static void on_problem(const struct error *error, void *context)
{
    struct side *side = context;
    side->error = *error;
    side->problems++;
}

static void on_blob(char *data, size_t size, const struct error *error, void *context)
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

static void forget_fetch(struct side *side)
{
    free(side->data);
    side->data = NULL;
    side->fetched = false;
    memset(&side->error, 0, sizeof side->error);
}

static bool try_open(struct world *world, struct side *side, const char *instance, const char *keys,
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

static void open_side(struct world *world, struct side *side, const char *instance,
                      const char *keys)
{
    struct error error = {0};
    if (!try_open(world, side, instance, keys, &error)) {
        fail_msg("%s", error.message);
    }
}

static struct bus_peer *add(struct side *side, const struct side *other)
{
    struct error error = {0};
    side->peer = bus_peer_add(side->bus, BUS_DIFFER_APPLIER, other->inbox, &error);
    if (!side->peer) {
        fail_msg("%s", error.message);
    }
    return side->peer;
}

static int make_world(void **state)
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

static int end_world(void **state)
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

static void nothing(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events, (void)context;
}

/* Runs the loop until the counter has the value; a timer wakes it so that it cannot hang. */
static bool reaches(struct world *world, const uint64_t *counter, uint64_t value, int64_t patience)
{
    struct event *tick = event_new(world->base, -1, EV_PERSIST, nothing, NULL);
    struct timeval period = {.tv_usec = 2000};
    event_add(tick, &period);
    int64_t end = clock_monotonic_ms() + patience;
    while (*counter < value && clock_monotonic_ms() < end) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
    event_free(tick);
    return *counter >= value;
}

static bool reaches_count(struct world *world, const unsigned *counter, unsigned value)
{
    struct event *tick = event_new(world->base, -1, EV_PERSIST, nothing, NULL);
    struct timeval period = {.tv_usec = 2000};
    event_add(tick, &period);
    int64_t end = clock_monotonic_ms() + PATIENCE_MS;
    while (*counter < value && clock_monotonic_ms() < end) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
    event_free(tick);
    return *counter >= value;
}

static bool fetch_ends(struct world *world, const struct side *side)
{
    int64_t end = clock_monotonic_ms() + PATIENCE_MS;
    while (!side->fetched && clock_monotonic_ms() < end) {
        event_base_loop(world->base, EVLOOP_ONCE);
    }
    return side->fetched;
}

static void meet(struct world *world)
{
    open_side(world, &world->one, "one", NULL);
    open_side(world, &world->two, "two", NULL);
    add(&world->one, &world->two);
    add(&world->two, &world->one);
    assert_true(reaches_count(world, &world->one.ups, 1));
    assert_true(reaches_count(world, &world->two.ups, 1));
}

static uint64_t send_number(struct side *side, unsigned number)
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

/* ---- hints ---- */

static void hints_arrive_and_are_acknowledged(void **state)
{
    struct world *world = *state;
    meet(world);
    assert_string_equal(bus_peer_instance(world->one.peer), "two");
    assert_int_equal(bus_peer_link(world->one.peer), BUS_DIFFER_APPLIER);
    assert_ptr_equal(bus_peer_of_link(world->one.bus, BUS_DIFFER_APPLIER), world->one.peer);
    assert_null(bus_peer_of_link(world->one.bus, BUS_ADMISSION_DIFFER));
    struct error error;
    assert_int_not_equal(bus_send(world->one.peer, "plan", "{\"id\":1}", 8, &error), 0);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_string_equal(world->two.kind, "plan");
    assert_string_equal(world->two.last, "{\"id\":1}");
    assert_int_equal(world->two.hints, 1);
    const struct bus_stats *stats = bus_stats(world->one.bus);
    assert_int_equal(stats->sent, 1);
    assert_int_equal(stats->acknowledged, 1);
    assert_int_equal(stats->resent, 0);
}

static void a_hint_of_the_largest_size_arrives_and_a_larger_one_is_refused(void **state)
{
    struct world *world = *state;
    meet(world);
    AUTO_FREE char *body = mem_new(BUS_HINT_MAXIMUM + 1, 1);
    memset(body, 'x', BUS_HINT_MAXIMUM + 1);
    struct error error = {0};
    assert_int_not_equal(bus_send(world->one.peer, "k", body, BUS_HINT_MAXIMUM, &error), 0);
    assert_int_not_equal(bus_send(world->one.peer, "empty", NULL, 0, &error), 0);
    assert_int_equal(bus_send(world->one.peer, "k", body, BUS_HINT_MAXIMUM + 1, &error), 0);
    assert_int_equal(error.code, ERROR_LIMIT);
    assert_int_equal(bus_send(world->one.peer, "two words", body, 1, &error), 0);
    assert_int_equal(bus_send(world->one.peer, "", body, 1, &error), 0);
    assert_int_equal(error.code, ERROR_INVALID);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_int_equal(world->two.hints, 2);
}

static void hints_sent_before_the_peer_is_there_wait_for_it(void **state)
{
    struct world *world = *state;
    open_side(world, &world->one, "one", NULL);
    add(&world->one, &world->two);
    for (unsigned i = 1; i <= 100; i++) {
        send_number(&world->one, i);
    }
    assert_false(bus_drain(world->one.bus, 50));
    assert_false(bus_peer_is_up(world->one.peer));
    open_side(world, &world->two, "two", NULL);
    add(&world->two, &world->one);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_int_equal(world->two.sum, 5050);
}

static void a_declined_hint_comes_again_and_holds_up_nothing(void **state)
{
    struct world *world = *state;
    meet(world);
    world->two.decline = 3;
    for (unsigned i = 1; i <= 10; i++) {
        send_number(&world->one, i);
    }
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_int_equal(world->two.sum, 55);
    assert_int_equal(bus_stats(world->two.bus)->declined, 3);
    assert_int_equal(bus_stats(world->one.bus)->resent, 3);
}

static void an_unsent_hint_is_not_sent_again(void **state)
{
    struct world *world = *state;
    meet(world);
    world->two.decline = 1;
    uint64_t id = send_number(&world->one, 7);
    assert_true(reaches(world, &bus_stats(world->two.bus)->declined, 1, PATIENCE_MS));
    bus_unsend(world->one.peer, id);
    bus_unsend(world->one.peer, id);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_false(reaches(world, &bus_stats(world->two.bus)->received, 1, 500));
}

static void a_peer_that_restarts_is_noticed_and_gets_what_it_had_not_acknowledged(void **state)
{
    struct world *world = *state;
    meet(world);
    world->two.decline = UINT32_MAX;
    for (unsigned i = 1; i <= 5; i++) {
        send_number(&world->one, i);
    }
    assert_true(reaches(world, &bus_stats(world->two.bus)->declined, 5, PATIENCE_MS));
    bus_free(world->two.bus);
    world->two.decline = 0;
    int64_t began = clock_monotonic_ms();
    open_side(world, &world->two, "two", NULL);
    add(&world->two, &world->one);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_int_equal(world->two.sum, 15);
    assert_int_equal(world->one.ups, 2);
    assert_true(clock_monotonic_ms() - began < 2500); /* long before the next heartbeat */
}

static void twenty_thousand_hints_arrive_in_order(void **state)
{
    struct world *world = *state;
    meet(world);
    for (unsigned i = 1; i <= 20000; i++) {
        send_number(&world->one, i);
    }
    assert_true(bus_drain(world->one.bus, PATIENCE_MS * 3));
    assert_int_equal(world->two.sum, 200010000);
    assert_string_equal(world->two.last, "20000");
}

static void the_queue_for_a_peer_is_bounded(void **state)
{
    struct world *world = *state;
    open_side(world, &world->one, "one", NULL);
    add(&world->one, &world->two);
    AUTO_FREE char *body = mem_new(BUS_HINT_MAXIMUM, 1);
    struct error error = {0};
    unsigned taken = 0;
    while (bus_send(world->one.peer, "k", body, BUS_HINT_MAXIMUM, &error) != 0) {
        taken++;
    }
    assert_int_equal(taken, BUS_QUEUE_BYTES / BUS_HINT_MAXIMUM);
    assert_int_equal(error.code, ERROR_LIMIT);
    assert_true(error.retryable);
    bus_peer_remove(world->one.bus, world->one.peer);
    add(&world->one, &world->two);
    taken = 0;
    while (bus_send(world->one.peer, "k", "", 0, &error) != 0) {
        taken++;
    }
    assert_int_equal(taken, BUS_QUEUE_MAXIMUM);
}

/* ---- blobs ---- */

static void fetch(struct side *side, const struct digest *digest, size_t size, int64_t timeout)
{
    forget_fetch(side);
    bus_blob_fetch(side->peer, digest, size, timeout, on_blob, side);
    assert_false(side->fetched); /* never from within the call */
}

static void blobs_of_any_size_arrive_whole(void **state)
{
    struct world *world = *state;
    static const size_t sizes[] = {0, 1, BUS_CHUNK_MAXIMUM, BUS_CHUNK_MAXIMUM + 1, 2 << 20};
    meet(world);
    AUTO_FREE char *bytes = mem_new(2 << 20, 1);
    seal_random(bytes, 2 << 20);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct digest digest;
        struct error error;
        assert_true(bus_blob_put(world->one.bus, bytes, sizes[i], true, &digest, &error));
        fetch(&world->two, &digest, sizes[i], PATIENCE_MS);
        assert_true(fetch_ends(world, &world->two));
        assert_non_null(world->two.data);
        assert_int_equal(world->two.size, sizes[i]);
        assert_memory_equal(world->two.data, bytes, sizes[i]);
        assert_int_equal(world->two.data[sizes[i]], '\0');
        bus_blob_drop(world->one.bus, &digest);
    }
    assert_int_equal(bus_stats(world->one.bus)->blob_bytes_stored, 0);
}

static void a_fetch_that_cannot_succeed_says_why(void **state)
{
    struct world *world = *state;
    meet(world);
    struct digest digest, other;
    struct error error;
    digest_of("nobody has it", 13, &other);
    assert_true(bus_blob_put(world->one.bus, "hello", 5, false, &digest, &error));
    const struct {
        const char *name;
        const struct digest *digest;
        size_t size;
        enum error_code code;
    } cases[] = {
        {"not there", &other, 5, ERROR_NOT_FOUND},
        {"another size", &digest, 6, ERROR_INVALID},
        {"a size past the limit", &digest, BUS_BLOB_MAXIMUM + 1, ERROR_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fetch(&world->two, cases[i].digest, cases[i].size, PATIENCE_MS);
        assert_true(fetch_ends(world, &world->two));
        if (world->two.error.code != cases[i].code) {
            fail_msg("%s: %s", cases[i].name, world->two.error.message);
        }
    }
    bus_free(world->one.bus);
    world->one.bus = NULL;
    fetch(&world->two, &digest, 5, 50);
    assert_true(fetch_ends(world, &world->two));
    assert_int_equal(world->two.error.code, ERROR_TIMEOUT);
    fetch(&world->two, &digest, 5, PATIENCE_MS);
    bus_peer_remove(world->two.bus, world->two.peer);
    assert_true(fetch_ends(world, &world->two));
    assert_int_equal(world->two.error.code, ERROR_UNAVAILABLE);
}

static void a_cancelled_fetch_calls_nobody(void **state)
{
    struct world *world = *state;
    meet(world);
    struct digest digest;
    struct error error;
    AUTO_FREE char *bytes = mem_new(1 << 20, 1);
    assert_true(bus_blob_put(world->one.bus, bytes, 1 << 20, false, &digest, &error));
    struct side ghost = {.peer = world->two.peer};
    fetch(&ghost, &digest, 1 << 20, PATIENCE_MS);
    fetch(&world->two, &digest, 1 << 20, PATIENCE_MS);
    assert_true(reaches(world, &bus_stats(world->two.bus)->blob_chunks_fetched, 2, PATIENCE_MS));
    bus_blob_cancel(world->two.bus, &ghost);
    assert_true(fetch_ends(world, &world->two));
    assert_non_null(world->two.data);
    assert_false(ghost.fetched);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(hints_arrive_and_are_acknowledged),
        TEST(a_hint_of_the_largest_size_arrives_and_a_larger_one_is_refused),
        TEST(hints_sent_before_the_peer_is_there_wait_for_it),
        TEST(a_declined_hint_comes_again_and_holds_up_nothing),
        TEST(an_unsent_hint_is_not_sent_again),
        TEST(a_peer_that_restarts_is_noticed_and_gets_what_it_had_not_acknowledged),
        TEST(twenty_thousand_hints_arrive_in_order),
        TEST(the_queue_for_a_peer_is_bounded),
        TEST(blobs_of_any_size_arrive_whole),
        TEST(a_fetch_that_cannot_succeed_says_why),
        TEST(a_cancelled_fetch_calls_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
