/* What uninstalling asks of the applier, each as a program that ends: the finalizers of
 * Applications are its own writing, and nobody would take them away once it is gone. */
#ifndef GITMOOR_APPLIER_UNINSTALL_H
#define GITMOOR_APPLIER_UNINSTALL_H

#include "common/kube/client.h"

/* Waits until no Application that is being deleted has our finalizer any more, `patience_ms` at
 * most. `ret_left` is how many have it still. */
bool uninstall_await_deletions(struct kube_client *client, int64_t patience_ms, size_t *ret_left,
                               struct error *error);

/* Takes our finalizer off every Application, whoever put it there; what they manage stays. Nobody
 * may be about who puts it back. */
bool uninstall_release(struct kube_client *client, size_t *ret_released, struct error *error);

#endif
