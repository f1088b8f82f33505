/* Time zones by the system's database (TZif files, RFC 9636): what the clock on the wall shows at
 * an instant, without the process's own TZ. A zone is read once; a newer database counts from the
 * next start. */
#ifndef GITMOOR_BASE_ZONE_H
#define GITMOOR_BASE_ZONE_H

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define ZONE_DIRECTORY "/usr/share/zoneinfo"
#define ZONE_NAME_MAXIMUM 64

struct zone; /* NULL is UTC */

/* Reads DIRECTORY/NAME; names are "Europe/Berlin", never a way out of the directory. */
bool zone_load(const char *directory, const char *name, struct zone **ret, struct error *error);
/* The same of a file's content. */
bool zone_parse(const unsigned char *data, size_t size, struct zone **ret, struct error *error);
void zone_free(struct zone *zone); /* NULL is fine */

/* A time in which the clock is not put forward or back: seconds since 1970, [begin, end). */
struct zone_segment {
    int64_t begin, end; /* INT64_MIN, INT64_MAX: without end */
    int64_t offset;     /* local time is UTC plus that, in seconds */
};
void zone_segment_at(const struct zone *zone, int64_t utc, struct zone_segment *ret);

#endif
