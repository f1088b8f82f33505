#include "common/base/clock.h"

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

static size_t format_seconds(int64_t wall_ms, char *text, const char *pattern)
{
    time_t seconds = (time_t)(wall_ms / 1000);
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
    snprintf(ret_text + size, CLOCK_RFC3339_SIZE - size, ".%03d000Z", (int)(wall_ms % 1000));
}

bool clock_parse_rfc3339(const char *text, int64_t *ret_wall_ms)
{
    struct tm parts = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    if (!rest) {
        return false;
    }
    int64_t milliseconds = 0;
    if (*rest == '.') {
        int64_t weight = 100;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, weight /= 10) {
            milliseconds += weight * (*rest - '0');
        }
    }
    int64_t offset_minutes = 0;
    if (*rest == '+' || *rest == '-') {
        int hours, minutes, used = 0;
        if (sscanf(rest + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || rest[1 + used] != '\0') {
            return false;
        }
        offset_minutes = (hours * 60 + minutes) * (*rest == '-' ? -1 : 1);
    } else if (strcmp(rest, "Z") != 0) {
        return false;
    }
    *ret_wall_ms = ((int64_t)timegm(&parts) - offset_minutes * 60) * 1000 + milliseconds;
    return true;
}
