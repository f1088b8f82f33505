/* Unit tests of common/kube/stream.c. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/kube/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    struct buf text; /* "TYPE name;" for each event */
    unsigned stop_after;
    unsigned count;
};

static bool on_event(const char *type, cJSON *object, void *context)
{
    struct seen *seen = context;
    buf_append_format(&seen->text, "%s %s;", type, text_or_empty(json_string(object, "name")));
    json_free(object);
    return ++seen->count != seen->stop_after;
}

/* Feeds `text` in pieces of `piece` bytes. */
static bool feed(const char *text, size_t piece, size_t line_maximum, struct seen *seen,
                 struct error *error)
{
    struct kube_stream *stream = kube_stream_new(line_maximum, on_event, seen);
    size_t size = strlen(text);
    bool good = true;
    for (size_t at = 0; good && at < size; at += piece) {
        good = kube_stream_feed(stream, text + at, size - at < piece ? size - at : piece, error);
    }
    kube_stream_free(stream);
    return good;
}

static const char three[] = "{\"type\":\"ADDED\",\"object\":{\"name\":\"a\"}}\n"
                            "\r\n"
                            "{\"type\":\"DELETED\",\"object\":{\"name\":\"b\\n\"}}\r\n"
                            "{\"object\":{\"name\":\"c\"},\"type\":\"BOOKMARK\"}\n";

static void test_events_arrive_whole_however_the_bytes_are_cut(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof(three); piece++) {
        struct seen seen = {0};
        struct error error;
        buf_init(&seen.text, 4096);
        assert_true(feed(three, piece, 1000, &seen, &error));
        assert_string_equal(seen.text.data, "ADDED a;DELETED b\n;BOOKMARK c;");
        buf_release(&seen.text);
    }
}

static bool on_damaged(const char *type, cJSON *object, void *context)
{
    buf_append_format(context, "%s %s;", type, text_or_empty(json_string(object, OBJECT_DAMAGED)));
    json_free(object);
    return true;
}

/* Anybody may write such a string into an object of his own. */
static void test_a_zero_byte_does_not_end_the_stream(void **state)
{
    static const char text[] = "{\"type\":\"ADDED\",\"object\":{\"name\":\"a\\u0000\"}}\n"
                               "{\"type\":\"ADDED\",\"object\":{\"name\":\"b\"}}\n";
    AUTO_BUF struct buf seen;
    struct error error;
    (void)state;
    buf_init(&seen, 4096);
    struct kube_stream *stream = kube_stream_new(1000, on_damaged, &seen);
    assert_true(kube_stream_feed(stream, text, strlen(text), &error));
    kube_stream_free(stream);
    assert_string_equal(seen.data, "ADDED a string in it holds a zero byte;ADDED ;");
}

static void test_a_consumer_that_has_enough_gets_no_more(void **state)
{
    (void)state;
    struct seen seen = {.stop_after = 2};
    struct error error;
    buf_init(&seen.text, 4096);
    assert_true(feed(three, sizeof(three), 1000, &seen, &error));
    assert_string_equal(seen.text.data, "ADDED a;DELETED b\n;");
    buf_release(&seen.text);
}

static void test_what_is_no_event_ends_the_stream(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
        enum error_code code;
    } cases[] = {
        {"{\"type\":\"ADDED\"}\n", "has no type or no object", ERROR_INVALID},
        {"{\"type\":1,\"object\":{}}\n", "has no type or no object", ERROR_INVALID},
        {"{\"type\":\"ADDED\",\"object\":[]}\n", "has no type or no object", ERROR_INVALID},
        {"[]\n", "has no type or no object", ERROR_INVALID},
        {"{\"type\":\"ADDED\",\"object\":{}} x\n", "a watch event", ERROR_INVALID},
        {"{\"type\":\"ADDED\",\"object\":{\"a\":1,\"a\":2}}\n", "a watch event", ERROR_INVALID},
        {"nonsense\n", "a watch event", ERROR_INVALID},
        {"{\"type\":\"ADDED\",\"object\":{\"name\":\"0123456789012345678901234567890123456789\"}}"
         "\n",
         "over the limit of 60 bytes", ERROR_LIMIT},
        {"                                                                                  ",
         "over the limit of 60 bytes", ERROR_LIMIT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t pieces[] = {1, 1000};
        for (size_t j = 0; j < 2; j++) {
            struct seen seen = {0};
            struct error error;
            buf_init(&seen.text, 4096);
            assert_false(feed(cases[i].text, pieces[j], 60, &seen, &error));
            if (!strstr(error.message, cases[i].message)) {
                fail_msg("%s: %s", cases[i].text, error.message);
            }
            assert_int_equal(error.code, cases[i].code);
            assert_int_equal(seen.count, 0);
            buf_release(&seen.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_arrive_whole_however_the_bytes_are_cut),
        cmocka_unit_test(test_a_zero_byte_does_not_end_the_stream),
        cmocka_unit_test(test_a_consumer_that_has_enough_gets_no_more),
        cmocka_unit_test(test_what_is_no_event_ends_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
