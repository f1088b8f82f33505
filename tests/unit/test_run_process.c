/* Unit tests of common/run/process.c. Each process under test runs in a forked child, since it is
 * ended by signals; the test talks to it over HTTP. */
#include "common/run/process.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/run/metrics.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct process_settings settings = {
    .log_level = "error", .listen = "127.0.0.1:0", .instance = "tester-0"};

struct running {
    pid_t pid;
    unsigned port;
    int told; /* what the process tells of its drain */
};

struct hooks {
    void (*opened)(struct process *process);
    void (*drain)(void *context);
};

static int told_by_child; /* in the child: where to tell */

static struct running start(const struct hooks *hooks)
{
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    struct running running = {.told = pair[0]};
    running.pid = fork();
    if (running.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        told_by_child = pair[1];
        struct process *process;
        struct error error;
        if (!process_open("tester", &settings, &process, &error)) {
            _exit(process_fail("tester", &error));
        }
        if (hooks->opened) {
            hooks->opened(process);
        }
        unsigned port = process_port(process);
        if (write(pair[1], &port, sizeof port) != (ssize_t)sizeof port) {
            _exit(9);
        }
        int status = process_run(process, hooks->drain, process);
        process_free(process);
        _exit(status);
    }
    close(pair[1]);
    assert_int_equal(read(pair[0], &running.port, sizeof running.port), sizeof running.port);
    return running;
}

/* The exit status of the process: its code, or 128 + the signal. */
static int end_of(struct running *running)
{
    int status = 0;
    assert_int_equal(waitpid(running->pid, &status, 0), running->pid);
    close(running->told);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Sends a request as it stands and returns the answer as it stands. */
static char *ask(const struct running *running, const char *request)
{
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)running->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    struct buf answer;
    buf_init(&answer, 1 << 20);
    struct error error;
    if (!buf_read_fd(&answer, fd, "the answer", &error)) {
        buf_append_string(&answer, error.message); /* a reset: the server closed first */
    }
    return answer.data;
}

static char *ask_path(const struct running *running, const char *path)
{
    AUTO_FREE char *request =
        mem_format("GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path);
    return ask(running, request);
}

static void assert_part(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("\"%s\" is not in:\n%s", part, text);
    }
}

static void the_endpoint_serves_metrics_and_health(void **state)
{
    (void)state;
    struct hooks hooks = {0};
    struct running running = start(&hooks);
    AUTO_FREE char *metrics = ask_path(&running, "/metrics");
    assert_part(metrics, "HTTP/1.1 200");
    assert_part(metrics, "Content-Type: text/plain; version=0.0.4");
    assert_part(metrics, "gitmoor_build_info{version=");
    AUTO_FREE char *health = ask_path(&running, "/healthz");
    assert_part(health, "HTTP/1.1 200");
    AUTO_FREE char *other = ask_path(&running, "/debug");
    assert_part(other, "HTTP/1.1 404");
    kill(running.pid, SIGTERM);
    assert_int_equal(end_of(&running), 0);
}

static void name_parts(struct process *process)
{
    process_set_ready(process, "watch", false);
    process_set_ready(process, "bus", false);
    process_set_ready(process, "bus", true);
}

static void it_is_ready_when_every_part_is(void **state)
{
    (void)state;
    struct hooks hooks = {.opened = name_parts};
    struct running running = start(&hooks);
    AUTO_FREE char *unready = ask_path(&running, "/readyz");
    assert_part(unready, "HTTP/1.1 503");
    assert_part(unready, "\r\n\r\nnot ready: watch\n");
    kill(running.pid, SIGINT);
    assert_int_equal(end_of(&running), 0);

    struct hooks nothing = {0};
    running = start(&nothing);
    AUTO_FREE char *ready = ask_path(&running, "/readyz");
    assert_part(ready, "HTTP/1.1 200");
    kill(running.pid, SIGTERM);
    assert_int_equal(end_of(&running), 0);
}

