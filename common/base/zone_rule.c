#include "common/base/zone_rule.h"

#include <string.h>

#define DAY 86400
#define HOURS_MAXIMUM 167 /* RFC 9636, version 3 */

/* ---- The calendar: eras of 400 years that begin on 1 March ---- */

#define ERA_DAYS 146097
#define EPOCH_DAYS 719468 /* from 0000-03-01 to 1970-01-01 */

int64_t civil_divide(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

int64_t civil_to_days(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = civil_divide(year, 400);
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS;
}

void civil_from_days(int64_t days, struct civil_date *ret)
{
    int64_t shifted = days + EPOCH_DAYS;
    int64_t era = civil_divide(shifted, ERA_DAYS);
    int64_t of_era = shifted - era * ERA_DAYS;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; /* 0: March */
    ret->day = (int)(of_year - (153 * month + 2) / 5 + 1);
    ret->month = (int)(month < 10 ? month + 3 : month - 9);
    ret->year = year + era * 400 + (ret->month <= 2);
    ret->weekday = (int)(days + 4 - civil_divide(days + 4, 7) * 7);
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* ---- Reading ---- */

static bool take_number(const char **text, int maximum, int *ret)
{
    size_t digits = strspn(*text, "0123456789");
    int value = 0;
    if (digits == 0 || digits > 3) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        value = value * 10 + ((*text)[i] - '0');
    }
    *text += digits;
    *ret = value;
    return value <= maximum;
}

/* "CET", or "<+0330>" */
static bool take_name(const char **text)
{
    bool quoted = **text == '<';
    size_t size = quoted ? strcspn(*text, ">") + 1
                         : strspn(*text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (size < 3 || size > strlen(*text)) {
        return false;
    }
    *text += size;
    return true;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(const char **text, int64_t *ret)
{
    bool negative = **text == '-';
    *text += negative || **text == '+';
    int parts[3] = {0};
    bool ok = take_number(text, HOURS_MAXIMUM, &parts[0]);
    for (size_t i = 1; ok && i < 3 && **text == ':'; i++) {
        (*text)++;
        ok = take_number(text, 59, &parts[i]);
    }
    int64_t seconds = ((int64_t)parts[0] * 60 + parts[1]) * 60 + parts[2];
    *ret = negative ? -seconds : seconds;
    return ok;
}

static bool take_dot(const char **text, int maximum, int *ret)
{
    bool ok = **text == '.';
    *text += ok;
    return ok && take_number(text, maximum, ret);
}

/* ",M3.5.0/2" */
static bool take_change(const char **text, struct zone_change *ret)
{
    *ret = (struct zone_change){.time = 7200};
    if (**text != ',') {
        return false;
    }
    (*text)++;
    bool ok;
    if (**text == 'M') {
        (*text)++;
        ret->kind = ZONE_DAY_MONTH;
        ok = take_number(text, 12, &ret->month) && ret->month > 0 &&
             take_dot(text, 5, &ret->week) && ret->week > 0 && take_dot(text, 6, &ret->weekday);
    } else {
        ret->kind = **text == 'J' ? ZONE_DAY_JULIAN : ZONE_DAY_ZERO;
        *text += **text == 'J';
        ok = take_number(text, 365, &ret->day) && (ret->kind == ZONE_DAY_ZERO || ret->day > 0);
    }
    if (ok && **text == '/') {
        (*text)++;
        ok = take_time(text, &ret->time);
    }
    return ok;
}

bool zone_rule_parse(const char *text, struct zone_rule *ret)
{
    int64_t west; /* POSIX counts what is to be added to get UTC */
    *ret = (struct zone_rule){0};
    if (!take_name(&text) || !take_time(&text, &west)) {
        return false;
    }
    ret->standard = -west;
    if (*text == '\0') {
        return true;
    }
    ret->has_daylight = true;
    ret->daylight = ret->standard + 3600;
    if (!take_name(&text)) {
        return false;
    }
    if (*text != ',') {
        if (!take_time(&text, &west)) {
            return false;
        }
        ret->daylight = -west;
    }
    return take_change(&text, &ret->begins) && take_change(&text, &ret->ends) && *text == '\0';
}

/* ---- Asking ---- */

static int64_t day_of(const struct zone_change *change, int64_t year)
{
    int64_t new_year = civil_to_days(year, 1, 1);
    if (change->kind == ZONE_DAY_ZERO) {
        return new_year + change->day;
    }
    if (change->kind == ZONE_DAY_JULIAN) {
        return new_year + change->day - 1 + (is_leap(year) && change->day > 59);
    }
    struct civil_date first;
    int64_t begin = civil_to_days(year, change->month, 1);
    int64_t end = change->month == 12 ? civil_to_days(year + 1, 1, 1)
                                      : civil_to_days(year, change->month + 1, 1);
    civil_from_days(begin, &first);
    int64_t day =
        begin + (change->weekday - first.weekday + 7) % 7 + (int64_t)(change->week - 1) * 7;
    return day < end ? day : day - 7;
}

static int64_t instant_of(const struct zone_change *change, int64_t year, int64_t offset_before)
{
    return day_of(change, year) * DAY + change->time - offset_before;
}

void zone_rule_segment_at(const struct zone_rule *rule, int64_t utc, struct zone_segment *ret)
{
    *ret = (struct zone_segment){INT64_MIN, INT64_MAX, rule->standard};
    if (!rule->has_daylight) {
        return;
    }
    struct civil_date date;
    civil_from_days(civil_divide(utc, DAY), &date);
    for (int64_t year = date.year - 1; year <= date.year + 1; year++) {
        const struct {
            int64_t at, offset;
        } changes[] = {{instant_of(&rule->begins, year, rule->standard), rule->daylight},
                       {instant_of(&rule->ends, year, rule->daylight), rule->standard}};
        for (size_t i = 0; i < 2; i++) {
            if (changes[i].at <= utc && changes[i].at >= ret->begin) {
                ret->begin = changes[i].at;
                ret->offset = changes[i].offset;
            } else if (changes[i].at > utc && changes[i].at < ret->end) {
                ret->end = changes[i].at;
            }
        }
    }
}
