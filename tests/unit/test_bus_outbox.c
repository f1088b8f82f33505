#include "common/bus/outbox.h"

#include "common/bus/bus.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t add(struct outbox *outbox, size_t size)
{
    static char body[BUS_HINT_MAXIMUM];
    struct outbox_hint *hint = outbox_add(outbox, "kind", body, size, NULL);
    assert_non_null(hint);
    return hint->id;
}

static uint64_t send_next(struct outbox *outbox, int64_t now_ms)
{
    struct outbox_hint *hint = outbox_next(outbox);
    if (!hint) {
        return 0;
    }
    outbox_sent(outbox, hint, now_ms);
    return hint->id;
}

static void a_hint_is_copied_and_sent_once(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox);
    char body[] = "body", kind[] = "kind";
    struct outbox_hint *hint = outbox_add(&outbox, kind, body, 4, NULL);
    body[0] = kind[0] = 'x';
    assert_string_equal(hint->kind, "kind");
    assert_memory_equal(hint->body, "body", 4);
    assert_int_equal(outbox_due(&outbox), INT64_MAX);
    assert_ptr_equal(outbox_next(&outbox), hint);
    outbox_sent(&outbox, hint, 1000);
    assert_null(outbox_next(&outbox));
    assert_true(outbox_remove(&outbox, hint->id));
    assert_false(outbox_remove(&outbox, 1));
    assert_int_equal(outbox.count, 0);
    assert_int_equal(outbox.bytes, 0);
    outbox_release(&outbox);
}

static void delays_double_up_to_two_seconds(void **state)
{
    (void)state;
    static const int64_t delays[] = {200, 400, 800, 1600, 2000, 2000, 2000};
    struct outbox outbox;
    outbox_init(&outbox);
    add(&outbox, 1);
    int64_t now = 1000;
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        assert_int_equal(send_next(&outbox, now), 1);
        assert_int_equal(outbox_due(&outbox), now + delays[i]);
        now += delays[i];
        outbox_expire(&outbox, now - 1);
        assert_null(outbox_next(&outbox));
        outbox_expire(&outbox, now);
    }
    outbox_release(&outbox);
}

static void what_is_on_the_wire_is_bounded_and_acknowledgements_open_the_way(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox);
    for (size_t i = 0; i < OUTBOX_WIRE_COUNT + 10; i++) {
        add(&outbox, 1);
    }
    size_t sent = 0;
    while (send_next(&outbox, 0) != 0) {
        sent++;
    }
    assert_int_equal(sent, OUTBOX_WIRE_COUNT);
    outbox_remove(&outbox, 5);
    assert_int_equal(send_next(&outbox, 0), OUTBOX_WIRE_COUNT + 1);
    assert_int_equal(send_next(&outbox, 0), 0);
    outbox_release(&outbox);

    outbox_init(&outbox);
    for (size_t i = 0; i < OUTBOX_WIRE_BYTES / BUS_HINT_MAXIMUM + 5; i++) {
        add(&outbox, BUS_HINT_MAXIMUM);
    }
    for (sent = 0; send_next(&outbox, 0) != 0; sent++) {
    }
    assert_int_equal(sent, OUTBOX_WIRE_BYTES / BUS_HINT_MAXIMUM);
    outbox_release(&outbox);
}

static void hints_that_the_peer_does_not_want_now_do_not_count(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox);
    for (size_t i = 0; i < OUTBOX_WIRE_COUNT; i++) {
        add(&outbox, 1);
        send_next(&outbox, 0);
    }
    uint64_t late = add(&outbox, 1);
    assert_int_equal(send_next(&outbox, 0), 0);
    outbox_expire(&outbox, 200);
    uint64_t last = 0;
    for (uint64_t id = send_next(&outbox, 200); id != 0; id = send_next(&outbox, 200)) {
        last = last == late ? late : id;
    }
    assert_int_equal(last, late);
    outbox_release(&outbox);
}

static void a_restart_sends_everything_again_in_order(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox);
    for (size_t i = 0; i < 300; i++) {
        add(&outbox, 1);
    }
    for (size_t i = 0; i < 200; i++) {
        send_next(&outbox, (int64_t)i);
    }
    outbox_expire(&outbox, 250);
    outbox_remove(&outbox, 2);
    outbox_restart(&outbox);
    uint64_t expected = 1;
    for (uint64_t id = send_next(&outbox, 0); id != 0; id = send_next(&outbox, 0)) {
        assert_int_equal(id, expected);
        expected += expected == 1 ? 2 : 1;
    }
    assert_int_equal(expected, 301);
    outbox_release(&outbox);
}

static void thousands_are_found_by_id(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox);
    for (uint64_t i = 1; i <= 5000; i++) {
        assert_int_equal(add(&outbox, 0), i);
    }
    for (uint64_t i = 5000; i > 0; i--) {
        assert_true(outbox_remove(&outbox, i));
    }
    assert_null(outbox_next(&outbox));
    outbox_release(&outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hint_is_copied_and_sent_once),
        cmocka_unit_test(delays_double_up_to_two_seconds),
        cmocka_unit_test(what_is_on_the_wire_is_bounded_and_acknowledgements_open_the_way),
        cmocka_unit_test(hints_that_the_peer_does_not_want_now_do_not_count),
        cmocka_unit_test(a_restart_sends_everything_again_in_order),
        cmocka_unit_test(thousands_are_found_by_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
