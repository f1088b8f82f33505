/* The sandbox that each of the four processes enters: sandbox.h with what all of them need. */
#ifndef GITMOOR_RUN_CONFINE_H
#define GITMOOR_RUN_CONFINE_H

#include "common/kube/config.h"
#include "common/run/process.h"

/* Leaves: reading the system's files, the credentials of `kube` (may be NULL), the bus keys, the
 * tenancy settings and the health rules; reading and writing the directory of an ipc:// inbox,
 * which is made, and the `read_write` paths (ended by NULL; may be NULL); executing what `execute`
 * names (the same). TCP stays. To be called before the bus is opened, so that nanomsg's thread is
 * in it; logs what the kernel could do. */
bool process_confine(const struct process_settings *settings, const struct kube_config *kube,
                     const char *const *read_write, const char *const *execute,
                     struct error *error);

#endif
