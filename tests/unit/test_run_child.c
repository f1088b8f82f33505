/* Unit tests of common/run/child.c and spawn.c. The test program is its own child: called with a
 * word, it behaves as the word says. */
#include "common/run/child.h"

#include "common/base/buf.h"
#include "common/base/memory.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct result {
    struct buf output;
    int code;
    bool failed;
    struct error error;
    unsigned calls;
};

static void on_done(const char *output, size_t size, int exit_code, const struct error *error,
                    void *context)
{
    struct result *result = context;
    result->calls++;
    buf_append(&result->output, output, size);
    result->code = exit_code;
    result->failed = error != NULL;
    if (error) {
        result->error = *error;
    }
}

static struct child_options options_for(const char *const *argv)
{
    return (struct child_options){
        .argv = argv, .output_maximum = (size_t)4 << 20, .timeout_ms = 20000};
}

/* Runs one child to its end. */
static struct result run(const struct child_options *options)
{
    struct event_base *base = event_base_new();
    struct result result = {0};
    buf_init(&result.output, (size_t)8 << 20);
    struct error error;
    if (!child_start(base, options, on_done, &result, &error)) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(result.calls, 0);
    event_base_dispatch(base); /* ends when the child's events are gone */
    event_base_free(base);
    assert_int_equal(result.calls, 1);
    return result;
}

static struct result run_word(const char *word)
{
    const char *argv[] = {child_self_path(), word, NULL};
    struct child_options options = options_for(argv);
    return run(&options);
}

static void input_goes_in_and_output_comes_out_whole(void **state)
{
    (void)state;
    size_t size = (size_t)2 << 20;
    AUTO_FREE char *input = mem_new(size, 1);
    for (size_t i = 0; i < size; i++) {
        input[i] = (char)(i * 2654435761u >> 13);
    }
    const char *argv[] = {child_self_path(), "cat", NULL};
    struct child_options options = options_for(argv);
    options.input = input;
    options.input_size = size;
    struct result result = run(&options);
    assert_false(result.failed);
    assert_int_equal(result.code, 0);
    assert_int_equal(result.output.size, size);
    assert_memory_equal(result.output.data, input, size);
    buf_release(&result.output);
}

static void input_that_the_child_does_not_read_is_no_failure(void **state)
{
    (void)state;
    AUTO_FREE char *input = mem_new(1 << 20, 1);
    const char *argv[] = {child_self_path(), "true", NULL};
    struct child_options options = options_for(argv);
    options.input = input;
    options.input_size = 1 << 20;
    signal(SIGPIPE, SIG_IGN); /* as process_open does */
    struct result result = run(&options);
    assert_false(result.failed);
    buf_release(&result.output);
}

static void an_exit_code_is_told_with_the_end_of_standard_error(void **state)
{
    (void)state;
    struct result result = run_word("complain");
    assert_true(result.failed);
    assert_int_equal(result.code, 3);
    assert_int_equal(result.error.code, ERROR_INVALID);
    assert_string_equal(result.error.message, "no such branch\nmain");
    assert_string_equal(result.output.data, "partial");
    buf_release(&result.output);
}

static void of_much_standard_error_the_end_is_kept(void **state)
{
    (void)state;
    struct result result = run_word("chatter");
    assert_true(result.failed);
    assert_true(strlen(result.error.message) < ERROR_MESSAGE_SIZE);
    assert_non_null(strstr(result.error.message, "line 9999"));
    assert_int_equal(strncmp(result.error.message, "line ", 5), 0);
    buf_release(&result.output);
}

static void a_deadline_kills_the_whole_group(void **state)
{
    (void)state;
    const char *argv[] = {child_self_path(), "hang", NULL};
    struct child_options options = options_for(argv);
    options.timeout_ms = 300;
    struct result result = run(&options);
    assert_true(result.failed);
    assert_int_equal(result.error.code, ERROR_TIMEOUT);
    assert_non_null(strstr(result.error.message, "within 300 ms"));
    /* It printed the process id of a child of its own, which must be gone too. */
    pid_t grandchild = (pid_t)strtol(result.output.data, NULL, 10);
    assert_true(grandchild > 1);
    for (int i = 0; i < 1000 && kill(grandchild, 0) == 0; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/stat", (int)grandchild);
        AUTO_BUF struct buf stat;
        buf_init(&stat, 4096);
        if (!buf_read_file(&stat, path, NULL) || strstr(stat.data, ") Z ")) {
            break; /* dead, and waits for whoever adopted it */
        }
        assert_true(i < 999);
        poll(NULL, 0, 5);
    }
    buf_release(&result.output);
}

static void a_grandchild_that_holds_the_pipes_does_not_delay_the_end(void **state)
{
    (void)state;
    struct result result = run_word("leave-grandchild");
    assert_false(result.failed);
    assert_string_equal(result.output.data, "done");
    buf_release(&result.output);
}

