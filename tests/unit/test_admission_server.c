/* The webhook's server under good and hostile clients. The server runs in the test's loop, the
 * client in a thread with blocking calls; what it finds out is compared in the end. */
#include "admission/server.h"

#include "admission/connection.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/crypto/certificate.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define BODY_MAXIMUM 100000
/* Where that a client is cut is what is tested; longer than a handshake on a loaded machine. */
#define TIMEOUT_MS 1500
#define PATIENCE_MS 60000 /* for what must come, on a machine with much else to do */

struct client {
    int fd;
    SSL_CTX *context;
    SSL *tls;
};

struct fixture {
    struct event_base *base;
    struct server *server;
    int done[2]; /* a pipe: the client's end of the story */
    void (*client)(struct fixture *fixture);
    char answer[65536];
    char second[65536];
    size_t first_read; /* bytes that the first SSL_read of an answer gave */
    int64_t elapsed_ms;
    struct client left; /* open after play() */
    bool draining;
    bool ok;
};

static int echo(const char *path, const char *body, size_t size, struct buf *ret, void *context)
{
    (void)context;
    if (strcmp(path, "/validate") != 0) {
        return 404;
    }
    buf_append_format(ret, "%zu:%.20s", size, body);
    return 200;
}

static int measure(const char *path, const char *beginning, size_t size, struct buf *ret,
                   void *context)
{
    (void)context;
    if (strcmp(path, "/validate") != 0) {
        return 413;
    }
    buf_append_format(ret, "too large:%zu:%.5s", size, beginning);
    return 200;
}

static void set_certificate(struct fixture *fixture, const char *name)
{
    struct error error = {0};
    struct certificate_pair authority = {0}, serving = {0};
    const char *const names[] = {name, NULL};
    assert_true(certificate_new_authority("test", 1, &authority, &error));
    assert_true(certificate_new_serving(&authority, names, 1, &serving, &error));
    assert_true(server_set_certificate(fixture->server, serving.certificate, serving.key, &error));
    certificate_pair_release(&authority);
    certificate_pair_release(&serving);
}

static int set_up_server(void **state, int64_t request_timeout_ms)
{
    struct fixture *fixture = NEW(struct fixture);
    struct error error = {0};
    signal(SIGPIPE, SIG_IGN);
    fixture->base = event_base_new();
    struct server_options options = {.listen = "127.0.0.1:0",
                                     .connections = 4,
                                     .body_maximum = BODY_MAXIMUM,
                                     .buffered_maximum = 150000,
                                     .request_timeout_ms = request_timeout_ms,
                                     .idle_timeout_ms = 20000,
                                     .handle = echo,
                                     .handle_too_large = measure};
    fixture->server = server_new(fixture->base, &options, &error);
    if (!fixture->server) {
        print_error("%s\n", error.message);
        return -1;
    }
    set_certificate(fixture, "one.example");
    *state = fixture;
    return pipe(fixture->done);
}

static int set_up(void **state)
{
    return set_up_server(state, PATIENCE_MS);
}

static int set_up_impatient(void **state)
{
    return set_up_server(state, TIMEOUT_MS);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    server_free(fixture->server);
    event_base_free(fixture->base);
    close(fixture->done[0]);
    close(fixture->done[1]);
    free(fixture);
    return 0;
}

/* ---- The client's side ---- */

