#include "common/bus/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct frame_header good_header(void)
{
    struct frame_header header = {
        .type = FRAME_HINT,
        .link = BUS_ADMISSION_DIFFER,
        .key_id = 0x01020304,
        .sender_epoch = 0x1112131415161718,
        .recipient_epoch = 0x2122232425262728,
        .sequence = 0x3132333435363738,
        .time_ms = 0x4142434445464748,
        .instance = "differ-0",
    };
    return header;
}

static void the_header_is_laid_out_as_documented(void **state)
{
    (void)state;
    static const uint8_t expected[48] = "GM\x01\x02\x02\0\0\0\x01\x02\x03\x04\0\0\0\0"
                                        "\x11\x12\x13\x14\x15\x16\x17\x18!\"#$%&'("
                                        "12345678ABCDEFG\x48";
    struct frame_header header = good_header(), read;
    uint8_t message[FRAME_OVERHEAD];
    enum bus_drop drop;
    frame_write_header(&header, message);
    assert_memory_equal(message, expected, sizeof expected);
    assert_memory_equal(message + 48, "differ-0\0\0", 10);
    assert_true(frame_read_header(message, sizeof message, &read, &drop));
    assert_int_equal(read.type, header.type);
    assert_int_equal(read.link, header.link);
    assert_int_equal(read.key_id, header.key_id);
    assert_int_equal(read.sender_epoch, header.sender_epoch);
    assert_int_equal(read.recipient_epoch, header.recipient_epoch);
    assert_int_equal(read.sequence, header.sequence);
    assert_int_equal(read.time_ms, header.time_ms);
    assert_string_equal(read.instance, header.instance);
}

static void bad_headers_are_refused_for_the_right_reason(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t offset;
        uint8_t value;
        enum bus_drop drop;
    } cases[] = {
        {"magic", 0, 'g', BUS_DROP_MALFORMED},
        {"version 0", 2, 0, BUS_DROP_VERSION},
        {"version 2", 2, 2, BUS_DROP_VERSION},
        {"type 0", 3, 0, BUS_DROP_MALFORMED},
        {"type 6", 3, 6, BUS_DROP_MALFORMED},
        {"link 3", 4, 3, BUS_DROP_MALFORMED},
        {"reserved", 7, 1, BUS_DROP_MALFORMED},
        {"reserved, second", 12, 1, BUS_DROP_MALFORMED},
        {"a time before 1970", 40, 0x80, BUS_DROP_MALFORMED},
        {"an empty instance", 48, 0, BUS_DROP_MALFORMED},
        {"a blank in the instance", 49, ' ', BUS_DROP_MALFORMED},
        {"a control character in the instance", 49, '\n', BUS_DROP_MALFORMED},
        {"a byte above ASCII in the instance", 49, 0xC3, BUS_DROP_MALFORMED},
        {"text after the instance", 60, 'x', BUS_DROP_MALFORMED},
    };
    struct frame_header header = good_header(), read;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t message[FRAME_OVERHEAD] = {0};
        enum bus_drop drop = BUS_DROPS;
        frame_write_header(&header, message);
        message[cases[i].offset] = cases[i].value;
        if (frame_read_header(message, sizeof message, &read, &drop) || drop != cases[i].drop) {
            fail_msg("%s", cases[i].name);
        }
    }
    uint8_t message[FRAME_OVERHEAD] = {0};
    enum bus_drop drop;
    frame_write_header(&header, message);
    for (size_t size = 0; size < sizeof message; size++) {
        assert_false(frame_read_header(message, size, &read, &drop));
    }
    memset(message + 48, 'x', 64); /* no end */
    assert_false(frame_read_header(message, sizeof message, &read, &drop));
    header.sender_epoch = 0;
    frame_write_header(&header, message);
    assert_false(frame_read_header(message, sizeof message, &read, &drop));
    header = good_header();
    header.recipient_epoch = 0;
    frame_write_header(&header, message);
    assert_false(frame_read_header(message, sizeof message, &read, &drop));
    header.type = FRAME_HELLO;
    frame_write_header(&header, message);
    assert_true(frame_read_header(message, sizeof message, &read, &drop));
}

