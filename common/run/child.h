/* Child processes: what can block or be attacked runs in one, exec'd, with a deadline, resource
 * limits and a bound on what it may say. The child gets `input` on standard input and answers on
 * standard output; what it says on standard error is kept as the explanation of a failure. */
#ifndef GITMOOR_RUN_CHILD_H
#define GITMOOR_RUN_CHILD_H

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct event_base;
struct child;
struct sandbox_options;

struct child_options {
    const char *const *argv;        /* argv[0] is the path of the program; ended by NULL */
    const char *const *environment; /* all of it, ended by NULL; NULL: only PATH and LANG */
    const void *input;              /* copied */
    size_t input_size;
    size_t output_maximum; /* more is a failure: ERROR_LIMIT, and the child is killed */
    /* NULL: all of its output is kept for `done`. Else called as output comes, with what has not
     * been taken yet; returns how much of it is taken now, and so kept no longer. It must not
     * cancel the child. */
    size_t (*part)(const char *output, size_t size, void *context);
    int64_t timeout_ms;     /* then its process group is killed: ERROR_TIMEOUT */
    int64_t memory_maximum; /* RLIMIT_DATA in bytes: what it allocates, as opposed to the address
                             * space that it reserves, of which Go takes plenty; 0: none
                             * (sanitizers need that) */
    int64_t cpu_seconds;    /* RLIMIT_CPU; 0: none */
    const char *directory;  /* to start in; NULL: this process's */
    /* NULL: none. Else Landlock as sandbox.h has it, no network of any sort, no further processes
     * (syscalls.h), and no file can be made to grow. Refused where the kernel cannot do that. */
    const struct sandbox_options *sandbox;
};

/* `output` (size bytes, NUL-terminated; without what `part` has taken) is valid during the
 * callback. `exit_code` is 128 + n for a
 * child that signal n ended. error: NULL if the child exited 0. Else ERROR_INVALID with (the ends
 * of) its standard error as the message if it exited with another code; ERROR_TIMEOUT; ERROR_LIMIT
 * for too much output or CPU time; ERROR_SYSTEM if it died of a signal. */
typedef void (*child_fn)(const char *output, size_t size, int exit_code, const struct error *error,
                         void *context);

/* Starts it; `done` is called once from the loop. NULL if it could not be started. Children die
 * with their parent (PR_SET_PDEATHSIG). */
struct child *child_start(struct event_base *base, const struct child_options *options,
                          child_fn done, void *context, struct error *error);
/* Kills it; no callback. */
void child_cancel(struct child *child);

/* The path of the running program, for exec'ing oneself as a worker: argv[0] of the options. A
 * sandbox must leave the program, its libraries and their loader executable. */
const char *child_self_path(void);

/* The path of a program on the PATH, or else beside the running one, to be freed; NULL if there is
 * none that can be run. */
char *child_find_program(const char *name);

#endif
