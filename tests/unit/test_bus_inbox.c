/* What an inbox refuses, and why: a stranger writes to it by hand. It holds the link's key (or not)
 * and behaves as a peer until the case says otherwise. */
#include "common/bus/frame.h"
#include "common/bus/keyring.h"
#include "tests/unit/bus_world.h"

#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>

#define LINK BUS_DIFFER_APPLIER
#define EPOCH 0x5151515151515151
#define MINUTE_MS ((int64_t)60 * 1000)

struct stranger {
    int push, pull;
    struct keyring *keys;
    uint64_t their_epoch, sequence;
};

/* ---- making messages ---- */

static struct frame_header header_of(struct stranger *stranger, enum frame_type type)
{
    struct frame_header header = {
        .type = type,
        .link = LINK,
        .sender_epoch = EPOCH,
        .recipient_epoch = type == FRAME_HELLO ? 0 : stranger->their_epoch,
        .sequence = ++stranger->sequence,
        .time_ms = clock_wall_ms(),
        .instance = "stranger",
    };
    return header;
}

static size_t seal(struct stranger *stranger, const struct frame_header *header, const void *body,
                   size_t size, uint8_t *message)
{
    struct seal_key key;
    keyring_derive(stranger->keys, keyring_current(stranger->keys, header->link), header, &key);
    memcpy(message + FRAME_HEADER_SIZE, body, size);
    frame_seal(header, &key, message, size);
    return FRAME_OVERHEAD + size;
}

static size_t make_hint(struct stranger *stranger, const struct frame_header *header, uint64_t id,
                        uint8_t *message)
{
    struct frame_hint hint = {.id = id, .kind = "number", .body = "1", .body_size = 1};
    uint8_t body[64];
    frame_write_hint(&hint, body);
    return seal(stranger, header, body, frame_hint_size(&hint), message);
}

static void throw(struct stranger * stranger, const void *message, size_t size)
{
    assert_int_equal(nn_send(stranger->push, message, size, 0), size);
}

/* ---- greeting ---- */

static bool can_read(void *context)
{
    struct nn_pollfd poll = {.fd = *(int *)context, .events = NN_POLLIN};
    return nn_poll(&poll, 1, 0) > 0;
}

/* Waits for the next message of a type from the world's bus. */
static size_t catch (struct world *world, struct stranger *stranger, enum frame_type type,
                     struct frame_header *header, uint8_t *message, size_t room)
{
    for (;;) {
        assert_true(holds(world, can_read, &stranger->pull, PATIENCE_MS));
        int size = nn_recv(stranger->pull, message, room, 0);
        assert_in_range(size, FRAME_OVERHEAD, room);
        enum bus_drop drop;
        assert_true(frame_read_header(message, (size_t)size, header, &drop));
        if (header->type == type) {
            struct seal_key key;
            frame_derive_key(keyring_find(stranger->keys, header->link, header->key_id), header,
                             &key);
            assert_true(frame_open(header, &key, message, (size_t)size));
            return (size_t)size - FRAME_OVERHEAD;
        }
    }
}

static size_t make_hello(struct stranger *stranger, uint64_t echo, uint8_t *message)
{
    struct frame_hello hello = {.challenge = 99, .echo = echo, .inbox = "", .inbox_size = 0};
    struct frame_header header = header_of(stranger, FRAME_HELLO);
    uint8_t body[64];
    frame_write_hello(&hello, body);
    return seal(stranger, &header, body, frame_hello_size(&hello), message);
}

static void greet(struct world *world, struct stranger *stranger)
{
    struct frame_header header;
    struct frame_hello hello;
    uint8_t message[1024];
    size_t size = catch (world, stranger, FRAME_HELLO, &header, message, sizeof message);
    assert_true(frame_read_hello(message + FRAME_HEADER_SIZE, size, &hello));
    stranger->their_epoch = header.sender_epoch;
    size = make_hello(stranger, hello.challenge, message);
    uint64_t ups = world->two.ups;
    throw(stranger, message, size);
    assert_true(reaches(world, &world->two.ups, ups + 1));
}