static void each_boot_of_each_instance_on_each_link_has_its_own_key(void **state)
{
    (void)state;
    struct seal_key link_key = {.bytes = {1}, .id = 7}, base, other;
    struct frame_header header = good_header();
    frame_derive_key(&link_key, &header, &base);
    assert_int_equal(base.id, 7);
    header.sequence++;
    header.time_ms++;
    header.recipient_epoch++;
    frame_derive_key(&link_key, &header, &other);
    assert_memory_equal(base.bytes, other.bytes, SEAL_KEY_SIZE);
    header.sender_epoch++;
    frame_derive_key(&link_key, &header, &other);
    assert_memory_not_equal(base.bytes, other.bytes, SEAL_KEY_SIZE);
    header = good_header();
    header.link = BUS_FETCHER_DIFFER;
    frame_derive_key(&link_key, &header, &other);
    assert_memory_not_equal(base.bytes, other.bytes, SEAL_KEY_SIZE);
    header = good_header();
    header.instance[7] = '1';
    frame_derive_key(&link_key, &header, &other);
    assert_memory_not_equal(base.bytes, other.bytes, SEAL_KEY_SIZE);
}

static void a_sealed_message_opens_only_unchanged(void **state)
{
    (void)state;
    struct seal_key link_key = {.bytes = {1}}, key;
    struct frame_header header = good_header(), read;
    uint8_t message[FRAME_OVERHEAD + 4], copy[sizeof message];
    enum bus_drop drop;
    frame_derive_key(&link_key, &header, &key);
    memcpy(message + FRAME_HEADER_SIZE, "body", 4);
    frame_seal(&header, &key, message, 4);
    for (size_t i = 0; i < sizeof message; i++) {
        memcpy(copy, message, sizeof copy);
        copy[i] ^= 0x10;
        if (!frame_read_header(copy, sizeof copy, &read, &drop)) {
            continue;
        }
        frame_derive_key(&link_key, &read, &key);
        assert_false(frame_open(&read, &key, copy, sizeof copy));
    }
    assert_true(frame_read_header(message, sizeof message, &read, &drop));
    frame_derive_key(&link_key, &read, &key);
    assert_true(frame_open(&read, &key, message, sizeof message));
    assert_memory_equal(message + FRAME_HEADER_SIZE, "body", 4);
}

/* ---- bodies ---- */

static void bodies_are_read_as_written(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct frame_hello hello = {.challenge = 1,
                                .echo = 2,
                                .answer_wanted = true,
                                .keys = {3, 4},
                                .inbox = "ipc:///x",
                                .inbox_size = 8};
    struct frame_hello hello_read;
    frame_write_hello(&hello, bytes);
    assert_true(frame_read_hello(bytes, frame_hello_size(&hello), &hello_read));
    assert_int_equal(hello_read.challenge, 1);
    assert_int_equal(hello_read.echo, 2);
    assert_true(hello_read.answer_wanted);
    assert_int_equal(hello_read.keys[1], 4);
    assert_int_equal(hello_read.inbox_size, 8);
    assert_memory_equal(hello_read.inbox, "ipc:///x", 8);

    struct frame_hint hint = {.id = 9, .kind = "plan", .body = "{}", .body_size = 2}, hint_read;
    frame_write_hint(&hint, bytes);
    assert_true(frame_read_hint(bytes, frame_hint_size(&hint), &hint_read));
    assert_int_equal(hint_read.id, 9);
    assert_string_equal(hint_read.kind, "plan");
    assert_int_equal(hint_read.body_size, 2);
    assert_memory_equal(hint_read.body, "{}", 2);

    static const uint64_t ids[] = {1, UINT64_MAX};
    size_t count = 0;
    frame_write_ack(ids, 2, bytes);
    assert_true(frame_read_ack(bytes, 16, &count));
    assert_int_equal(count, 2);
    assert_int_equal(frame_ack_id(bytes, 1), UINT64_MAX);

    struct frame_blob_request request = {.digest = {{5}}, .offset = 6, .length = 7}, request_read;
    frame_write_blob_request(&request, bytes);
    assert_true(frame_read_blob_request(bytes, FRAME_BLOB_REQUEST_SIZE, &request_read));
    assert_true(digest_equal(&request.digest, &request_read.digest));
    assert_int_equal(request_read.offset, 6);
    assert_int_equal(request_read.length, 7);

    struct frame_blob_answer answer = {
        .request = 1, .found = true, .total = 4, .data = (const uint8_t *)"data", .data_size = 4};
    struct frame_blob_answer answer_read;
    frame_write_blob_answer(&answer, bytes);
    assert_true(frame_read_blob_answer(bytes, FRAME_BLOB_ANSWER_SIZE + 4, &answer_read));
    assert_int_equal(answer_read.total, 4);
    assert_memory_equal(answer_read.data, "data", 4);
}