static void bad_requests_do_not_harm(void **state)
{
    (void)state;
    struct hooks hooks = {0};
    struct running running = start(&hooks);
    AUTO_FREE char *large = mem_new(100001, 1);
    memset(large, 'a', 100000);
    AUTO_FREE char *long_header =
        mem_format("GET /metrics HTTP/1.1\r\nX: %s\r\nConnection: close\r\n\r\n", large);
    AUTO_FREE char *answer = ask(&running, long_header);
    assert_null(strstr(answer, "HTTP/1.1 200"));
    AUTO_FREE char *posted =
        ask(&running, "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_null(strstr(posted, "HTTP/1.1 200"));
    AUTO_FREE char *garbage = ask(&running, "\x16\x03\x01\r\n\r\n");
    assert_null(strstr(garbage, "HTTP/1.1 200"));
    AUTO_FREE char *health = ask_path(&running, "/healthz");
    assert_part(health, "HTTP/1.1 200");
    kill(running.pid, SIGTERM);
    assert_int_equal(end_of(&running), 0);
}

static void tell_drained(void *context)
{
    (void)context;
    assert_int_equal(write(told_by_child, "d", 1), 1);
}

static void a_signal_drains(void **state)
{
    (void)state;
    struct hooks hooks = {.drain = tell_drained};
    struct running running = start(&hooks);
    kill(running.pid, SIGTERM);
    char told = 0;
    assert_int_equal(read(running.told, &told, 1), 1);
    assert_int_equal(told, 'd');
    assert_int_equal(end_of(&running), 0);
}

static void drain_for_ever(void *context)
{
    (void)context;
    tell_drained(NULL);
    for (;;) {
        pause();
    }
}

static void a_second_signal_ends_a_drain_that_hangs(void **state)
{
    (void)state;
    struct hooks hooks = {.drain = drain_for_ever};
    struct running running = start(&hooks);
    kill(running.pid, SIGTERM);
    char told = 0;
    assert_int_equal(read(running.told, &told, 1), 1);
    kill(running.pid, SIGTERM);
    assert_int_equal(end_of(&running), 128 + SIGTERM);
}

static void drain_in_the_loop(void *context)
{
    struct timeval soon = {.tv_usec = 1000};
    event_base_loopexit(process_loop(context), &soon);
    event_base_dispatch(process_loop(context));
    tell_drained(NULL);
}

static void a_drain_may_run_the_loop(void **state)
{
    (void)state;
    struct hooks hooks = {.drain = drain_in_the_loop};
    struct running running = start(&hooks);
    kill(running.pid, SIGTERM);
    assert_int_equal(end_of(&running), 0);
}

static void it_may_be_stopped_before_it_runs(void **state)
{
    (void)state;
    struct hooks hooks = {.opened = process_stop};
    struct running running = start(&hooks);
    assert_int_equal(end_of(&running), 0);
}

static void an_address_that_is_none_or_taken_is_refused(void **state)
{
    (void)state;
    struct process *process = NULL;
    struct error error;
    static const char *const wrong[] = {"localhost", "127.0.0.1:http", "127.0.0.1:65536", ":"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct process_settings other = settings;
        other.listen = wrong[i];
        assert_false(process_open("tester", &other, &process, &error));
        assert_part(error.message, "is not HOST:PORT");
    }
    assert_true(process_open("tester", &settings, &process, &error));
    assert_string_equal(process_instance(process), "tester-0");
    AUTO_FREE char *taken = mem_format("127.0.0.1:%u", process_port(process));
    struct process_settings other = settings;
    other.listen = taken;
    struct process *second = NULL;
    assert_false(process_open("tester", &other, &second, &error));
    assert_part(error.message, "cannot serve /metrics at 127.0.0.1:");
    process_free(process);
}

static void without_an_instance_the_host_name_is_taken(void **state)
{
    (void)state;
    struct process_settings other = {.log_level = "error", .listen = ""};
    struct process *process = NULL;
    assert_true(process_open("tester", &other, &process, NULL));
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    assert_string_equal(process_instance(process), host);
    assert_int_equal(process_port(process), 0);
    process_free(process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_endpoint_serves_metrics_and_health),
        cmocka_unit_test(it_is_ready_when_every_part_is),
        cmocka_unit_test(bad_requests_do_not_harm),
        cmocka_unit_test(a_signal_drains),
        cmocka_unit_test(a_second_signal_ends_a_drain_that_hangs),
        cmocka_unit_test(a_drain_may_run_the_loop),
        cmocka_unit_test(it_may_be_stopped_before_it_runs),
        cmocka_unit_test(an_address_that_is_none_or_taken_is_refused),
        cmocka_unit_test(without_an_instance_the_host_name_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
