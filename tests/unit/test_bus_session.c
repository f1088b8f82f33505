/* Who may talk to whom: keys and their change, tcp, several peers on one link, peers that come, go
 * and share a name. */
#include "tests/unit/bus_world.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* nanomsg 1.1.5 loses 736 bytes when an ipc address is taken. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:nn_bipc_create";
}

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* "<directory>/<owner>/<name>": each side has a key directory of its own. */
static void write_key(const struct world *world, const char *owner, const char *name,
                      const char *text)
{
    AUTO_FREE char *directory = mem_format("%s/%s", world->directory, owner);
    AUTO_FREE char *path = mem_format("%s/%s", directory, name);
    AUTO_FREE char *new_path = mem_format("%s.new", path);
    mkdir(directory, 0700);
    FILE *file = fopen(new_path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", text);
    fclose(file);
    assert_int_equal(rename(new_path, path), 0);
}

static void open_with_keys(struct world *world, struct side *side, const char *name)
{
    AUTO_FREE char *directory = mem_format("%s/keys-%s", world->directory, name);
    open_side(world, side, name, directory);
}

static void use_tcp(struct world *world)
{
    /* Ports of this process's own, so that test programs can run side by side. */
    unsigned port = 10000 + (unsigned)getpid() % 5500 * 4; /* below the ephemeral ones */
    snprintf(world->one.inbox, sizeof world->one.inbox, "tcp://127.0.0.1:%u", port);
    snprintf(world->two.inbox, sizeof world->two.inbox, "tcp://127.0.0.1:%u", port + 2);
}

static void tcp_without_keys_is_refused(void **state)
{
    struct world *world = *state;
    struct error error = {0};
    use_tcp(world);
    assert_false(try_open(world, &world->two, "two", NULL, &error));
    assert_int_equal(error.code, ERROR_DENIED);
    assert_non_null(strstr(error.message, "without keys"));
}

static void a_peer_on_tcp_without_keys_is_refused(void **state)
{
    struct world *world = *state;
    struct error error = {0};
    open_side(world, &world->one, "one", NULL);
    assert_null(bus_peer_add(world->one.bus, BUS_DIFFER_APPLIER, "tcp://127.0.0.1:1", &error));
    assert_int_equal(error.code, ERROR_DENIED);
}

static void a_link_whose_key_is_not_held_is_refused(void **state)
{
    struct world *world = *state;
    struct error error = {0};
    write_key(world, "keys-one", "fetcher-differ.key", KEY_A);
    open_with_keys(world, &world->one, "one");
    assert_null(bus_peer_add(world->one.bus, BUS_DIFFER_APPLIER, world->two.inbox, &error));
    assert_int_equal(error.code, ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "differ-applier.key"));
    assert_non_null(bus_peer_add(world->one.bus, BUS_FETCHER_DIFFER, world->two.inbox, &error));
    assert_null(bus_peer_add(world->one.bus, BUS_FETCHER_DIFFER, "tcp://name:1", &error));
    assert_int_equal(error.code, ERROR_INVALID);
}

static void hints_and_blobs_travel_over_tcp(void **state)
{
    struct world *world = *state;
    use_tcp(world);
    write_key(world, "keys-one", "differ-applier.key", KEY_A);
    write_key(world, "keys-two", "differ-applier.key", KEY_A);
    open_with_keys(world, &world->one, "one");
    open_with_keys(world, &world->two, "two");
    add(&world->one, &world->two);
    add(&world->two, &world->one);
    for (unsigned i = 1; i <= 2000; i++) {
        send_number(&world->one, i);
    }
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_int_equal(world->two.sum, 2001000);
    struct digest digest;
    AUTO_FREE char *bytes = mem_new(2, 1 << 20);
    assert_true(bus_blob_put(world->one.bus, bytes, 2 << 20, true, &digest, NULL));
    bus_blob_fetch(world->two.peer, &digest, 2 << 20, PATIENCE_MS, on_blob, &world->two);
    assert_true(fetch_ends(world, &world->two));
    assert_non_null(world->two.data);
    for (int i = 0; i < BUS_DROPS; i++) {
        assert_int_equal(bus_stats(world->two.bus)->dropped[i], 0);
    }
}

/* A port whose listener takes no more connections: the kernel drops who asks, as a machine that is
 * not there would. Returns how many sockets were needed. */
static size_t stuff(unsigned port, int *sockets, size_t maximum)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sockets[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(sockets[0], (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(sockets[0], 0), 0);
    size_t count = 1;
    bool full = false;
    while (count < maximum && !full) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fd, (struct sockaddr *)&address, sizeof address);
        struct pollfd waiting = {.fd = fd, .events = POLLOUT};
        full = poll(&waiting, 1, 300) == 0;
        sockets[count++] = fd;
    }
    assert_true(full);
    return count;
}