static int dial(const struct fixture *fixture)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server_port(fixture->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

static bool client_open(const struct fixture *fixture, int maximum_version, struct client *ret)
{
    ret->fd = dial(fixture);
    ret->context = SSL_CTX_new(TLS_client_method());
    if (maximum_version) {
        SSL_CTX_set_security_level(ret->context, 0);
        SSL_CTX_set_min_proto_version(ret->context, 0);
        SSL_CTX_set_max_proto_version(ret->context, maximum_version);
    }
    ret->tls = SSL_new(ret->context);
    SSL_set_fd(ret->tls, ret->fd);
    return SSL_connect(ret->tls) == 1;
}

static void client_close(struct client *client)
{
    SSL_free(client->tls);
    SSL_CTX_free(client->context);
    close(client->fd);
}

static bool client_send(struct client *client, const char *text)
{
    return SSL_write(client->tls, text, (int)strlen(text)) == (int)strlen(text);
}

/* Reads one answer, by its Content-Length, into `ret`. */
static bool client_read(struct client *client, char *ret, size_t *ret_first)
{
    size_t size = 0;
    ret[0] = '\0';
    for (;;) {
        const char *head_end = strstr(ret, "\r\n\r\n");
        const char *length = strstr(ret, "Content-Length: ");
        if (head_end && (!length || strlen(head_end + 4) >= strtoul(length + 16, NULL, 10))) {
            return true;
        }
        int got = SSL_read(client->tls, ret + size, (int)(65535 - size));
        if (got <= 0) {
            return false;
        }
        if (size == 0 && ret_first) {
            *ret_first = (size_t)got;
        }
        size += (size_t)got;
        ret[size] = '\0';
    }
}

static bool client_at_end(struct client *client)
{
    char byte;
    return SSL_read(client->tls, &byte, 1) <= 0;
}

#define REQUEST "POST /validate?timeout=1s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"

static void *run_client(void *argument)
{
    struct fixture *fixture = argument;
    fixture->client(fixture);
    return write(fixture->done[1], "", 1) == 1 ? NULL : argument;
}

static void on_done(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    event_base_loopbreak(context);
}

/* Runs the client beside the loop until it has finished. */
static void play(struct fixture *fixture, void (*client)(struct fixture *fixture))
{
    pthread_t thread;
    fixture->client = client;
    struct event *done =
        event_new(fixture->base, fixture->done[0], EV_READ, on_done, fixture->base);
    event_add(done, NULL);
    int64_t start = clock_monotonic_ms();
    assert_int_equal(pthread_create(&thread, NULL, run_client, fixture), 0);
    event_base_dispatch(fixture->base);
    char byte;
    assert_int_equal(read(fixture->done[0], &byte, 1), 1);
    pthread_join(thread, NULL);
    fixture->elapsed_ms = clock_monotonic_ms() - start;
    event_free(done);
}

/* ---- The tests ---- */

static void ask_once(struct fixture *fixture)
{
    struct client client;
    fixture->ok = client_open(fixture, 0, &client) && client_send(&client, REQUEST) &&
                  client_read(&client, fixture->answer, &fixture->first_read);
    client_close(&client);
}

static void test_a_request_is_answered_in_one_record(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, ask_once);
    assert_true(fixture->ok);
    assert_non_null(strstr(fixture->answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(fixture->answer, "\r\n\r\n5:hello"));
    assert_int_equal(fixture->first_read, strlen(fixture->answer));
}

#define TRIES 20

static void ask_often(struct fixture *fixture)
{
    struct client client;
    fixture->ok = client_open(fixture, 0, &client);
    for (unsigned i = 0; fixture->ok && i < 50; i++) {
        fixture->ok = client_send(&client, REQUEST) && client_read(&client, fixture->answer, NULL);
    }
    client_close(&client);
}

static void test_no_answer_waits_for_a_delayed_acknowledgement(void **state)
{
    struct fixture *fixture = *state;
    int64_t least = INT64_MAX;
    /* A loaded machine may slow a try down; without TCP_NODELAY, each takes 50 x 40 ms. */
    for (unsigned i = 1; i <= TRIES && least >= 1000; i++) {
        play(fixture, ask_often);
        assert_true(fixture->ok);
        assert_int_equal(server_stats(fixture->server)->requests, i * 50);
        assert_int_equal(server_stats(fixture->server)->accepted, i); /* kept alive */
        least = fixture->elapsed_ms < least ? fixture->elapsed_ms : least;
    }
    assert_in_range(least, 0, 999);
}

static void ask_pipelined(struct fixture *fixture)
{
    struct client client;
    fixture->ok = client_open(fixture, 0, &client) && client_send(&client, REQUEST REQUEST) &&
                  client_read(&client, fixture->answer, NULL) &&
                  client_read(&client, fixture->second, NULL);
    client_close(&client);
}

static void test_pipelined_requests_are_answered_in_turn(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, ask_pipelined);
    assert_true(fixture->ok);
    assert_non_null(strstr(fixture->second, "5:hello"));
}

static void ask_too_much_of(struct fixture *fixture, const char *head)
{
    struct client client;
    AUTO_FREE char *body = mem_new(1, 200001);
    memset(body, 'x', 200000);
    fixture->ok = client_open(fixture, 0, &client) && client_send(&client, head);
    client_send(&client, body);
    fixture->ok =
        fixture->ok && client_read(&client, fixture->answer, NULL) && client_at_end(&client);
    client_close(&client);
}

