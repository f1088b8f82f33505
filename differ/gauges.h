/* What the differ's /metrics tell of its state: counted anew whenever somebody asks. Counters of
 * what happens stand where it happens. */
#ifndef GITMOOR_DIFFER_GAUGES_H
#define GITMOOR_DIFFER_GAUGES_H

#include "common/data/json.h"

struct application;

/* In `unwell` of an application. */
enum gauges_problem {
    PROBLEM_NOT_READY = 1,
    PROBLEM_STALLED = 2,
    PROBLEM_ROLLED_BACK = 4,
    PROBLEM_DRIFTED = 8,
    PROBLEM_FIGHT = 16
};

/* What the conditions say is not well. */
unsigned gauges_find_problems(const cJSON *conditions);

/* For metrics_on_collect, with the struct differ. */
void gauges_collect(void *differ);

#endif
