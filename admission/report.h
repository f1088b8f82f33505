/* Tells the differ what was refused or let through by break-glass, for Events and counts. Nothing
 * waits for it: with the bus down a verdict is the same. */
#ifndef GITMOOR_ADMISSION_REPORT_H
#define GITMOOR_ADMISSION_REPORT_H

#include "admission/review.h"
#include "common/bus/bus.h"

/* The hint's body (ARCHITECTURE.md, Links), for the caller to free. */
cJSON *report_body(const struct review *review);

/* Sends what is worth a report; `differ` may be NULL. Returns whether something was lost. */
bool report_send(struct bus_peer *differ, const struct review *review);

#endif