static void ask_too_much(struct fixture *fixture)
{
    ask_too_much_of(fixture, "POST /other HTTP/1.1\r\nContent-Length: 200000\r\n\r\n");
}

static void test_a_body_over_the_limit_gets_413_and_the_end(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, ask_too_much);
    assert_true(fixture->ok);
    assert_non_null(strstr(fixture->answer, "HTTP/1.1 413 "));
    assert_int_equal(server_stats(fixture->server)->refused, 1);
}

static void ask_for_too_large_a_review(struct fixture *fixture)
{
    ask_too_much_of(fixture, "POST /validate HTTP/1.1\r\nContent-Length: 200000\r\n\r\n");
}

static void test_a_body_over_the_limit_may_be_answered_by_its_beginning(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, ask_for_too_large_a_review);
    assert_true(fixture->ok);
    assert_non_null(strstr(fixture->answer, "HTTP/1.1 200 OK"));
    assert_non_null(strstr(fixture->answer, "too large:512:xxxxx"));
}

static void ask_without_end_of_head(struct fixture *fixture)
{
    struct client client;
    AUTO_FREE char *head = mem_new(1, 20001);
    memset(head, 'x', 20000);
    fixture->ok = client_open(fixture, 0, &client) && client_send(&client, head) &&
                  client_read(&client, fixture->answer, NULL) && client_at_end(&client);
    client_close(&client);
}

static void test_a_head_over_the_limit_gets_431_and_the_end(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, ask_without_end_of_head);
    assert_true(fixture->ok);
    assert_non_null(strstr(fixture->answer, "HTTP/1.1 431 "));
}

static void ask_wrongly(struct fixture *fixture)
{
    struct client client;
    fixture->ok = client_open(fixture, 0, &client) &&
                  client_send(&client, "GET /validate HTTP/1.1\r\n\r\n") &&
                  client_read(&client, fixture->answer, NULL) &&
                  client_send(&client, "POST /other HTTP/1.1\r\nContent-Length: 0\r\n\r\n") &&
                  client_read(&client, fixture->second, NULL);
    client_close(&client);
}

static void test_other_methods_and_paths_are_refused_and_the_connection_goes_on(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, ask_wrongly);
    assert_true(fixture->ok);
    assert_non_null(strstr(fixture->answer, "HTTP/1.1 405 "));
    assert_non_null(strstr(fixture->second, "HTTP/1.1 404 "));
}

static void ask_and_wait_for_continue(struct fixture *fixture)
{
    struct client client;
    fixture->ok = client_open(fixture, 0, &client) &&
                  client_send(&client, "POST /validate HTTP/1.1\r\nContent-Length: 5\r\n"
                                       "Expect: 100-continue\r\n\r\n") &&
                  client_read(&client, fixture->answer, NULL) && client_send(&client, "hello") &&
                  client_read(&client, fixture->second, NULL);
    client_close(&client);
}

static void test_a_client_that_waits_for_continue_gets_it(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, ask_and_wait_for_continue);
    assert_true(fixture->ok);
    assert_string_equal(fixture->answer, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_non_null(strstr(fixture->second, "5:hello"));
}

static void ask_half(struct fixture *fixture)
{
    struct client client;
    fixture->ok = client_open(fixture, 0, &client) &&
                  client_send(&client, "POST /validate HTTP/1.1\r\nContent-Le") &&
                  client_at_end(&client);
    client_close(&client);
}

static void test_a_client_that_stalls_within_a_request_is_cut(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, ask_half);
    assert_true(fixture->ok);
    assert_in_range(fixture->elapsed_ms, TIMEOUT_MS, PATIENCE_MS - 1);
    assert_int_equal(server_stats(fixture->server)->timeouts, 1);
}

static void ask_late(struct fixture *fixture)
{
    struct client client;
    fixture->ok = client_open(fixture, 0, &client);
    usleep((TIMEOUT_MS + 500) * 1000);
    fixture->ok =
        fixture->ok && client_send(&client, REQUEST) && client_read(&client, fixture->answer, NULL);
    client_close(&client);
}

static void test_a_connection_made_in_reserve_is_kept(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, ask_late);
    assert_true(fixture->ok);
    assert_int_equal(server_stats(fixture->server)->timeouts, 0);
}

