/* Unit tests of common/run/sandbox.c. A sandbox is for good, so each case runs in a forked child,
 * which answers with a bit per thing that it could do. Where the kernel has no Landlock, only what
 * holds without it is checked. */
#include "common/run/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum deed {
    ENTERED = 1 << 0,
    FULL = 1 << 1,
    NO_NEW_PRIVILEGES = 1 << 2,
    READ_ALLOWED = 1 << 3,
    READ_OTHER = 1 << 4,
    WRITE_ALLOWED = 1 << 5,
    WRITE_READ_ONLY = 1 << 6,
    CONNECT = 1 << 7,
};

static char root[64];

static bool can_open(const char *name, int flags)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    int fd = open(path, flags, 0600);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* Whether connecting is allowed at all; nobody listens. */
static bool can_connect(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int result = connect(fd, (struct sockaddr *)&address, sizeof address);
    bool denied = result != 0 && (errno == EACCES || errno == EPERM);
    close(fd);
    return !denied;
}

static unsigned try_everything(const struct sandbox_options *options)
{
    enum sandbox_strength strength;
    struct error error;
    if (!sandbox_enter(options, &strength, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 0;
    }
    unsigned deeds = ENTERED;
    deeds |= strength == SANDBOX_FULL ? FULL : 0;
    deeds |= prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? NO_NEW_PRIVILEGES : 0;
    deeds |= can_open("read/file", O_RDONLY) ? READ_ALLOWED : 0;
    deeds |= can_open("other/file", O_RDONLY) ? READ_OTHER : 0;
    deeds |= can_open("write/new", O_WRONLY | O_CREAT | O_TRUNC) ? WRITE_ALLOWED : 0;
    deeds |= can_open("read/file", O_WRONLY) ? WRITE_READ_ONLY : 0;
    deeds |= can_connect() ? CONNECT : 0;
    return deeds;
}

static unsigned deeds_within(bool network)
{
    char readable[128], writable[128];
    snprintf(readable, sizeof readable, "%s/read", root);
    snprintf(writable, sizeof writable, "%s/write", root);
    const char *const read_only[] = {readable, "/nonexistent/path", NULL};
    const char *const read_write[] = {writable, "/dev/null", NULL};
    const struct sandbox_options options = {
        .read_only = read_only, .read_write = read_write, .network = network};
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        unsigned deeds = try_everything(&options);
        ssize_t written = write(pair[1], &deeds, sizeof deeds);
        _exit(written == (ssize_t)sizeof deeds ? 0 : 1);
    }
    unsigned deeds = 0;
    close(pair[1]);
    assert_int_equal(read(pair[0], &deeds, sizeof deeds), sizeof deeds);
    close(pair[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return deeds;
}

static void new_privileges_are_given_up_on_any_kernel(void **state)
{
    (void)state;
    assert_int_equal(deeds_within(true) & (ENTERED | NO_NEW_PRIVILEGES),
                     ENTERED | NO_NEW_PRIVILEGES);
}

static void only_the_named_paths_stay_and_only_as_named(void **state)
{
    (void)state;
    unsigned deeds = deeds_within(true);
    if (!(deeds & FULL)) {
        skip();
    }
    assert_int_equal(deeds & (READ_ALLOWED | READ_OTHER | WRITE_ALLOWED | WRITE_READ_ONLY),
                     READ_ALLOWED | WRITE_ALLOWED);
}

static void tcp_is_there_only_when_asked_for(void **state)
{
    (void)state;
    assert_true(deeds_within(true) & CONNECT);
    unsigned deeds = deeds_within(false);
    if (!(deeds & FULL)) {
        skip();
    }
    assert_false(deeds & CONNECT);
}

static int make_tree(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/gitmoor-test-sandbox-XXXXXX");
    if (!mkdtemp(root)) {
        return -1;
    }
    static const char *const directories[] = {"read", "write", "other"};
    for (size_t i = 0; i < 3; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", root, directories[i]);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/%s/file", root, directories[i]);
        close(open(path, O_WRONLY | O_CREAT, 0600));
    }
    return 0;
}

static int remove_tree(void **state)
{
    (void)state;
    static const char *const names[] = {"read/file", "write/file", "write/new", "other/file",
                                        "read",      "write",      "other",     ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", root, names[i]);
        remove(path);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_privileges_are_given_up_on_any_kernel),
        cmocka_unit_test(only_the_named_paths_stay_and_only_as_named),
        cmocka_unit_test(tcp_is_there_only_when_asked_for),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