static void bad_bodies_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[2048] = {0};
    struct frame_hello hello = {.challenge = 1, .inbox = "", .inbox_size = 0};
    size_t size = frame_hello_size(&hello);
    frame_write_hello(&hello, bytes);
    assert_true(frame_read_hello(bytes, size, &hello));
    assert_false(frame_read_hello(bytes, size - 1, &hello));
    assert_false(frame_read_hello(bytes, size + FRAME_ADDRESS_SIZE, &hello));
    bytes[16] = 2; /* neither wanted nor not */
    assert_false(frame_read_hello(bytes, size, &hello));
    bytes[16] = 0;
    bytes[7] = 0; /* no challenge */
    assert_false(frame_read_hello(bytes, size, &hello));

    static const struct {
        const char *name, *bytes;
        size_t size;
    } hints[] = {
        {"nothing", "", 0},
        {"no kind", "\0\0\0\0\0\0\0\1\0\0", 10},
        {"id 0", "\0\0\0\0\0\0\0\0\1k\0", 11},
        {"a kind past the end", "\0\0\0\0\0\0\0\1\4k\0", 11},
        {"a kind without an end", "\0\0\0\0\0\0\0\1\1kx", 11},
        {"a blank in the kind", "\0\0\0\0\0\0\0\1\1 \0", 11},
        {"an end within the kind", "\0\0\0\0\0\0\0\1\2k\0\0", 12},
    };
    struct frame_hint hint;
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        if (frame_read_hint((const uint8_t *)hints[i].bytes, hints[i].size, &hint)) {
            fail_msg("%s", hints[i].name);
        }
    }
    size_t count;
    assert_false(frame_read_ack(bytes, 0, &count));
    assert_false(frame_read_ack(bytes, 12, &count));
    assert_false(frame_read_ack(bytes, (FRAME_ACK_MAXIMUM + 1) * 8, &count));

    struct frame_blob_request request = {.length = BUS_CHUNK_MAXIMUM + 1};
    frame_write_blob_request(&request, bytes);
    assert_false(frame_read_blob_request(bytes, FRAME_BLOB_REQUEST_SIZE, &request));
    assert_false(frame_read_blob_request(bytes, FRAME_BLOB_REQUEST_SIZE - 1, &request));
    assert_false(frame_read_blob_request(bytes, FRAME_BLOB_REQUEST_SIZE + 1, &request));

    struct frame_blob_answer answer = {.found = false, .data = bytes, .data_size = 1};
    uint8_t written[FRAME_BLOB_ANSWER_SIZE + 1];
    frame_write_blob_answer(&answer, written);
    assert_false(frame_read_blob_answer(written, sizeof written, &answer));
    assert_true(frame_read_blob_answer(written, sizeof written - 1, &answer));
    assert_false(frame_read_blob_answer(written, sizeof written - 2, &answer));
}

static void every_reason_and_link_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < BUS_DROPS; i++) {
        assert_non_null(bus_drop_name((enum bus_drop)i));
    }
    assert_string_equal(bus_link_name(BUS_FETCHER_DIFFER), "fetcher-differ");
    assert_string_equal(bus_link_name(BUS_DIFFER_APPLIER), "differ-applier");
    assert_string_equal(bus_link_name(BUS_ADMISSION_DIFFER), "admission-differ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_is_laid_out_as_documented),
        cmocka_unit_test(bad_headers_are_refused_for_the_right_reason),
        cmocka_unit_test(each_boot_of_each_instance_on_each_link_has_its_own_key),
        cmocka_unit_test(a_sealed_message_opens_only_unchanged),
        cmocka_unit_test(bodies_are_read_as_written),
        cmocka_unit_test(bad_bodies_are_refused),
        cmocka_unit_test(every_reason_and_link_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