static void trickle(struct fixture *fixture)
{
    struct client client;
    fixture->ok = client_open(fixture, 0, &client);
    /* A byte each 50 ms keeps any limit on idleness from ever passing. */
    while (fixture->ok && client_send(&client, "P")) {
        usleep(50000);
    }
    client_close(&client);
}

static void test_a_client_that_trickles_is_cut(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, trickle);
    assert_true(fixture->ok);
    assert_in_range(fixture->elapsed_ms, TIMEOUT_MS, PATIENCE_MS - 1);
    assert_int_equal(server_stats(fixture->server)->timeouts, 1);
}

static void say_nothing(struct fixture *fixture)
{
    int fd = dial(fixture);
    char byte;
    fixture->ok = fd >= 0 && recv(fd, &byte, 1, 0) <= 0;
    close(fd);
}

static void test_a_client_that_stalls_the_handshake_is_cut(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, say_nothing);
    assert_true(fixture->ok);
    assert_in_range(fixture->elapsed_ms, TIMEOUT_MS, PATIENCE_MS - 1);
}

static void speak_no_tls(struct fixture *fixture)
{
    int fd = dial(fixture);
    char bytes[64];
    ssize_t got = send(fd, REQUEST, strlen(REQUEST), 0);
    while (got > 0) {
        got = recv(fd, bytes, sizeof bytes, 0); /* an alert, then the end */
    }
    fixture->ok = fd >= 0;
    close(fd);
}

static void test_a_client_without_tls_is_cut(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, speak_no_tls);
    assert_true(fixture->ok);
    assert_int_equal(server_stats(fixture->server)->handshakes_failed, 1);
    assert_int_equal(server_stats(fixture->server)->requests, 0);
}

static void speak_tls_1_1(struct fixture *fixture)
{
    struct client client;
    fixture->ok = !client_open(fixture, TLS1_1_VERSION, &client);
    client_close(&client);
    fixture->ok = fixture->ok && client_open(fixture, TLS1_2_VERSION, &client);
    client_close(&client);
}

static void test_tls_below_1_2_is_refused(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, speak_tls_1_1);
    assert_true(fixture->ok);
    assert_int_equal(server_stats(fixture->server)->handshakes_failed, 1);
}

static void open_many(struct fixture *fixture)
{
    struct client clients[6] = {0};
    fixture->ok = true;
    for (unsigned i = 0; i < 6 && fixture->ok; i++) {
        fixture->ok = client_open(fixture, 0, &clients[i]) && client_send(&clients[i], REQUEST) &&
                      client_read(&clients[i], fixture->answer, NULL);
    }
    fixture->ok = fixture->ok && client_at_end(&clients[0]) && client_at_end(&clients[1]) &&
                  client_send(&clients[2], REQUEST) &&
                  client_read(&clients[2], fixture->answer, NULL);
    for (unsigned i = 0; i < 6; i++) {
        client_close(&clients[i]);
    }
}

static void test_the_longest_idle_connections_make_room_for_new_ones(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, open_many);
    assert_true(fixture->ok);
    assert_int_equal(server_stats(fixture->server)->evicted, 2);
}

static void crowd_in(struct fixture *fixture)
{
    struct client good[2] = {0}, late = {0};
    int silent[40];
    fixture->ok = true;
    for (unsigned i = 0; i < 2 && fixture->ok; i++) {
        fixture->ok = client_open(fixture, 0, &good[i]) && client_send(&good[i], REQUEST) &&
                      client_read(&good[i], fixture->answer, NULL);
    }
    for (unsigned i = 0; i < 40; i++) {
        silent[i] = dial(fixture);
    }
    for (unsigned i = 0; i < 2 && fixture->ok; i++) {
        fixture->ok =
            client_send(&good[i], REQUEST) && client_read(&good[i], fixture->answer, NULL);
    }
    fixture->ok = fixture->ok && client_open(fixture, 0, &late) && client_send(&late, REQUEST) &&
                  client_read(&late, fixture->answer, NULL);
    for (unsigned i = 0; i < 40; i++) {
        close(silent[i]);
    }
    client_close(&late);
    client_close(&good[0]);
    client_close(&good[1]);
}

