/* The pool, with shell scripts for workers. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "fetcher/pool.h"

#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct done {
    unsigned count;
    unsigned order; /* of all, when it was called */
    char answer[64];
    char pack[64];
    struct error error;
};

#define PATIENCE_MS 60000 /* for what must come, on a machine with much else to do */

static unsigned finished, most_running;
static struct pool *pool;
static struct event_base *base;

static void on_done(const cJSON *answer, const char *pack, size_t pack_size,
                    const struct error *error, void *context)
{
    struct done *done = context;
    done->count++;
    done->order = ++finished;
    assert_true((answer != NULL) == (error == NULL));
    snprintf(done->answer, sizeof done->answer, "%s", text_or_empty(json_string(answer, "said")));
    snprintf(done->pack, sizeof done->pack, "%.*s", (int)pack_size, pack ? pack : "");
    if (error) {
        done->error = *error;
    }
}

static void open_pool(const char *script, unsigned children)
{
    static const char *command[4];
    command[0] = "/bin/sh";
    command[1] = "-c";
    command[2] = script;
    finished = most_running = 0;
    base = event_base_new();
    pool = pool_new(base, &(struct pool_options){.children = children, .command = command});
}

static void close_pool(void)
{
    pool_free(pool);
    event_base_free(base);
}

static struct job *add(struct done *done, bool urgent, int64_t timeout_ms)
{
    memset(done, 0, sizeof *done);
    cJSON *request AUTO_JSON = json_new_object();
    json_add_string(request, "word", "secret");
    const struct job_options options = {
        .request = request, .output_maximum = 1000, .timeout_ms = timeout_ms, .urgent = urgent};
    return pool_add(pool, &options, on_done, done);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what, (void)context;
    unsigned now = pool_running(pool);
    most_running = now > most_running ? now : most_running;
}

static void run_until(unsigned count)
{
    struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    const struct timeval period = {.tv_usec = 1000};
    event_add(tick, &period);
    int64_t end = clock_monotonic_ms() + PATIENCE_MS;
    while (finished < count && clock_monotonic_ms() < end) {
        event_base_loop(base, EVLOOP_ONCE);
    }
    event_free(tick);
    assert_int_equal(finished, count);
}

struct output_case {
    const char *sentence, *script;
    const char *answer, *pack;
    const char *words; /* in the error; NULL: there is an answer */
};

static const struct output_case outputs[] = {
    {"an answer alone", "echo '{\"said\":\"a\"}'", "a", "", NULL},
    {"a pack before it", "printf 'P\\nACK\\n{\"said\":\"a\"}\\n'", "a", "P\nACK", NULL},
    {"an empty pack", "printf '\\n{\"said\":\"a\"}\\n'", "a", "", NULL},
    {"the request is what it reads", "grep -q '^{\"word\":\"secret\"}$' && echo '{\"said\":\"a\"}'",
     "a", "", NULL},
    {"no answer", "true", "", "", "no answer"},
    {"no end of line", "printf '{\"said\":\"a\"}'", "", "", "no answer"},
    {"no JSON", "echo hello", "", "", "cannot be read"},
    {"it fails", "echo why >&2; exit 1", "", "", "why"},
    {"it dies", "kill -SEGV $$", "", "", "signal"},
    {"it says too much", "head -c 2000 /dev/zero", "", "", "1000"},
};

static void what_a_worker_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        struct done done;
        open_pool(outputs[i].script, 1);
        add(&done, false, PATIENCE_MS);
        run_until(1);
        close_pool();
        const char *words = outputs[i].words;
        if (done.count != 1 || !text_equal(done.answer, outputs[i].answer) ||
            (!words && !text_equal(done.pack, outputs[i].pack)) ||
            (words && !strstr(done.error.message, words))) {
            fail_msg("%s: \"%s\" \"%s\" \"%s\"", outputs[i].sentence, done.answer, done.pack,
                     done.error.message);
        }
    }
}

static void no_more_run_at_once_than_may(void **state)
{
    (void)state;
    struct done done[8];
    open_pool("sleep 0.05; echo '{}'", 3);
    for (int i = 0; i < 8; i++) {
        add(&done[i], false, PATIENCE_MS);
    }
    assert_int_equal(pool_waiting(pool), 8);
    run_until(8);
    assert_int_equal(most_running, 3);
    assert_int_equal(pool_running(pool) + pool_waiting(pool), 0);
    close_pool();
}

static void packs_go_before_fetches(void **state)
{
    (void)state;
    struct done fetch[3], pack[2];
    open_pool("echo '{}'", 1);
    add(&fetch[0], false, PATIENCE_MS);
    add(&fetch[1], false, PATIENCE_MS);
    add(&pack[0], true, PATIENCE_MS);
    add(&fetch[2], false, PATIENCE_MS);
    add(&pack[1], true, PATIENCE_MS);
    run_until(5);
    assert_int_equal(pack[0].order, 1);
    assert_int_equal(pack[1].order, 2);
    assert_int_equal(fetch[0].order, 3);
    assert_int_equal(fetch[2].order, 5);
    close_pool();
}

static void a_worker_that_hangs_is_killed_and_the_next_goes_on(void **state)
{
    (void)state;
    struct done first, second;
    open_pool("sleep 60", 1);
    add(&first, false, 50);
    add(&second, false, 50);
    run_until(2);
    assert_int_equal(first.error.code, ERROR_TIMEOUT);
    assert_int_equal(second.error.code, ERROR_TIMEOUT);
    close_pool();
}

static void a_cancelled_job_is_never_heard_of_again(void **state)
{
    (void)state;
    struct done waiting, running, other;
    open_pool("sleep 0.05; echo '{}'", 1);
    struct job *first = add(&running, false, PATIENCE_MS);
    struct job *second = add(&waiting, false, PATIENCE_MS);
    add(&other, false, PATIENCE_MS);
    while (pool_running(pool) == 0) {
        event_base_loop(base, EVLOOP_ONCE);
    }
    job_cancel(first);
    job_cancel(second);
    run_until(1);
    assert_int_equal(running.count + waiting.count, 0);
    assert_int_equal(other.count, 1);
    close_pool();
}

static void closing_kills_what_runs(void **state)
{
    (void)state;
    struct done done[3];
    open_pool("sleep 60", 2);
    for (int i = 0; i < 3; i++) {
        add(&done[i], false, PATIENCE_MS);
    }
    while (pool_running(pool) < 2) {
        event_base_loop(base, EVLOOP_ONCE);
    }
    int64_t began = clock_monotonic_ms();
    close_pool();
    assert_true(clock_monotonic_ms() - began < 30000); /* not the minute that they sleep */
    assert_int_equal(finished, 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as process_open does: a worker need not read its request */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_worker_says),
        cmocka_unit_test(no_more_run_at_once_than_may),
        cmocka_unit_test(packs_go_before_fetches),
        cmocka_unit_test(a_worker_that_hangs_is_killed_and_the_next_goes_on),
        cmocka_unit_test(a_cancelled_job_is_never_heard_of_again),
        cmocka_unit_test(closing_kills_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
