/* The conditions of an Application: Ready, Reconciling, Stalled, Healthy and Drifted, as kstatus
 * and kubectl wait go by them. (RolledBack is rollback.c's.) */
#ifndef GITMOOR_DIFFER_CONDITIONS_H
#define GITMOOR_DIFFER_CONDITIONS_H

#include "differ/application.h"

/* Makes them what is known now. A repository that is missing or cannot be rendered from is told as
 * an Event, once. `conditions` is the status's array. */
void conditions_set(struct application *application, cJSON *conditions);

#endif