static void test_a_crowd_of_silent_newcomers_pushes_out_none_that_was_served(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, crowd_in);
    assert_true(fixture->ok);
    assert_int_equal(server_stats(fixture->server)->accepted, 43);
    assert_true(server_stats(fixture->server)->evicted > 0);
}

static void hoard(struct fixture *fixture)
{
    struct client clients[3] = {0};
    AUTO_FREE char *body = mem_new(1, 90001);
    memset(body, 'x', 80000);
    for (unsigned i = 0; i < 2; i++) {
        body[80000 - i] = '\0'; /* the second is smaller, so that the first is the largest */
        fixture->ok =
            client_open(fixture, 0, &clients[i]) &&
            client_send(&clients[i], "POST /validate HTTP/1.1\r\nContent-Length: 90000\r\n\r\n") &&
            client_send(&clients[i], body);
    }
    fixture->ok = fixture->ok && client_at_end(&clients[0]) &&
                  client_open(fixture, 0, &clients[2]) && client_send(&clients[2], REQUEST) &&
                  client_read(&clients[2], fixture->answer, NULL);
    for (unsigned i = 0; i < 3; i++) {
        client_close(&clients[i]);
    }
}

static void test_the_largest_unfinished_request_goes_when_too_much_is_buffered(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, hoard);
    assert_true(fixture->ok);
    assert_int_equal(server_stats(fixture->server)->evicted, 1);
}

static void name_of_peer(const struct client *client, char *ret)
{
    X509 *certificate = SSL_get1_peer_certificate(client->tls);
    bool one = certificate && X509_check_host(certificate, "one.example", 0, 0, NULL) == 1;
    memcpy(ret, one ? "one" : "two", sizeof "one");
    X509_free(certificate);
}

struct swap {
    struct fixture *fixture;
    struct event *timer;
};

static void on_swap(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct swap *swap = context;
    if (server_stats(swap->fixture->server)->requests == 0) {
        struct timeval soon = {.tv_usec = 1000};
        event_add(swap->timer, &soon);
        return;
    }
    set_certificate(swap->fixture, "two.example");
}

static void watch_rotation(struct fixture *fixture)
{
    struct client old, fresh;
    char name[8] = "one";
    fixture->ok = client_open(fixture, 0, &old) && client_send(&old, REQUEST) &&
                  client_read(&old, fixture->answer, NULL);
    while (fixture->ok && strcmp(name, "one") == 0) {
        fixture->ok = client_open(fixture, 0, &fresh);
        name_of_peer(&fresh, name);
        client_close(&fresh);
    }
    fixture->ok =
        fixture->ok && client_send(&old, REQUEST) && client_read(&old, fixture->answer, NULL);
    client_close(&old);
}

static void test_a_new_certificate_is_served_and_open_connections_go_on(void **state)
{
    struct fixture *fixture = *state;
    struct swap swap = {.fixture = fixture};
    swap.timer = evtimer_new(fixture->base, on_swap, &swap);
    struct timeval soon = {.tv_usec = 1000};
    event_add(swap.timer, &soon);
    play(fixture, watch_rotation);
    event_free(swap.timer);
    assert_true(fixture->ok);
}

static void test_a_certificate_that_does_not_fit_its_key_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct certificate_pair one = {0}, two = {0};
    struct error error = {0};
    assert_true(certificate_new_authority("a", 1, &one, &error));
    assert_true(certificate_new_authority("b", 1, &two, &error));
    assert_false(server_set_certificate(fixture->server, one.certificate, two.key, &error));
    assert_false(server_set_certificate(fixture->server, "", "", &error));
    assert_int_equal(error.code, ERROR_INVALID);
    certificate_pair_release(&one);
    certificate_pair_release(&two);
    play(fixture, ask_once); /* the old one is still served */
    assert_true(fixture->ok);
}

/* Idle when the drain begins, it asks once more, as an API server that does not know yet. */
static void ask_while_draining(struct fixture *fixture)
{
    char answer[65536];
    struct client client;
    fixture->ok = client_open(fixture, 0, &client) && client_send(&client, REQUEST) &&
                  client_read(&client, answer, NULL) && !strstr(answer, "Connection: close");
    while (!__atomic_load_n(&fixture->draining, __ATOMIC_ACQUIRE)) {
        usleep(1000);
    }
    fixture->ok = fixture->ok && client_send(&client, REQUEST) &&
                  client_read(&client, answer, NULL) && strstr(answer, "Connection: close") &&
                  client_at_end(&client);
    client_close(&client);
}