/* Local ports that are asking for a connection to `port` now, by /proc/net/tcp. */
struct asking {
    unsigned port;
    unsigned ignored; /* the last of ours that the kernel does not answer */
    unsigned first;
    bool again;      /* another one than the first was seen */
    int64_t next_ms; /* when to look again: it costs the kernel something */
};

static bool asks_again(void *context)
{
    struct asking *asking = context;
    if (clock_monotonic_ms() < asking->next_ms) {
        return asking->again;
    }
    asking->next_ms = clock_monotonic_ms() + 100;
    FILE *table = fopen("/proc/net/tcp", "r");
    char line[512];
    while (table && fgets(line, sizeof line, table)) {
        unsigned local, remote, status;
        if (sscanf(line, " %*d: %*8x:%x %*8x:%x %x", &local, &remote, &status) == 3 &&
            remote == asking->port && status == TCP_SYN_SENT && local != asking->ignored) {
            asking->again |= asking->first != 0 && local != asking->first;
            asking->first = asking->first ? asking->first : local;
        }
    }
    if (table) {
        fclose(table);
    }
    return asking->again;
}

static void a_connection_that_is_not_answered_is_asked_for_anew(void **state)
{
    struct world *world = *state;
    int sockets[16];
    use_tcp(world);
    write_key(world, "keys-one", "differ-applier.key", KEY_A);
    write_key(world, "keys-two", "differ-applier.key", KEY_A);
    struct asking asking = {.port = (unsigned)atoi(strrchr(world->two.inbox, ':') + 1)};
    size_t count = stuff(asking.port, sockets, 16);
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    assert_int_equal(getsockname(sockets[count - 1], (struct sockaddr *)&own, &size), 0);
    asking.ignored = ntohs(own.sin_port);
    open_with_keys(world, &world->one, "one");
    add(&world->one, &world->two);
    assert_true(holds(world, asks_again, &asking, 3 * PATIENCE_MS));
    for (size_t i = 0; i < count; i++) {
        close(sockets[i]);
    }
    open_with_keys(world, &world->two, "two");
    add(&world->two, &world->one);
    assert_true(reaches(world, &world->one.ups, 1));
}

static void the_wrong_key_is_counted_and_the_right_one_heals_without_a_restart(void **state)
{
    struct world *world = *state;
    write_key(world, "keys-one", "differ-applier.key", KEY_A);
    write_key(world, "keys-two", "differ-applier.key", KEY_B);
    open_with_keys(world, &world->one, "one");
    open_with_keys(world, &world->two, "two");
    add(&world->one, &world->two);
    add(&world->two, &world->one);
    send_number(&world->one, 5);
    assert_true(reaches(world, &bus_stats(world->two.bus)->dropped[BUS_DROP_KEY], 2));
    assert_true(reaches(world, &bus_stats(world->one.bus)->dropped[BUS_DROP_KEY], 2));
    assert_int_equal(world->two.ups + world->one.ups, 0);
    write_key(world, "keys-two", "differ-applier.key", KEY_A);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_int_equal(world->two.sum, 5);
    assert_int_equal(bus_stats(world->two.bus)->key_changes, 1);
}

/* The kubelet gives the two ends the new Secret up to a minute apart: nothing may be lost or held
 * up meanwhile. */
static void keys_change_under_traffic_without_a_message_dropped(void **state)
{
    struct world *world = *state;
    write_key(world, "keys-one", "differ-applier.key", KEY_A);
    write_key(world, "keys-two", "differ-applier.key", KEY_A);
    open_with_keys(world, &world->one, "one");
    open_with_keys(world, &world->two, "two");
    add(&world->one, &world->two);
    add(&world->two, &world->one);
    const struct {
        const char *owner, *name, *key;
    } steps[] = {
        {"keys-one", "differ-applier.previous", KEY_A},
        {"keys-one", "differ-applier.key", KEY_B},
        {"keys-two", "differ-applier.previous", KEY_A},
        {"keys-two", "differ-applier.key", KEY_B},
    };
    unsigned number = 0;
    uint64_t expected = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        write_key(world, steps[i].owner, steps[i].name, steps[i].key);
        struct side *side = i < 2 ? &world->one : &world->two;
        struct goal goal = {&bus_stats(side->bus)->key_changes, i % 2 + 1};
        while (!is_reached(&goal) && number < 2000) {
            expected += ++number;
            send_number(&world->one, number);
            send_number(&world->two, number);
            assert_true(bus_drain(world->one.bus, PATIENCE_MS));
            assert_true(bus_drain(world->two.bus, PATIENCE_MS));
            holds(world, is_reached, &goal, 20);
        }
        assert_true(is_reached(&goal));
    }
    assert_true(number > 4);
    AUTO_FREE char *old_one = mem_format("%s/keys-one/differ-applier.previous", world->directory);
    AUTO_FREE char *old_two = mem_format("%s/keys-two/differ-applier.previous", world->directory);
    unlink(old_one);
    unlink(old_two);
    assert_true(reaches(world, &bus_stats(world->one.bus)->key_changes, 3));
    assert_true(reaches(world, &bus_stats(world->two.bus)->key_changes, 3));
    expected += ++number;
    send_number(&world->one, number);
    send_number(&world->two, number);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_true(bus_drain(world->two.bus, PATIENCE_MS));
    assert_int_equal(world->one.sum, expected);
    assert_int_equal(world->two.sum, expected);
    assert_int_equal(bus_stats(world->one.bus)->dropped[BUS_DROP_KEY], 0);
    assert_int_equal(bus_stats(world->two.bus)->dropped[BUS_DROP_KEY], 0);
    assert_int_equal(world->one.ups + world->two.ups, 2);
}