/* The bus `two` with the stranger as its only peer. */
static void arrive(struct world *world, struct stranger *stranger)
{
    memset(stranger, 0, sizeof *stranger);
    stranger->keys = keyring_new(NULL, NULL);
    stranger->pull = nn_socket(AF_SP, NN_PULL);
    stranger->push = nn_socket(AF_SP, NN_PUSH);
    open_side(world, &world->two, "two", NULL);
    assert_true(nn_bind(stranger->pull, world->one.inbox) >= 0);
    assert_true(nn_connect(stranger->push, world->two.inbox) >= 0);
    add(&world->two, &world->one);
    greet(world, stranger);
}

static void leave(struct stranger *stranger)
{
    nn_close(stranger->pull);
    nn_close(stranger->push);
    keyring_free(stranger->keys);
}

/* ---- judging ---- */

static void expect_drop(struct world *world, struct stranger *stranger, const char *name,
                        enum bus_drop drop, const void *message, size_t size)
{
    struct bus_stats before = *bus_stats(world->two.bus);
    throw(stranger, message, size);
    const struct bus_stats *after = bus_stats(world->two.bus);
    if (!reaches(world, &after->dropped[drop], before.dropped[drop] + 1)) {
        fail_msg("%s: not dropped as %s", name, bus_drop_name(drop));
    }
    for (int i = 0; i < BUS_DROPS; i++) {
        if (after->dropped[i] != before.dropped[i] + (i == (int)drop)) {
            fail_msg("%s: also dropped as %s", name, bus_drop_name((enum bus_drop)i));
        }
        uint64_t on_links = 0;
        for (int link = 0; link <= BUS_LINKS; link++) {
            on_links += after->links[link].dropped[i];
        }
        if (on_links != after->dropped[i]) {
            fail_msg("%s: %s is counted for no link", name, bus_drop_name((enum bus_drop)i));
        }
    }
    assert_int_equal(after->received, before.received);
}

static void expect_taken(struct world *world, struct stranger *stranger, const void *message,
                         size_t size)
{
    uint64_t before = bus_stats(world->two.bus)->received;
    throw(stranger, message, size);
    assert_true(reaches(world, &bus_stats(world->two.bus)->received, before + 1));
}

/* ---- cases ---- */

static void a_stranger_with_the_key_is_a_peer_like_any_other(void **state)
{
    struct world *world = *state;
    struct stranger stranger;
    uint8_t message[1024];
    arrive(world, &stranger);
    struct frame_header header = header_of(&stranger, FRAME_HINT);
    expect_taken(world, &stranger, message, make_hint(&stranger, &header, 41, message));
    size_t size = catch (world, &stranger, FRAME_ACK, &header, message, sizeof message);
    assert_int_equal(size, 8);
    assert_int_equal(frame_ack_id(message + FRAME_HEADER_SIZE, 0), 41);
    assert_string_equal(bus_peer_instance(world->two.peer), "stranger");
    leave(&stranger);
}

