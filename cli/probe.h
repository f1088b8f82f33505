/* One process of an installation, as its own endpoint tells: whether it is ready, and which of its
 * links to the others are up. */
#ifndef GITMOOR_CLI_PROBE_H
#define GITMOOR_CLI_PROBE_H

#include "common/base/buf.h"

#include <event2/event.h>

struct probe_target {
    const char *process; /* "fetcher" */
    const char *address; /* IPv4 or IPv6 */
    unsigned port;
};

/* Asks it, and says in `told` what it answers. True: ready, and each of its links has a peer. */
bool probe_process(struct event_base *loop, const struct probe_target *target, struct buf *told);

/* The verdict on what it answered: NULL for no answer. Split off for tests. */
bool probe_judge(const char *process, const char *ready, const char *metrics, struct buf *told);

#endif
