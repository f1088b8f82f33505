#include "common/base/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t clock_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_backoff_ms(int64_t first_ms, unsigned failures, int64_t maximum_ms)
{
    int64_t wait = first_ms << (failures < 16 ? failures : 16);
    return wait < maximum_ms ? wait : maximum_ms;
}

/* The millisecond within its second, also before 1970. */
static int millisecond_of(int64_t wall_ms)
{
    return (int)((wall_ms % 1000 + 1000) % 1000);
}

static size_t format_seconds(int64_t wall_ms, char *text, const char *pattern)
{
    time_t seconds = (time_t)((wall_ms - millisecond_of(wall_ms)) / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    return strftime(text, CLOCK_RFC3339_SIZE, pattern, &parts);
}

void clock_format_rfc3339(int64_t wall_ms, char ret_text[CLOCK_RFC3339_SIZE])
{
    format_seconds(wall_ms, ret_text, "%Y-%m-%dT%H:%M:%SZ");
}

void clock_format_micro(int64_t wall_ms, char ret_text[CLOCK_RFC3339_SIZE])
{
    size_t size = format_seconds(wall_ms, ret_text, "%Y-%m-%dT%H:%M:%S");
    snprintf(ret_text + size, CLOCK_RFC3339_SIZE - size, ".%03d000Z", millisecond_of(wall_ms));
}

/* Two decimal digits, at most `maximum`; -1 if there are none. */
static int two_digits(const char *text, int maximum)
{
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9') {
        return -1;
    }
    int value = (text[0] - '0') * 10 + (text[1] - '0');
    return value <= maximum ? value : -1;
}

/* "Z", "+01:30" or "-05:00", to the end of the text. */
static bool parse_offset(const char *text, int64_t *ret_minutes)
{
    if (strcmp(text, "Z") == 0) {
        *ret_minutes = 0;
        return true;
    }
    if ((*text != '+' && *text != '-') || strlen(text) != strlen("+01:30") || text[3] != ':') {
        return false;
    }
    int hours = two_digits(text + 1, 23), minutes = two_digits(text + 4, 59);
    *ret_minutes = (hours * 60 + minutes) * (*text == '-' ? -1 : 1);
    return hours >= 0 && minutes >= 0;
}

bool clock_parse_rfc3339(const char *text, int64_t *ret_wall_ms)
{
    struct tm parts = {0};
    /* strptime skips white space and takes short numbers; the length of the rest tells. */
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    if (!rest || rest - text != (ptrdiff_t)strlen("2006-01-02T15:04:05") || *text == ' ') {
        return false;
    }
    int64_t milliseconds = 0;
    if (*rest == '.') {
        const char *digits = ++rest;
        int64_t weight = 100;
        for (; *rest >= '0' && *rest <= '9'; rest++, weight /= 10) {
            milliseconds += weight * (*rest - '0');
        }
        if (rest == digits) {
            return false;
        }
    }
    int64_t offset_minutes;
    if (!parse_offset(rest, &offset_minutes)) {
        return false;
    }
    *ret_wall_ms = ((int64_t)timegm(&parts) - offset_minutes * 60) * 1000 + milliseconds;
    return true;
}
