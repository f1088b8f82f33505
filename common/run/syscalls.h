/* The system calls that a program in the sandbox may not make, as a seccomp filter: what Landlock
 * does not cover, and what needs no right at all. Sockets of every family, further processes,
 * signals to others, and the parts of the kernel that only privileged programs or attackers use:
 * they fail with EPERM, so that the program says what it could not do. Threads stay allowed. */
#ifndef GITMOOR_RUN_SYSCALLS_H
#define GITMOOR_RUN_SYSCALLS_H

#include <stdbool.h>

/* For good, for this process and what it executes; no_new_privs must be set. Async-signal-safe, to
 * be called between fork and exec. False with errno. */
bool syscalls_restrict(void);

#endif
