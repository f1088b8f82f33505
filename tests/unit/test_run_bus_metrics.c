/* What /metrics tells of a bus: common/run/bus_metrics.c. */
#include "common/run/bus_metrics.h"
#include "common/run/metrics.h"
#include "tests/unit/bus_world.h"

#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>

/* nanomsg 1.1.5 loses 736 bytes when an ipc address is taken. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:nn_bipc_create";
}

static void assert_exposed(const char *part)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 1 << 20);
    metrics_write(&text);
    if (!strstr(text.data, part)) {
        fail_msg("\"%s\" is not in:\n%s", part, text.data);
    }
}

static void what_is_sent_and_received_and_dropped_is_told_by_link(void **state)
{
    struct world *world = *state;
    meet(world);
    bus_metrics_open(NULL); /* a process without a bus */
    bus_metrics_open(world->one.bus);
    send_number(&world->one, 1);
    send_number(&world->one, 2);
    send_number(&world->two, 3);
    assert_true(bus_drain(world->one.bus, PATIENCE_MS));
    assert_true(bus_drain(world->two.bus, PATIENCE_MS));
    assert_exposed("\ngitmoor_bus_sent_total{link=\"differ-applier\"} 2\n");
    assert_exposed("\ngitmoor_bus_received_total{link=\"differ-applier\"} 1\n");
    assert_exposed("\ngitmoor_bus_resent_total{link=\"differ-applier\"} ");
    assert_exposed("\ngitmoor_bus_waiting{link=\"differ-applier\"} 0\n");
    assert_exposed("gitmoor_bus_peers{link=\"differ-applier\",state=\"silent\"} 0\n"
                   "gitmoor_bus_peers{link=\"differ-applier\",state=\"up\"} 1\n");

    int noise = nn_socket(AF_SP, NN_PUSH);
    assert_true(nn_connect(noise, world->one.inbox) >= 0);
    assert_int_equal(nn_send(noise, "hello", 5, 0), 5);
    const uint64_t *dropped = &bus_stats(world->one.bus)->dropped[BUS_DROP_MALFORMED];
    assert_true(reaches(world, dropped, 1));
    nn_close(noise);
    assert_exposed("\ngitmoor_bus_dropped_total{link=\"none\",reason=\"malformed\"} 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_sent_and_received_and_dropped_is_told_by_link,
                                        make_world, end_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
