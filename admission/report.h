/* Tells the differ what was refused or let through by break-glass, for Events and counts. Nothing
 * waits for it: with the bus down a verdict is the same. */
#ifndef GITMOOR_ADMISSION_REPORT_H
#define GITMOOR_ADMISSION_REPORT_H

#include "admission/review.h"
#include "common/bus/bus.h"

/* The hint's body (ARCHITECTURE.md, Links), for the caller to free. */
cJSON *report_body(const struct review *review);

/* Reports that wait for a differ that does not answer; further ones are dropped, so that nobody can
 * fill our memory by being refused. */
#define REPORTS_WAITING_MAXIMUM 1000

/* Sends what is worth a report. False: it was lost. */
bool report_send(const struct bus *bus, struct bus_peer *differ, const struct review *review);

#endif