static void too_much_output_is_a_failure(void **state)
{
    (void)state;
    const char *argv[] = {child_self_path(), "flood", NULL};
    struct child_options options = options_for(argv);
    options.output_maximum = 100000;
    struct result result = run(&options);
    assert_true(result.failed);
    assert_int_equal(result.error.code, ERROR_LIMIT);
    assert_true(result.output.size <= 100000);
    buf_release(&result.output);
}

/* Takes whole lines of four bytes, and the last of them never. */
static size_t take_lines(const char *output, size_t size, void *context)
{
    struct result *result = context;
    size_t taken = size > 4 ? (size - 1) / 4 * 4 : 0;
    result->calls += 100;
    buf_append(&result->output, output, taken);
    return taken;
}

static void output_is_handed_over_as_it_comes_and_the_rest_at_the_end(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct result result = {0};
    struct error error;
    size_t size = (size_t)1 << 20;
    AUTO_FREE char *input = mem_new(size, 1);
    memset(input, 'x', size);
    for (size_t i = 3; i < size; i += 4) {
        input[i] = '\n';
    }
    const char *argv[] = {child_self_path(), "cat", NULL};
    struct child_options options = options_for(argv);
    options.input = input;
    options.input_size = size;
    options.part = take_lines;
    buf_init(&result.output, size);
    assert_non_null(child_start(base, &options, on_done, &result, &error));
    event_base_dispatch(base);
    event_base_free(base);
    assert_int_equal(result.calls % 100, 1);
    assert_true(result.calls > 200); /* in several pieces */
    assert_int_equal(result.output.size, size);
    assert_memory_equal(result.output.data, input, size);
    buf_release(&result.output);
}

static size_t take_all(const char *output, size_t size, void *context)
{
    (void)output;
    (void)context;
    return size;
}

static void output_that_is_taken_counts_too(void **state)
{
    (void)state;
    const char *argv[] = {child_self_path(), "flood", NULL};
    struct child_options options = options_for(argv);
    options.output_maximum = 100000;
    options.part = take_all;
    struct result result = run(&options);
    assert_int_equal(result.error.code, ERROR_LIMIT);
    buf_release(&result.output);
}

static void a_signal_is_told(void **state)
{
    (void)state;
    struct result result = run_word("segfault");
    assert_true(result.failed);
    assert_int_equal(result.code, 128 + SIGKILL);
    assert_int_equal(result.error.code, ERROR_SYSTEM);
    assert_non_null(strstr(result.error.message, "signal 9"));
    buf_release(&result.output);
}

static void cpu_time_is_limited(void **state)
{
    (void)state;
    const char *argv[] = {child_self_path(), "spin", NULL};
    struct child_options options = options_for(argv);
    options.cpu_seconds = 1;
    options.timeout_ms = 100000; /* a busy machine gives that second slowly */
    struct result result = run(&options);
    assert_true(result.failed);
    assert_int_equal(result.error.code, ERROR_LIMIT);
    assert_non_null(strstr(result.error.message, "CPU time"));
    buf_release(&result.output);
}

static void the_child_has_limits_no_foreign_descriptors_and_its_own_group(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(pipe(pair), 0); /* not close-on-exec */
    const char *argv[] = {child_self_path(), "describe", NULL};
    struct child_options options = options_for(argv);
#ifndef __SANITIZE_ADDRESS__
    options.memory_maximum = (int64_t)1 << 30;
#endif
    struct result result = run(&options);
    close(pair[0]);
    close(pair[1]);
    assert_false(result.failed);
    assert_non_null(strstr(result.output.data, "descriptors 3 "));
    assert_non_null(strstr(result.output.data, "leader 1 "));
    assert_non_null(strstr(result.output.data, "core 0 "));
    assert_non_null(strstr(result.output.data, "pipe default "));
    assert_non_null(strstr(result.output.data, "variables 2 LANG C.UTF-8"));
#ifndef __SANITIZE_ADDRESS__
    assert_non_null(strstr(result.output.data, "memory 1073741824 "));
#endif
    buf_release(&result.output);
}

static void a_program_that_is_not_there_does_not_start(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    const char *argv[] = {"/nonexistent/helm", NULL};
    struct child_options options = options_for(argv);
    struct error error;
    assert_null(child_start(base, &options, on_done, NULL, &error));
    assert_int_equal(error.sys, ENOENT);
    assert_non_null(strstr(error.message, "cannot run /nonexistent/helm: No such file"));
    event_base_free(base);
}

