/* How long a watch waits before it tries again. Pure but for the dice.
 *
 * Waits grow from try to try, each drawn from nought to the whole of it ("full jitter"): those who
 * lost the server together do not come back together, and those of one process share its
 * connection. Everything that an outage held up waits for the watches, so a server that has
 * answered us before is asked again within seconds; one that refuses will refuse again. */
#ifndef GITMOOR_KUBE_BACKOFF_H
#define GITMOOR_KUBE_BACKOFF_H

#include "common/base/error.h"

#include <stdint.h>

#define KUBE_BACKOFF_FIRST_MS 200
#define KUBE_BACKOFF_KNOWN_MS 4000    /* at most, to a server that has answered before */
#define KUBE_BACKOFF_UNKNOWN_MS 10000 /* that has not: its address may be wrong */
#define KUBE_BACKOFF_REFUSED_MS 30000 /* that answers, and refuses */

struct kube_backoff {
    unsigned failures; /* in a row, of the same sort */
    bool refused;      /* the sort */
};

/* After a failure; `why` NULL: the connection ended. Milliseconds until the next try. */
int64_t kube_backoff_next(struct kube_backoff *backoff, const struct error *why, bool known);
/* It works. */
void kube_backoff_reset(struct kube_backoff *backoff);
/* A number from `least` to `most`. */
int64_t kube_backoff_spread(int64_t least, int64_t most);

#endif