static void headers_that_lie_are_dropped_for_what_they_lie_about(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *name;
        int64_t time_ms;                                  /* added */
        uint64_t sender_epoch, recipient_epoch, sequence; /* 0: as it should be */
        const char *instance;
        enum frame_type type;
        enum bus_drop drop;
    } cases[] = {
        {.name = "six minutes old", .time_ms = -6 * MINUTE_MS, .drop = BUS_DROP_STALE},
        {.name = "six minutes ahead", .time_ms = 6 * MINUTE_MS, .drop = BUS_DROP_STALE},
        {.name = "to an earlier boot", .recipient_epoch = 77, .drop = BUS_DROP_RECIPIENT},
        {.name = "from an earlier boot", .sender_epoch = 77, .drop = BUS_DROP_SESSION},
        {.name = "the sequence of the hello", .sequence = 1, .drop = BUS_DROP_REPLAY},
        {.name = "another instance", .instance = "nobody", .drop = BUS_DROP_UNKNOWN_PEER},
        {.name = "a blob request", .type = FRAME_BLOB_REQUEST, .drop = BUS_DROP_MALFORMED},
        {.name = "a blob answer", .type = FRAME_BLOB_ANSWER, .drop = BUS_DROP_MALFORMED},
        {.name = "an acknowledgement of no size", .type = FRAME_ACK, .drop = BUS_DROP_MALFORMED},
    };
    struct stranger stranger;
    uint8_t message[1024];
    arrive(world, &stranger);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frame_header header =
            header_of(&stranger, cases[i].type ? cases[i].type : FRAME_HINT);
        header.time_ms += cases[i].time_ms;
        header.sender_epoch = cases[i].sender_epoch ? cases[i].sender_epoch : header.sender_epoch;
        header.recipient_epoch =
            cases[i].recipient_epoch ? cases[i].recipient_epoch : header.recipient_epoch;
        header.sequence = cases[i].sequence ? cases[i].sequence : header.sequence;
        if (cases[i].instance) {
            snprintf(header.instance, sizeof header.instance, "%s", cases[i].instance);
        }
        size_t size = make_hint(&stranger, &header, 1, message);
        if (cases[i].type == FRAME_ACK) {
            size = seal(&stranger, &header, "", 0, message);
        }
        expect_drop(world, &stranger, cases[i].name, cases[i].drop, message, size);
    }
    leave(&stranger);
}

static void damaged_messages_are_dropped_for_their_damage(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *name;
        size_t offset;
        uint8_t flip;
        enum bus_drop drop;
    } cases[] = {
        {"magic", 0, 1, BUS_DROP_MALFORMED},
        {"version", 2, 2, BUS_DROP_VERSION},
        {"type", 3, 0x40, BUS_DROP_MALFORMED},
        {"another type", 3, 1, BUS_DROP_TAG},
        {"key id", 8, 1, BUS_DROP_KEY},
        {"epoch", 16, 1, BUS_DROP_TAG},
        {"time", 45, 1, BUS_DROP_TAG},
        {"instance", 50, 1, BUS_DROP_TAG},
        {"body", FRAME_HEADER_SIZE, 1, BUS_DROP_TAG},
        {"tag", FRAME_OVERHEAD, 1, BUS_DROP_TAG},
    };
    struct stranger stranger;
    uint8_t message[1024];
    arrive(world, &stranger);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frame_header header = header_of(&stranger, FRAME_HINT);
        size_t size = make_hint(&stranger, &header, 1, message);
        message[cases[i].offset] ^= cases[i].flip;
        expect_drop(world, &stranger, cases[i].name, cases[i].drop, message, size);
        message[cases[i].offset] ^= cases[i].flip;
        expect_drop(world, &stranger, "cut short", BUS_DROP_TAG, message, size - 1);
    }
    expect_drop(world, &stranger, "nothing", BUS_DROP_MALFORMED, "", 0);
    expect_drop(world, &stranger, "a header only", BUS_DROP_MALFORMED, message, FRAME_HEADER_SIZE);
    leave(&stranger);
}

static void bodies_that_make_no_sense_are_dropped(void **state)
{
    struct world *world = *state;
    struct stranger stranger;
    uint8_t message[1024];
    arrive(world, &stranger);
    static const enum frame_type types[] = {FRAME_HELLO, FRAME_HINT, FRAME_ACK};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct frame_header header = header_of(&stranger, types[i]);
        expect_drop(world, &stranger, "nonsense", BUS_DROP_MALFORMED, message,
                    seal(&stranger, &header, "nonsense!", 9, message));
    }
    leave(&stranger);
}

