#include "common/run/spawn.h"

#include "common/base/memory.h"
#include "common/run/sandbox.h"
#include "common/run/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child, where the report of a failed exec goes; 0 to 2 are its standard streams. */
#define REPORT_FD 3
#define FIRST_UNUSED_FD 4

struct pipes {
    int input[2], output[2], error[2], report[2]; /* [0] is read from, [1] written to */
};

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0) {
            close(pair[i]);
            pair[i] = -1;
        }
    }
}

static void close_pipes(struct pipes *pipes)
{
    close_pair(pipes->input);
    close_pair(pipes->output);
    close_pair(pipes->error);
    close_pair(pipes->report);
}

/* A pipe whose ends are no descriptors that the child wants for something else. */
static bool open_pair(int pair[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0) {
        return false;
    }
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        pair[i] = fcntl(low[i], F_DUPFD_CLOEXEC, FIRST_UNUSED_FD);
        ok = ok && pair[i] >= 0;
        close(low[i]);
    }
    return ok;
}

static bool open_pipes(struct pipes *pipes)
{
    *pipes = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    bool ok = open_pair(pipes->input) && open_pair(pipes->output) && open_pair(pipes->error) &&
              open_pair(pipes->report);
    if (ok) {
        fcntl(pipes->input[1], F_SETFL, O_NONBLOCK);
        fcntl(pipes->output[0], F_SETFL, O_NONBLOCK);
        fcntl(pipes->error[0], F_SETFL, O_NONBLOCK);
    }
    return ok;
}

static int set_limit(int resource, int64_t soft, int64_t hard)
{
    struct rlimit limit = {.rlim_cur = (rlim_t)soft, .rlim_max = (rlim_t)hard};
    return setrlimit(resource, &limit);
}

static void close_others(void)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, FIRST_UNUSED_FD, ~0U, 0) == 0) {
        return;
    }
#endif
    struct rlimit limit;
    int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? (int)limit.rlim_cur
                                                                              : 65536;
    for (int fd = FIRST_UNUSED_FD; fd < end; fd++) {
        close(fd);
    }
}

/* Runs in the child. Other threads of the parent (nanomsg's) may have held any lock at the fork, so
 * only async-signal-safe functions are called. Returns only if it fails, with errno. */
static void become(const struct child_options *options, const char *const *environment,
                   const struct pipes *pipes, int ruleset, pid_t parent)
{
    if (dup2(pipes->input[0], STDIN_FILENO) < 0 || dup2(pipes->output[1], STDOUT_FILENO) < 0 ||
        dup2(pipes->error[1], STDERR_FILENO) < 0 ||
        dup3(pipes->report[1], REPORT_FD, O_CLOEXEC) < 0) {
        return;
    }
    if ((options->directory && chdir(options->directory) != 0) ||
        (options->sandbox && !sandbox_enter_prepared(ruleset))) {
        return;
    }
    close_others();
    setpgid(0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return;
    }
    if (getppid() != parent) {
        _exit(127); /* it died before the line above */
    }
    signal(SIGPIPE, SIG_DFL); /* what is ignored would stay so through the exec */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (set_limit(RLIMIT_CORE, 0, 0) != 0 ||
        (options->memory_maximum > 0 &&
         set_limit(RLIMIT_DATA, options->memory_maximum, options->memory_maximum) != 0) ||
        (options->cpu_seconds > 0 &&
         set_limit(RLIMIT_CPU, options->cpu_seconds, options->cpu_seconds + 1) != 0) ||
        (options->sandbox && (set_limit(RLIMIT_FSIZE, 0, 0) != 0 || !syscalls_restrict()))) {
        return;
    }
    execve(options->argv[0], (char *const *)options->argv, (char *const *)environment);
}

/* The errno of a failed exec, 0 once the program runs (the exec closes the pipe). */
static int read_report(int fd)
{
    int sys = 0;
    ssize_t got;
    do {
        got = read(fd, &sys, sizeof sys);
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof sys ? sys : 0;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* The parent's half. */
static bool adopt(pid_t pid, struct pipes *pipes, const char *program, struct spawned *ret,
                  struct error *error)
{
    setpgid(pid, pid); /* the child does the same; whoever comes first */
    close(pipes->report[1]);
    pipes->report[1] = -1;
    int sys = read_report(pipes->report[0]);
    int pidfd = sys ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        sys = sys ? sys : errno;
        kill(-pid, SIGKILL);
        reap(pid);
        return error_set_errno(error, sys, "cannot run %s", program);
    }
    *ret = (struct spawned){.pid = pid,
                            .pidfd = pidfd,
                            .input = pipes->input[1],
                            .output = pipes->output[0],
                            .error = pipes->error[0]};
    pipes->input[1] = pipes->output[0] = pipes->error[0] = -1;
    return true;
}

bool spawn(const struct child_options *options, struct spawned *ret, struct error *error)
{
    const char *path = getenv("PATH");
    AUTO_FREE char *path_variable = mem_format("PATH=%s", path ? path : "/usr/bin:/bin");
    const char *const plain[] = {path_variable, "LANG=C.UTF-8", NULL};
    const char *const *environment = options->environment ? options->environment : plain;
    AUTO_CLOSE int ruleset = -1;
    if (options->sandbox && !sandbox_prepare(options->sandbox, &ruleset, error)) {
        return error_prefix(error, "cannot run %s", options->argv[0]);
    }
    struct pipes pipes;
    if (!open_pipes(&pipes)) {
        int sys = errno;
        close_pipes(&pipes);
        return error_set_errno(error, sys, "cannot run %s", options->argv[0]);
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(options, environment, &pipes, ruleset, parent);
        int sys = errno;
        ssize_t ignored = write(REPORT_FD, &sys, sizeof sys);
        (void)ignored;
        _exit(127);
    }
    bool ok = pid > 0 ? adopt(pid, &pipes, options->argv[0], ret, error)
                      : error_set_errno(error, errno, "cannot run %s", options->argv[0]);
    close_pipes(&pipes);
    return ok;
}
