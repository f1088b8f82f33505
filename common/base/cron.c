#include "common/base/cron.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/base/zone_rule.h"

#include <string.h>
#include <strings.h>

#define FIELDS 5
#define TEXT_MAXIMUM 256
#define DAY_MINUTES 1440
#define HORIZON_DAYS (41 * 366) /* 29 February on a given weekday: after 40 years at the latest */

struct field {
    const char *what;
    int minimum, maximum;
    const char *names; /* of three letters each, from `minimum` on; or NULL */
};

static const struct field fields[FIELDS] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of month", 1, 31, NULL},
    {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {"day of week", 0, 7, "sunmontuewedthufrisat"},
};

/* ---- Reading ---- */

static bool take_number(const char **text, int *ret)
{
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > 3) {
        return false;
    }
    AUTO_FREE char *number = mem_string_n(*text, digits);
    int64_t value;
    bool ok = text_parse_int(number, &value);
    *text += digits;
    *ret = (int)value;
    return ok;
}

static bool take_value(const struct field *field, const char **text, int *ret)
{
    if (take_number(text, ret)) {
        return true;
    }
    for (size_t i = 0; field->names && field->names[i * 3]; i++) {
        if (strncasecmp(*text, field->names + i * 3, 3) == 0) {
            *text += 3;
            *ret = field->minimum + (int)i;
            return true;
        }
    }
    return false;
}

/* One member of a list: *, 5, 1-5, each with /step. */
static bool take_member(const struct field *field, const char **text, uint64_t *set,
                        struct error *error)
{
    int low = field->minimum, high = field->maximum, step = 1;
    bool is_range = **text == '*';
    if (is_range) {
        (*text)++;
    } else {
        if (!take_value(field, text, &low)) {
            return error_set(error, ERROR_INVALID, "%s: a number%s, a range or * is expected",
                             field->what, field->names ? ", a name of three letters" : "");
        }
        high = low;
        if (**text == '-') {
            (*text)++;
            is_range = true;
            if (!take_value(field, text, &high)) {
                return error_set(error, ERROR_INVALID, "%s: the range has no end", field->what);
            }
            if (field->maximum == 7 && high == 0 && low > 0) {
                high = 7; /* fri-sun */
            }
        }
    }
    if (**text == '/') {
        (*text)++;
        if (!take_number(text, &step) || step < 1) {
            return error_set(error, ERROR_INVALID, "%s: a step is a number from 1", field->what);
        }
        high = is_range ? high : field->maximum;
    }
    if (low < field->minimum || high > field->maximum || low > high) {
        return error_set(error, ERROR_INVALID,
                         "%s: %d to %d is not within %d to %d, from low to high", field->what, low,
                         high, field->minimum, field->maximum);
    }
    for (int i = low; i <= high; i += step) {
        *set |= (uint64_t)1 << i;
    }
    return true;
}

static bool parse_field(const struct field *field, const char *text, uint64_t *ret,
                        struct error *error)
{
    *ret = 0;
    while (take_member(field, &text, ret, error)) {
        if (*text == '\0') {
            return true;
        }
        if (*text++ != ',') {
            return error_set(error, ERROR_INVALID, "%s: \"%s\" is not understood", field->what,
                             text - 1);
        }
    }
    return false;
}

/* The next word of the text, or NULL; the caller frees. */
static char *take_word(const char **text)
{
    *text += strspn(*text, " \t");
    size_t size = strcspn(*text, " \t");
    char *word = size > 0 ? mem_string_n(*text, size) : NULL;
    *text += size;
    return word;
}