static void two_mebibytes_are_counted_and_five_cut_the_connection_only(void **state)
{
    struct world *world = *state;
    struct stranger stranger;
    uint8_t message[1024];
    arrive(world, &stranger);
    AUTO_FREE uint8_t *large = mem_new(5, 1 << 20);
    expect_drop(world, &stranger, "a byte too many", BUS_DROP_OVERSIZE, large,
                FRAME_INBOX_MAXIMUM + 1);
    expect_drop(world, &stranger, "2 MiB", BUS_DROP_OVERSIZE, large, 2 << 20);
    throw(&stranger, large, 5 << 20);
    /* nanomsg hangs up on that one; the stranger's socket connects again, and all goes on. */
    uint64_t before = bus_stats(world->two.bus)->received;
    struct goal goal = {&bus_stats(world->two.bus)->received, before + 1};
    for (unsigned i = 0; i < 100 && !is_reached(&goal); i++) {
        struct frame_header header = header_of(&stranger, FRAME_HINT);
        throw(&stranger, message, make_hint(&stranger, &header, 1 + i, message));
        holds(world, is_reached, &goal, 100);
    }
    assert_true(is_reached(&goal));
    leave(&stranger);
}

static void a_captured_hint_is_taken_once(void **state)
{
    struct world *world = *state;
    struct stranger stranger;
    uint8_t first[1024], second[1024];
    arrive(world, &stranger);
    struct frame_header header = header_of(&stranger, FRAME_HINT);
    size_t size = make_hint(&stranger, &header, 1, first);
    expect_taken(world, &stranger, first, size);
    expect_drop(world, &stranger, "again", BUS_DROP_REPLAY, first, size);
    header = header_of(&stranger, FRAME_HINT);
    struct frame_header later = header_of(&stranger, FRAME_HINT);
    expect_taken(world, &stranger, second, make_hint(&stranger, &later, 3, second));
    size = make_hint(&stranger, &header, 2, first);
    expect_taken(world, &stranger, first, size); /* overtaken, not replayed */
    expect_drop(world, &stranger, "again", BUS_DROP_REPLAY, first, size);
    leave(&stranger);
}

static void the_same_hint_sealed_again_is_acknowledged_but_not_handed_out(void **state)
{
    struct world *world = *state;
    struct stranger stranger;
    uint8_t message[1024];
    arrive(world, &stranger);
    for (unsigned i = 0; i < 2; i++) {
        struct frame_header header = header_of(&stranger, FRAME_HINT);
        throw(&stranger, message, make_hint(&stranger, &header, 5, message));
        catch (world, &stranger, FRAME_ACK, &header, message, sizeof message);
        assert_int_equal(frame_ack_id(message + FRAME_HEADER_SIZE, 0), 5);
    }
    assert_int_equal(world->two.hints, 1);
    assert_int_equal(bus_stats(world->two.bus)->duplicates, 1);
    leave(&stranger);
}

static void what_was_captured_before_a_restart_is_worthless_after_it(void **state)
{
    struct world *world = *state;
    struct stranger stranger;
    uint8_t hint[1024], hello[1024];
    arrive(world, &stranger);
    struct frame_header header = header_of(&stranger, FRAME_HINT);
    size_t hint_size = make_hint(&stranger, &header, 1, hint);
    size_t hello_size = make_hello(&stranger, 12345, hello);
    bus_free(world->two.bus);
    open_side(world, &world->two, "two", NULL);
    add(&world->two, &world->one);
    uint64_t ups = world->two.ups;
    throw(&stranger, hello, hello_size); /* is answered, and starts no session */
    expect_drop(world, &stranger, "a hint", BUS_DROP_RECIPIENT, hint, hint_size);
    assert_int_equal(world->two.ups, ups);
    greet(world, &stranger);
    expect_drop(world, &stranger, "a hint", BUS_DROP_RECIPIENT, hint, hint_size);
    leave(&stranger);
}

