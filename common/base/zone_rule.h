/* The rule of a zone for all years to come, as TZif files end with it and POSIX writes TZ:
 * "CET-1CEST,M3.5.0,M10.5.0/3". And the civil calendar that it takes. */
#ifndef GITMOOR_BASE_ZONE_RULE_H
#define GITMOOR_BASE_ZONE_RULE_H

#include "common/base/zone.h"

enum zone_day_kind {
    ZONE_DAY_JULIAN, /* Jn: 1 to 365, 29 February is never counted */
    ZONE_DAY_ZERO,   /* n: 0 to 365 */
    ZONE_DAY_MONTH,  /* Mm.w.d: the w-th weekday d of month m, 5: the last */
};

struct zone_change {
    enum zone_day_kind kind;
    int day, month, week, weekday;
    int64_t time; /* seconds after local midnight */
};

struct zone_rule {
    int64_t standard, daylight; /* offsets; local time is UTC plus that */
    bool has_daylight;
    struct zone_change begins, ends; /* of daylight saving */
};

bool zone_rule_parse(const char *text, struct zone_rule *ret);
void zone_rule_segment_at(const struct zone_rule *rule, int64_t utc, struct zone_segment *ret);

/* Days since 1970-01-01, in the Gregorian calendar; month 1 to 12. */
int64_t civil_to_days(int64_t year, int month, int day);
struct civil_date {
    int64_t year;
    int month, day, weekday; /* weekday 0: Sunday */
};
void civil_from_days(int64_t days, struct civil_date *ret);
/* Rounds down, also below zero. */
int64_t civil_divide(int64_t value, int64_t by);

#endif
