#include "common/kube/backoff.h"

#include <event2/util.h>

int64_t kube_backoff_spread(int64_t least, int64_t most)
{
    uint32_t random;
    evutil_secure_rng_get_bytes(&random, sizeof(random));
    return least + (int64_t)(random % (uint64_t)(most - least + 1));
}

/* A server that is busy, starting or out of reach does not refuse. */
static bool is_refusal(const struct error *why)
{
    return why && why->code != ERROR_UNAVAILABLE && why->code != ERROR_TIMEOUT;
}

int64_t kube_backoff_next(struct kube_backoff *backoff, const struct error *why, bool known)
{
    bool refused = is_refusal(why);
    /* A server that has just come back refuses for a moment, since it knows neither its roles nor
     * its kinds yet: the count of one sort says nothing about the other. */
    if (refused != backoff->refused) {
        *backoff = (struct kube_backoff){.refused = refused};
    }
    int64_t last = refused ? KUBE_BACKOFF_REFUSED_MS
                           : (known ? KUBE_BACKOFF_KNOWN_MS : KUBE_BACKOFF_UNKNOWN_MS);
    int64_t most = KUBE_BACKOFF_FIRST_MS;
    for (unsigned i = 0; i < backoff->failures && most < last; i++) {
        most *= 2;
    }
    backoff->failures++;
    return kube_backoff_spread(0, most < last ? most : last);
}

void kube_backoff_reset(struct kube_backoff *backoff)
{
    backoff->failures = 0;
}