static void an_old_hello_does_not_end_a_session(void **state)
{
    struct world *world = *state;
    struct stranger stranger;
    uint8_t message[1024];
    arrive(world, &stranger);
    struct stranger old = stranger;
    struct frame_hello hello = {.challenge = 1, .echo = 2, .inbox = "", .answer_wanted = true};
    uint8_t body[64];
    frame_write_hello(&hello, body);
    struct frame_header header = header_of(&old, FRAME_HELLO);
    header.sender_epoch = 4242; /* of a boot before this one */
    throw(&stranger, message, seal(&old, &header, body, frame_hello_size(&hello), message));
    catch (world, &stranger, FRAME_HELLO, &header, message,
           sizeof message); /* answered: prove it */
    stranger.sequence++;
    header = header_of(&stranger, FRAME_HINT);
    expect_taken(world, &stranger, message, make_hint(&stranger, &header, 1, message));
    assert_int_equal(world->two.ups, 1);
    leave(&stranger);
}

static void our_own_messages_thrown_back_are_not_for_us(void **state)
{
    struct world *world = *state;
    struct stranger stranger;
    uint8_t message[1024];
    arrive(world, &stranger);
    struct frame_header header = header_of(&stranger, FRAME_HELLO);
    header.sender_epoch = stranger.their_epoch;
    struct frame_hello hello = {.challenge = 1, .inbox = ""};
    uint8_t body[64];
    frame_write_hello(&hello, body);
    expect_drop(world, &stranger, "our epoch", BUS_DROP_RECIPIENT, message,
                seal(&stranger, &header, body, frame_hello_size(&hello), message));
    leave(&stranger);
}

static void only_peers_get_blobs(void **state)
{
    struct world *world = *state;
    struct stranger stranger;
    uint8_t message[1024];
    struct digest digest;
    arrive(world, &stranger);
    assert_true(bus_blob_put(world->two.bus, "secret", 6, true, &digest, NULL));
    int request = nn_socket(AF_SP, NN_REQ);
    AUTO_FREE char *blobs = mem_format("%s.blobs", world->two.inbox);
    assert_true(nn_connect(request, blobs) >= 0);
    struct frame_blob_request body = {.digest = digest, .length = 100};
    uint8_t bytes[FRAME_BLOB_REQUEST_SIZE];
    frame_write_blob_request(&body, bytes);

    struct frame_header header = header_of(&stranger, FRAME_BLOB_REQUEST);
    header.sender_epoch++;
    size_t size = seal(&stranger, &header, bytes, sizeof bytes, message);
    assert_int_equal(nn_send(request, message, size, 0), size);
    assert_true(reaches(world, &bus_stats(world->two.bus)->dropped[BUS_DROP_SESSION], 1));
    assert_false(can_read(&request));

    for (unsigned i = 0; i < 2; i++) { /* nanomsg repeats requests: each copy is answered alike */
        header = header_of(&stranger, FRAME_BLOB_REQUEST);
        header.sequence = 1000;
        size = seal(&stranger, &header, bytes, sizeof bytes, message);
        assert_int_equal(nn_send(request, message, size, 0), size);
        assert_true(holds(world, can_read, &request, PATIENCE_MS));
        int got = nn_recv(request, message, sizeof message, 0);
        assert_int_equal(got, FRAME_OVERHEAD + FRAME_BLOB_ANSWER_SIZE + 6);
    }
    nn_close(request);
    leave(&stranger);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(a_stranger_with_the_key_is_a_peer_like_any_other),
        TEST(headers_that_lie_are_dropped_for_what_they_lie_about),
        TEST(damaged_messages_are_dropped_for_their_damage),
        TEST(bodies_that_make_no_sense_are_dropped),
        TEST(two_mebibytes_are_counted_and_five_cut_the_connection_only),
        TEST(a_captured_hint_is_taken_once),
        TEST(the_same_hint_sealed_again_is_acknowledged_but_not_handed_out),
        TEST(what_was_captured_before_a_restart_is_worthless_after_it),
        TEST(an_old_hello_does_not_end_a_session),
        TEST(our_own_messages_thrown_back_are_not_for_us),
        TEST(only_peers_get_blobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
