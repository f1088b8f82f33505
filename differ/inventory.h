/* The kinds and namespaces in an Application's status: where its objects are, or may be. By the
 * kinds a successor knows what to watch for what is to be pruned; by the namespaces admission knows
 * whose deletion would take managed objects along. */
#ifndef GITMOOR_DIFFER_INVENTORY_H
#define GITMOOR_DIFFER_INVENTORY_H

#include "differ/application.h"

/* Sets them in `status`. Before a plan: what is listed and what the plan brings. Afterwards: what
 * is there. */
void inventory_set(struct application *application, cJSON *status, bool before_plan);

#endif