static void a_cancelled_child_is_gone_and_calls_nobody(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    const char *argv[] = {child_self_path(), "hang", NULL};
    struct child_options options = options_for(argv);
    struct result result = {0};
    struct child *child = child_start(base, &options, on_done, &result, NULL);
    assert_non_null(child);
    child_cancel(child);
    event_base_dispatch(base);
    assert_int_equal(result.calls, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    event_base_free(base);
}

/* "parent-that-dies" starts "wait" and kills itself. */
static void a_child_dies_with_its_parent(void **state)
{
    (void)state;
    struct result result = run_word("parent-that-dies");
    pid_t orphan = (pid_t)strtol(result.output.data, NULL, 10);
    assert_true(orphan > 1);
    for (int i = 0;; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/stat", (int)orphan);
        AUTO_BUF struct buf stat;
        buf_init(&stat, 4096);
        if (!buf_read_file(&stat, path, NULL) || strstr(stat.data, ") Z ")) {
            break;
        }
        assert_true(i < 2000);
        poll(NULL, 0, 5);
    }
    buf_release(&result.output);
}

/* ---- The child's side ---- */

static pid_t fork_sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    return pid;
}

static void describe(void)
{
    int descriptors = 0;
    for (int fd = 0; fd < 1024; fd++) {
        descriptors += fcntl(fd, F_GETFD) >= 0;
    }
    struct rlimit core, memory;
    getrlimit(RLIMIT_CORE, &core);
    getrlimit(RLIMIT_DATA, &memory);
    struct sigaction action;
    sigaction(SIGPIPE, NULL, &action);
    int variables = 0;
    for (char **variable = environ; *variable; variable++) {
        variables++;
    }
    printf("descriptors %d leader %d core %llu memory %llu pipe %s variables %d LANG %s\n",
           descriptors, getpgrp() == getpid(), (unsigned long long)core.rlim_cur,
           (unsigned long long)memory.rlim_cur,
           action.sa_handler == SIG_DFL ? "default" : "not default", variables, getenv("LANG"));
}

static void parent_that_dies(void)
{
    struct event_base *base = event_base_new();
    const char *argv[] = {child_self_path(), "wait", NULL};
    struct child_options options = options_for(argv);
    child_start(base, &options, on_done, NULL, NULL);
    /* Its process id is nobody's business but the kernel's. */
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    AUTO_BUF struct buf children;
    buf_init(&children, 4096);
    buf_read_file(&children, path, NULL);
    printf("%s\n", children.data);
    fflush(stdout);
    kill(getpid(), SIGKILL);
}

static int act(const char *word)
{
    if (strcmp(word, "cat") == 0) {
        char chunk[65536];
        for (ssize_t got = read(0, chunk, sizeof chunk); got > 0; got = read(0, chunk, 65536)) {
            for (ssize_t sent = 0; sent < got;) {
                sent += write(1, chunk + sent, (size_t)(got - sent));
            }
        }
    } else if (strcmp(word, "complain") == 0) {
        printf("partial");
        fprintf(stderr, "\nno such branch\nmain\n\n");
        return 3;
    } else if (strcmp(word, "chatter") == 0) {
        for (int i = 0; i < 10000; i++) {
            fprintf(stderr, "line %d\n", i);
        }
        return 1;
    } else if (strcmp(word, "hang") == 0) {
        printf("%d\n", (int)fork_sleeper());
        fflush(stdout);
        for (;;) {
            pause();
        }
    } else if (strcmp(word, "wait") == 0) {
        for (;;) {
            pause();
        }
    } else if (strcmp(word, "leave-grandchild") == 0) {
        fork_sleeper();
        printf("done");
    } else if (strcmp(word, "flood") == 0) {
        for (;;) {
            printf("and more ");
        }
    } else if (strcmp(word, "segfault") == 0) {
        kill(getpid(), SIGKILL); /* what a sanitizer does not intercept */
    } else if (strcmp(word, "spin") == 0) {
        for (volatile unsigned i = 0;; i++) {
        }
    } else if (strcmp(word, "describe") == 0) {
        describe();
    } else if (strcmp(word, "parent-that-dies") == 0) {
        parent_that_dies();
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        return act(argv[1]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_goes_in_and_output_comes_out_whole),
        cmocka_unit_test(input_that_the_child_does_not_read_is_no_failure),
        cmocka_unit_test(an_exit_code_is_told_with_the_end_of_standard_error),
        cmocka_unit_test(of_much_standard_error_the_end_is_kept),
        cmocka_unit_test(a_deadline_kills_the_whole_group),
        cmocka_unit_test(a_grandchild_that_holds_the_pipes_does_not_delay_the_end),
        cmocka_unit_test(too_much_output_is_a_failure),
        cmocka_unit_test(output_is_handed_over_as_it_comes_and_the_rest_at_the_end),
        cmocka_unit_test(output_that_is_taken_counts_too),
        cmocka_unit_test(a_signal_is_told),
        cmocka_unit_test(cpu_time_is_limited),
        cmocka_unit_test(the_child_has_limits_no_foreign_descriptors_and_its_own_group),
        cmocka_unit_test(a_program_that_is_not_there_does_not_start),
        cmocka_unit_test(a_cancelled_child_is_gone_and_calls_nobody),
        cmocka_unit_test(a_child_dies_with_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
