/* What the differ's /metrics tell of its state: counted anew whenever somebody asks. Counters of
 * what happens stand where it happens. */
#ifndef GITMOOR_DIFFER_GAUGES_H
#define GITMOOR_DIFFER_GAUGES_H

/* For metrics_on_collect, with the struct differ. */
void gauges_collect(void *differ);

#endif
