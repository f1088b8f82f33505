/* How many requests may be in flight: a window that grows by one for each window's worth of
 * successes and is halved when the server says that it is too much (429, 503, a timeout), as TCP
 * does it. There is no fixed rate: an idle server is used, a busy one is spared. */
#ifndef GITMOOR_APPLIER_PACE_H
#define GITMOOR_APPLIER_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_START 16 /* saturates a kube-apiserver on two cores (PITFALLS §1, libcurl) */

struct pace {
    double window;
    unsigned maximum;
    unsigned in_flight;
    unsigned deaf;      /* answers to requests sent before the last halving: they say nothing new */
    uint64_t congested; /* times it was halved */
};

void pace_init(struct pace *pace, unsigned maximum);
bool pace_has_room(const struct pace *pace);
void pace_started(struct pace *pace);
/* One request is over. `congested`: the server was overloaded, now or at an attempt before. */
void pace_finished(struct pace *pace, bool congested);

#endif
