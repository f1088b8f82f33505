/* A process gives up what it does not need: no new privileges, and with Landlock (by system call)
 * the file system save for the paths named, and TCP unless it is asked for. On a kernel without
 * Landlock the rest still holds, and sandbox_enter says so. What is open already stays open; child
 * processes inherit the sandbox; threads that run already (nanomsg's) are not in it. */
#ifndef GITMOOR_RUN_SANDBOX_H
#define GITMOOR_RUN_SANDBOX_H

#include "common/base/error.h"

struct sandbox_options {
    const char *const *read_only; /* paths, ended by NULL; a missing one is skipped */
    const char *const *read_write;
    const char *const *execute; /* read and execute */
    bool network;               /* TCP bind and connect stay allowed */
};

enum sandbox_strength { SANDBOX_FULL, SANDBOX_PARTIAL };

bool sandbox_enter(const struct sandbox_options *options, enum sandbox_strength *ret,
                   struct error *error);

/* The same in two halves, for a child between fork and exec: the first makes a descriptor, which
 * the caller closes, and fails if this kernel could not confine the files wholly; the second is
 * async-signal-safe, and tells by errno why it failed. */
bool sandbox_prepare(const struct sandbox_options *options, int *ret, struct error *error);
bool sandbox_enter_prepared(int ruleset);

#endif
