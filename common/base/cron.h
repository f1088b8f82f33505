/* Schedules of five fields, as crontab(5) has them: minute, hour, day of month, month, day of week.
 * Each is `*`, a number, a range, a list, with steps; months and weekdays have names; weekday 7 is
 * Sunday too. Where neither day field begins with `*`, one of them is enough, as cron has it. */
#ifndef GITMOOR_BASE_CRON_H
#define GITMOOR_BASE_CRON_H

#include "common/base/zone.h"

#define CRON_NEVER INT64_MAX

struct cron {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays; /* bit n: n */
    bool either_day;                        /* of month or of week */
};

/* Refuses what is never due, too. */
bool cron_parse(const char *text, struct cron *ret, struct error *error);

/* The first instant after `after` (seconds since 1970) at which the schedule is due by the clock of
 * the zone, or CRON_NEVER. A time that the clock skips is due when it is put forward; one that it
 * shows twice is due twice. */
int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after);

#endif