static void a_broken_key_file_is_reported_and_the_old_key_kept(void **state)
{
    struct world *world = *state;
    write_key(world, "keys-one", "differ-applier.key", KEY_A);
    open_with_keys(world, &world->one, "one");
    write_key(world, "keys-one", "differ-applier.key", "oops");
    assert_true(reaches(world, &world->one.problems, 1));
    assert_non_null(strstr(world->one.error.message, "differ-applier.key"));
    struct error error;
    assert_non_null(bus_peer_add(world->one.bus, BUS_DIFFER_APPLIER, world->two.inbox, &error));
}

static void sockets_are_closed_to_others_and_bound_once(void **state)
{
    struct world *world = *state;
    open_side(world, &world->one, "one", NULL);
    static const char *const ends[] = {"", ".blobs"};
    for (size_t i = 0; i < 2; i++) {
        AUTO_FREE char *path = mem_format("%s%s", world->one.inbox + 6, ends[i]);
        struct stat status;
        assert_int_equal(stat(path, &status), 0);
        assert_true(S_ISSOCK(status.st_mode));
        assert_int_equal(status.st_mode & 077, 0);
    }
    memcpy(world->two.inbox, world->one.inbox, sizeof world->two.inbox);
    struct error error = {0};
    assert_false(try_open(world, &world->two, "two", NULL, &error));
    assert_int_equal(error.code, ERROR_CONFLICT);
    assert_non_null(strstr(error.message, world->one.inbox));
    assert_false(try_open(world, &world->two, "two words", NULL, &error));
    assert_int_equal(error.code, ERROR_INVALID);
}

static void several_peers_of_a_link_are_told_apart_by_their_address(void **state)
{
    struct world *world = *state;
    struct side many[6] = {0};
    open_side(world, &world->one, "hub", NULL);
    struct bus_peer *peers[6];
    for (unsigned i = 0; i < 6; i++) {
        AUTO_FREE char *name = mem_format("leaf-%u", i);
        snprintf(many[i].inbox, sizeof many[i].inbox, "ipc://%s/%s", world->directory, name);
        peers[i] = add(&world->one, &many[i]);
        open_side(world, &many[i], name, NULL);
        add(&many[i], &world->one);
    }
    assert_true(reaches(world, &world->one.ups, 6));
    for (unsigned i = 0; i < 6; i++) {
        AUTO_FREE char *name = mem_format("leaf-%u", i);
        assert_string_equal(bus_peer_instance(peers[i]), name);
        world->one.peer = peers[i];
        send_number(&world->one, i + 1);
        send_number(&many[i], 100);
    }
    assert_ptr_equal(add(&world->one, &many[3]), peers[3]); /* adding again: the same */
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    for (unsigned i = 0; i < 6; i++) {
        assert_true(bus_drain(many[i].bus, PATIENCE_MS));
        assert_int_equal(many[i].sum, i + 1);
        bus_free(many[i].bus);
    }
    assert_int_equal(world->one.sum, 600);
}

static void a_process_that_was_not_added_is_dropped_as_unknown(void **state)
{
    struct world *world = *state;
    struct side third = {0};
    meet(world);
    snprintf(third.inbox, sizeof third.inbox, "ipc://%s/third", world->directory);
    add(&world->two, &third); /* so that two has two peers of the link, none of them "fourth" */
    struct side fourth = {0};
    snprintf(fourth.inbox, sizeof fourth.inbox, "ipc://%s/fourth", world->directory);
    open_side(world, &fourth, "fourth", NULL);
    add(&fourth, &world->two);
    assert_true(reaches(world, &bus_stats(world->two.bus)->dropped[BUS_DROP_UNKNOWN_PEER], 2));
    assert_false(bus_peer_is_up(fourth.peer));
    bus_free(fourth.bus);
}

