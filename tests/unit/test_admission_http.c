/* Request heads: what is read from a good one, and with which status each bad one is refused. */
#include "admission/http.h"
#include "common/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define BODY_MAXIMUM 1000

static enum http_progress parse(const char *text, struct http_head *ret, int *ret_status)
{
    return http_parse_head(text, strlen(text), BODY_MAXIMUM, ret, ret_status);
}

static void test_a_review_request_is_read(void **state)
{
    (void)state;
    static const char text[] = "POST /validate?timeout=3s HTTP/1.1\r\nHost: a.b.svc:443\r\n"
                               "User-Agent: kube-apiserver-admission\r\ncontent-length:  42 \r\n"
                               "Accept: application/json, */*\r\n\r\n{";
    struct http_head head;
    int status;
    assert_int_equal(parse(text, &head, &status), HTTP_COMPLETE);
    assert_string_equal(head.path, "/validate");
    assert_int_equal(head.body_size, 42);
    assert_int_equal(head.size, strlen(text) - 1);
    assert_true(head.post);
    assert_true(head.keep_alive);
    assert_false(head.expect_continue);
}

static void test_every_beginning_of_a_head_is_incomplete(void **state)
{
    (void)state;
    static const char text[] = "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    struct http_head head;
    int status;
    for (size_t size = 0; size < strlen(text); size++) {
        assert_int_equal(http_parse_head(text, size, BODY_MAXIMUM, &head, &status),
                         HTTP_INCOMPLETE);
    }
    assert_int_equal(parse(text, &head, &status), HTTP_COMPLETE);
}

static void test_connections_are_closed_when_asked_and_for_http_1_0(void **state)
{
    (void)state;
    struct http_head head;
    int status;
    assert_int_equal(
        parse("POST / HTTP/1.1\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", &head, &status),
        HTTP_COMPLETE);
    assert_false(head.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n", &head, &status), HTTP_COMPLETE);
    assert_false(head.keep_alive);
    assert_false(head.post);
}

static const struct {
    const char *name;
    const char *text;
    int status;
} refused[] = {
    {"no request line", "\r\n\r\n", 400},
    {"no version", "POST /\r\n\r\n", 400},
    {"an absolute target", "POST http://a/ HTTP/1.1\r\n\r\n", 400},
    {"a control character in the target", "POST /\x01 HTTP/1.1\r\n\r\n", 400},
    {"HTTP/2 in clear", "POST / HTTP/2.0\r\n\r\n", 505},
    {"a bare line feed", "POST / HTTP/1.1\nContent-Length: 0\r\n\r\n", 400},
    {"a folded header", "POST / HTTP/1.1\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", 400},
    {"a blank before the colon", "POST / HTTP/1.1\r\nContent-Length : 0\r\n\r\n", 400},
    {"a header without a colon", "POST / HTTP/1.1\r\nabc\r\n\r\n", 400},
    {"two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
    {"a negative length", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
    {"a list of lengths", "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 400},
    {"an empty length", "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400},
    {"a length beyond the limit", "POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413},
    {"a length beyond any number",
     "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\n", 413},
    {"no length", "POST / HTTP/1.1\r\nHost: a\r\n\r\n", 411},
    {"chunks", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411},
    {"chunks and a length",
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
};

static void test_bad_heads_are_refused_each_with_its_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct http_head head;
        int status = 0;
        enum http_progress progress = parse(refused[i].text, &head, &status);
        if (progress != HTTP_REFUSED || status != refused[i].status) {
            fail_msg("%s: progress %d, status %d", refused[i].name, progress, status);
        }
    }
}

static void test_heads_and_paths_have_limits(void **state)
{
    (void)state;
    struct http_head head;
    int status = 0;
    AUTO_BUF struct buf text;
    buf_init(&text, 2 * HTTP_HEAD_MAXIMUM);
    buf_append_string(&text, "POST / HTTP/1.1\r\nA: ");
    while (text.size < HTTP_HEAD_MAXIMUM) {
        buf_append_char(&text, 'a');
    }
    assert_int_equal(parse(text.data, &head, &status), HTTP_REFUSED);
    assert_int_equal(status, 431);
    buf_clear(&text);
    buf_append_string(&text, "POST /");
    for (unsigned i = 0; i < HTTP_PATH_MAXIMUM; i++) {
        buf_append_char(&text, 'a');
    }
    buf_append_string(&text, " HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(parse(text.data, &head, &status), HTTP_REFUSED);
    assert_int_equal(status, 414);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_review_request_is_read),
        cmocka_unit_test(test_every_beginning_of_a_head_is_incomplete),
        cmocka_unit_test(test_connections_are_closed_when_asked_and_for_http_1_0),
        cmocka_unit_test(test_bad_heads_are_refused_each_with_its_status),
        cmocka_unit_test(test_heads_and_paths_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
