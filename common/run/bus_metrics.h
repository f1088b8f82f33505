/* The metrics of a bus, gitmoor_bus_*: the same in each of the four processes. */
#ifndef GITMOOR_RUN_BUS_METRICS_H
#define GITMOOR_RUN_BUS_METRICS_H

#include "common/bus/bus.h"

/* From now on /metrics tells of this bus. NULL, where a process runs without one, is fine. Call it
 * once; the bus must outlive the HTTP endpoint's last answer, as whatever else is collected. */
void bus_metrics_open(struct bus *bus);

#endif
