/* Unit tests of common/run/confine.c. A sandbox is for good, so it is entered in a forked child. */
#include "common/run/confine.h"

#include "common/base/buf.h"
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/run/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static bool can_open(const char *name, int flags)
{
    AUTO_FREE char *path = *name == '/' ? mem_string(name) : mem_format("%s/%s", root, name);
    AUTO_CLOSE int fd = open(path, flags, 0600);
    return fd >= 0;
}

/* In the child: 0 if everything is as it should be; else a number that says what is not. */
static int check_inside(void)
{
    AUTO_FREE char *bus = mem_format("ipc://%s/bus/differ", root);
    AUTO_FREE char *keys = mem_format("%s/keys", root);
    AUTO_FREE char *data = mem_format("%s/data", root);
    AUTO_FREE char *token = mem_format("%s/credentials/token", root);
    struct process_settings settings = {.bus = bus, .bus_keys = keys};
    struct kube_config kube = {.token_file = token};
    const char *const read_write[] = {data, NULL};
    struct error error;
    if (!process_confine(&settings, &kube, read_write, NULL, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
        return 2;
    }
    if (!can_open("keys/key", O_RDONLY) || !can_open("credentials/token", O_RDONLY) ||
        !can_open("/etc/passwd", O_RDONLY) || !can_open("/proc/self/stat", O_RDONLY)) {
        return 3;
    }
    if (!can_open("data/new", O_WRONLY | O_CREAT) || !can_open("bus/new", O_WRONLY | O_CREAT) ||
        !can_open("/dev/null", O_WRONLY)) {
        return 4;
    }
    /* What follows needs Landlock, and is told by the log where it is missing. */
    return can_open("other/secret", O_RDONLY) ? 5 : can_open("keys/key", O_WRONLY) ? 6 : 0;
}

static void it_leaves_what_a_process_needs_and_nothing_else(void **state)
{
    (void)state;
    int log[2];
    assert_int_equal(pipe(log), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(log[1], STDERR_FILENO);
        _exit(check_inside());
    }
    close(log[1]);
    AUTO_BUF struct buf told;
    buf_init(&told, 65536);
    assert_true(buf_read_fd(&told, log[0], "the log", NULL));
    close(log[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (strstr(told.data, "without Landlock")) {
        assert_int_equal(WEXITSTATUS(status), 5);
    } else {
        assert_non_null(strstr(told.data, "sandbox entered"));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static int make_tree(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/gitmoor-test-confine-XXXXXX");
    if (!mkdtemp(root)) {
        return -1;
    }
    static const char *const directories[] = {"bus", "keys", "data", "credentials", "other"};
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        AUTO_FREE char *path = mem_format("%s/%s", root, directories[i]);
        mkdir(path, 0700);
    }
    static const char *const files[] = {"keys/key", "credentials/token", "other/secret"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (!can_open(files[i], O_WRONLY | O_CREAT)) {
            return -1;
        }
    }
    return 0;
}

static int remove_tree(void **state)
{
    (void)state;
    return directory_remove(root, NULL) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_leaves_what_a_process_needs_and_nothing_else),
    };
    log_open("tester", "info", NULL);
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