static void a_peer_that_comes_back_under_another_name_is_taken_over(void **state)
{
    struct world *world = *state;
    meet(world);
    bus_free(world->two.bus);
    open_side(world, &world->two, "two-after-an-update", NULL);
    add(&world->two, &world->one);
    assert_true(reaches(world, &world->one.ups, 2));
    assert_string_equal(bus_peer_instance(world->one.peer), "two-after-an-update");
}

static void two_processes_of_one_name_are_reported(void **state)
{
    struct world *world = *state;
    struct side third = {0};
    meet(world);
    snprintf(third.inbox, sizeof third.inbox, "ipc://%s/third", world->directory);
    open_side(world, &third, "two", NULL);
    add(&third, &world->one);
    add(&world->one, &third);
    assert_true(reaches(world, &world->one.problems, 1));
    assert_non_null(strstr(world->one.error.message, "both call themselves two"));
    bus_free(third.bus);
}

static void a_peer_that_is_removed_no_longer_counts(void **state)
{
    struct world *world = *state;
    meet(world);
    bus_peer_remove(world->two.bus, world->two.peer);
    world->two.peer = NULL;
    send_number(&world->one, 1);
    assert_false(bus_drain(world->one.bus, 300));
    assert_int_equal(world->two.hints, 0);
    assert_true(bus_stats(world->two.bus)->dropped[BUS_DROP_UNKNOWN_PEER] > 0);
    add(&world->two, &world->one);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_int_equal(world->two.sum, 1);
}

/* As when a process could not renew its Lease for a while. */
static void
a_peer_that_is_removed_and_added_again_hears_everything_that_is_sent_from_then_on(void **state)
{
    struct world *world = *state;
    meet(world);
    for (unsigned i = 1; i <= 5; i++) {
        send_number(&world->one, i);
    }
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    bus_peer_remove(world->one.bus, world->one.peer);
    add(&world->one, &world->two);
    for (unsigned i = 0; i < 5; i++) {
        send_number(&world->one, 100);
        send_number(&world->two, 7);
    }
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_true(bus_drain(world->two.bus, PATIENCE_MS));
    assert_int_equal(world->two.sum, 515);
    assert_int_equal(world->one.sum, 35);
    assert_int_equal(world->two.ups, 2); /* what it had asked of one is forgotten: ask again */
    assert_int_equal(world->one.ups, 2);
}

/* ---- handlers that pull the rug from under their own feet ---- */

static bool remove_sender(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                          void *context)
{
    (void)kind, (void)body, (void)size;
    struct side *side = context;
    side->hints++;
    bus_peer_remove(side->bus, peer);
    return true;
}

static void a_handler_may_remove_the_peer_that_it_serves(void **state)
{
    struct world *world = *state;
    const struct bus_options options = {
        .instance = "two",
        .inbox = world->two.inbox,
        .handlers = {.hint = remove_sender, .context = &world->two}};
    struct error error;
    world->two.bus = bus_new(world->base, &options, &error);
    open_side(world, &world->one, "one", NULL);
    add(&world->one, &world->two);
    add(&world->two, &world->one);
    for (unsigned i = 0; i < 50; i++) {
        send_number(&world->one, i);
    }
    assert_true(reaches(world, &world->two.hints, 1));
    assert_null(bus_peer_of_link(world->two.bus, BUS_DIFFER_APPLIER));
    assert_false(bus_drain(world->one.bus, 100));
    assert_int_equal(world->two.hints, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(tcp_without_keys_is_refused),
        TEST(a_peer_on_tcp_without_keys_is_refused),
        TEST(a_link_whose_key_is_not_held_is_refused),
        TEST(hints_and_blobs_travel_over_tcp),
        TEST(the_wrong_key_is_counted_and_the_right_one_heals_without_a_restart),
        TEST(a_connection_that_is_not_answered_is_asked_for_anew),
        TEST(keys_change_under_traffic_without_a_message_dropped),
        TEST(a_broken_key_file_is_reported_and_the_old_key_kept),
        TEST(sockets_are_closed_to_others_and_bound_once),
        TEST(several_peers_of_a_link_are_told_apart_by_their_address),
        TEST(a_process_that_was_not_added_is_dropped_as_unknown),
        TEST(a_peer_that_comes_back_under_another_name_is_taken_over),
        TEST(two_processes_of_one_name_are_reported),
        TEST(a_peer_that_is_removed_no_longer_counts),
        TEST(a_peer_that_is_removed_and_added_again_hears_everything_that_is_sent_from_then_on),
        TEST(a_handler_may_remove_the_peer_that_it_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
