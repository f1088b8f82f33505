/* What one process sees of another that behaves: hints, restarts, blobs. */
#include "common/bus/frame.h"
#include "tests/unit/bus_world.h"

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
    int64_t began = clock_monotonic_ms();
    assert_int_not_equal(bus_send(world->one.peer, "plan", "{\"id\":1}", 8, &error), 0);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    bool was_slow = clock_monotonic_ms() - began > 150; /* near the first delay, 200 to 250 ms */
    assert_string_equal(world->two.kind, "plan");
    assert_string_equal(world->two.last, "{\"id\":1}");
    assert_int_equal(world->two.hints, 1);
    const struct bus_stats *stats = bus_stats(world->one.bus);
    assert_int_equal(stats->sent, 1);
    assert_int_equal(stats->acknowledged, 1);
    assert_true(stats->resent == 0 || was_slow);
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
    assert_int_equal(bus_stats(world->two.bus)->received, 10);
    assert_true(bus_stats(world->one.bus)->resent >= 3); /* and what was slow to be acknowledged */
}

static void an_unsent_hint_is_not_sent_again(void **state)
{
    struct world *world = *state;
    meet(world);
    world->two.decline = 1;
    uint64_t id = send_number(&world->one, 7);
    assert_true(reaches(world, &bus_stats(world->two.bus)->declined, 1));
    bus_unsend(world->one.peer, id);
    bus_unsend(world->one.peer, id);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    /* On a loaded machine it may have been sent again before; from now on it is not. */
    uint64_t resent = bus_stats(world->one.bus)->resent;
    struct goal goal = {&bus_stats(world->one.bus)->resent, resent + 1};
    assert_false(holds(world, is_reached, &goal, 500)); /* twice the first delay */
}

static void a_peer_that_restarts_is_noticed_and_gets_what_it_had_not_acknowledged(void **state)
{
    struct world *world = *state;
    meet(world);
    world->two.decline = UINT32_MAX;
    for (unsigned i = 1; i <= 5; i++) {
        send_number(&world->one, i);
    }
    assert_true(reaches(world, &bus_stats(world->two.bus)->declined, 5));
    bus_free(world->two.bus);
    world->two.decline = 0;
    int64_t began = clock_monotonic_ms();
    open_side(world, &world->two, "two", NULL);
    add(&world->two, &world->one);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_int_equal(world->two.sum, 15);
    assert_int_equal(world->one.ups, 2);
    assert_true(clock_monotonic_ms() - began < 4000); /* before the next heartbeat */
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
    assert_true(reaches(world, &bus_stats(world->two.bus)->blob_chunks_fetched, 2));
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