static void begin_drain(evutil_socket_t fd, short what, void *context)
{
    struct fixture *fixture = context;
    (void)fd, (void)what;
    __atomic_store_n(&fixture->draining, true, __ATOMIC_RELEASE);
}

static void test_a_drain_answers_what_comes_on_open_connections_and_ends_them(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    fixture->client = ask_while_draining;
    assert_int_equal(pthread_create(&thread, NULL, run_client, fixture), 0);
    while (server_stats(fixture->server)->requests == 0) {
        event_base_loop(fixture->base, EVLOOP_ONCE);
    }
    const struct timeval at_once = {0};
    event_base_once(fixture->base, -1, EV_TIMEOUT, begin_drain, fixture, &at_once);
    server_drain(fixture->server, 10000);
    assert_int_equal(server_stats(fixture->server)->connections, 0);
    assert_int_equal(server_stats(fixture->server)->requests, 2);
    pthread_join(thread, NULL);
    assert_true(fixture->ok);
}

/* Open until the test ends. */
static void leave_open(struct fixture *fixture)
{
    static char answer[65536];
    fixture->ok = client_open(fixture, 0, &fixture->left) && client_send(&fixture->left, REQUEST) &&
                  client_read(&fixture->left, answer, NULL);
}

static void test_a_drain_closes_connections_that_stay_idle(void **state)
{
    struct fixture *fixture = *state;
    play(fixture, leave_open);
    assert_true(fixture->ok);
    assert_int_equal(server_stats(fixture->server)->connections, 1);
    server_drain(fixture->server, 10000);
    assert_int_equal(server_stats(fixture->server)->connections, 0);
    client_close(&fixture->left);
}

static void ask_until_told_to_go(struct fixture *fixture)
{
    char answer[65536];
    struct client client;
    fixture->ok = client_open(fixture, 0, &client);
    do {
        fixture->ok = fixture->ok && client_send(&client, REQUEST) &&
                      client_read(&client, answer, NULL) && strstr(answer, "hello");
        usleep(1000);
    } while (fixture->ok && !strstr(answer, "Connection: close"));
    fixture->ok = fixture->ok && client_at_end(&client);
    client_close(&client);
}

static void test_an_old_connection_ends_with_an_answer(void **state)
{
    struct fixture *fixture = *state;
    fixture->server->options.age_maximum_ms = TIMEOUT_MS;
    play(fixture, ask_until_told_to_go);
    assert_true(fixture->ok);
    assert_true(server_stats(fixture->server)->requests > 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define IMPATIENT(test) cmocka_unit_test_setup_teardown(test, set_up_impatient, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_request_is_answered_in_one_record),
        CASE(test_no_answer_waits_for_a_delayed_acknowledgement),
        CASE(test_pipelined_requests_are_answered_in_turn),
        CASE(test_a_body_over_the_limit_gets_413_and_the_end),
        CASE(test_a_body_over_the_limit_may_be_answered_by_its_beginning),
        CASE(test_a_head_over_the_limit_gets_431_and_the_end),
        CASE(test_other_methods_and_paths_are_refused_and_the_connection_goes_on),
        CASE(test_a_client_that_waits_for_continue_gets_it),
        IMPATIENT(test_a_client_that_stalls_within_a_request_is_cut),
        IMPATIENT(test_a_connection_made_in_reserve_is_kept),
        IMPATIENT(test_a_client_that_trickles_is_cut),
        IMPATIENT(test_a_client_that_stalls_the_handshake_is_cut),
        CASE(test_a_client_without_tls_is_cut),
        CASE(test_tls_below_1_2_is_refused),
        CASE(test_the_longest_idle_connections_make_room_for_new_ones),
        CASE(test_a_crowd_of_silent_newcomers_pushes_out_none_that_was_served),
        CASE(test_the_largest_unfinished_request_goes_when_too_much_is_buffered),
        CASE(test_a_new_certificate_is_served_and_open_connections_go_on),
        CASE(test_a_certificate_that_does_not_fit_its_key_is_refused),
        CASE(test_a_drain_answers_what_comes_on_open_connections_and_ends_them),
        CASE(test_a_drain_closes_connections_that_stay_idle),
        CASE(test_an_old_connection_ends_with_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