bool cron_parse(const char *text, struct cron *ret, struct error *error)
{
    uint64_t sets[FIELDS];
    bool starred[FIELDS];
    const char *rest = text_or_empty(text);
    if (strlen(rest) > TEXT_MAXIMUM) {
        return error_set(error, ERROR_LIMIT, "it is longer than %d characters", TEXT_MAXIMUM);
    }
    for (size_t i = 0; i < FIELDS; i++) {
        AUTO_FREE char *word = take_word(&rest);
        if (!word) {
            return error_set(error, ERROR_INVALID,
                             "five fields are expected: minute, hour, day of month, month, day of "
                             "week");
        }
        starred[i] = *word == '*';
        if (!parse_field(&fields[i], word, &sets[i], error)) {
            return false;
        }
    }
    AUTO_FREE char *more = take_word(&rest);
    if (more) {
        return error_set(error, ERROR_INVALID, "there are more than five fields: \"%s\"", more);
    }
    struct cron cron = {.minutes = sets[0],
                        .hours = (uint32_t)sets[1],
                        .days = (uint32_t)sets[2],
                        .months = (uint32_t)sets[3],
                        .weekdays = (uint32_t)((sets[4] | sets[4] >> 7) & 0x7f),
                        .either_day = !starred[2] && !starred[4]};
    if (cron_next(&cron, NULL, 0) == CRON_NEVER) {
        return error_set(error, ERROR_INVALID, "there is no such day");
    }
    *ret = cron;
    return true;
}

/* ---- When is it due? ---- */

static bool has_day(const struct cron *cron, const struct civil_date *date)
{
    bool of_month = cron->days >> date->day & 1;
    bool of_week = cron->weekdays >> date->weekday & 1;
    return cron->either_day ? of_month || of_week : of_month && of_week;
}

/* The first minute of the day that is due, not before `minute`; -1 if there is none. */
static int minute_of_day(const struct cron *cron, int minute)
{
    for (int hour = minute / 60; hour < 24; hour++) {
        uint64_t left =
            hour == minute / 60 ? cron->minutes >> minute % 60 << minute % 60 : cron->minutes;
        if (cron->hours >> hour & 1 && left) {
            return hour * 60 + __builtin_ctzll(left);
        }
    }
    return -1;
}

/* The first minute (since 1970, as the clock shows it) from `from` on and before `limit`, or
 * CRON_NEVER. */
static int64_t next_local(const struct cron *cron, int64_t from, int64_t limit)
{
    int64_t day = civil_divide(from, DAY_MINUTES);
    int minute = (int)(from - day * DAY_MINUTES);
    while (day * DAY_MINUTES < limit) {
        struct civil_date date;
        civil_from_days(day, &date);
        if (!(cron->months >> date.month & 1)) {
            day = date.month == 12 ? civil_to_days(date.year + 1, 1, 1)
                                   : civil_to_days(date.year, date.month + 1, 1);
            minute = 0;
            continue;
        }
        int found = has_day(cron, &date) ? minute_of_day(cron, minute) : -1;
        if (found >= 0) {
            int64_t at = day * DAY_MINUTES + found;
            return at < limit ? at : CRON_NEVER;
        }
        day++;
        minute = 0;
    }
    return CRON_NEVER;
}

static int64_t minutes_up(int64_t seconds)
{
    return civil_divide(seconds + 59, 60);
}

/* Whether something is due at a time that the clock skips at the end of the segment. */
static bool is_skipped(const struct cron *cron, const struct zone *zone,
                       const struct zone_segment *segment)
{
    struct zone_segment next;
    zone_segment_at(zone, segment->end, &next);
    if (next.offset <= segment->offset) {
        return false;
    }
    return next_local(cron, minutes_up(segment->end + segment->offset),
                      minutes_up(segment->end + next.offset)) != CRON_NEVER;
}

int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after)
{
    int64_t at = (civil_divide(after, 60) + 1) * 60;
    int64_t limit = at + (int64_t)HORIZON_DAYS * 86400;
    while (at < limit) {
        struct zone_segment segment;
        zone_segment_at(zone, at, &segment);
        int64_t end = segment.end < limit ? segment.end : limit;
        int64_t found =
            next_local(cron, minutes_up(at + segment.offset), minutes_up(end + segment.offset));
        if (found != CRON_NEVER) {
            return found * 60 - segment.offset;
        }
        if (end == segment.end && is_skipped(cron, zone, &segment)) {
            return end;
        }
        at = end;
    }
    return CRON_NEVER;
}
