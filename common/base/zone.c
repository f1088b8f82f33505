#include "common/base/zone.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/base/zone_rule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAXIMUM ((size_t)256 << 10) /* the largest of Debian's is 4 kB */
#define HEADER_SIZE 44
#define TYPE_SIZE 6 /* of a local time type: offset, is it daylight saving, name */
#define COUNTS 6

struct zone {
    int64_t *times;   /* of the changes, ascending */
    int64_t *offsets; /* from that change on */
    size_t count;
    int64_t first; /* offset before the first change */
    bool has_rule;
    struct zone_rule rule; /* after the last */
};

void zone_free(struct zone *zone)
{
    if (zone) {
        free(zone->times);
        free(zone->offsets);
        free(zone);
    }
}

/* ---- Reading ---- */

static int64_t big_endian(const unsigned char *bytes, size_t size)
{
    uint64_t value = bytes[0] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | bytes[i];
    }
    return (int64_t)value;
}

/* The six counts of a header, and the size of the block that follows it. */
struct block {
    size_t universal, standard, leaps, times, types, names;
    size_t size;
};

static bool read_header(const unsigned char *data, size_t size, size_t time_size, struct block *ret)
{
    if (size < HEADER_SIZE || memcmp(data, "TZif", 4) != 0) {
        return false;
    }
    size_t counts[COUNTS];
    for (size_t i = 0; i < COUNTS; i++) {
        counts[i] = (size_t)(big_endian(data + 20 + 4 * i, 4) & 0xffffffff);
        if (counts[i] > FILE_MAXIMUM) {
            return false;
        }
    }
    *ret = (struct block){counts[0], counts[1], counts[2], counts[3], counts[4], counts[5], 0};
    ret->size = ret->times * (time_size + 1) + ret->types * TYPE_SIZE + ret->names +
                ret->leaps * (time_size + 4) + ret->standard + ret->universal;
    return ret->size <= size - HEADER_SIZE;
}

static bool read_times(const unsigned char *data, const struct block *block, struct zone *zone)
{
    const unsigned char *indices = data + block->times * 8;
    const unsigned char *types = indices + block->times;
    if (block->types == 0) {
        return false;
    }
    zone->times = mem_new(block->times, sizeof *zone->times);
    zone->offsets = mem_new(block->times, sizeof *zone->offsets);
    zone->count = block->times;
    zone->first = big_endian(types, 4);
    for (size_t i = 0; i < block->times; i++) {
        zone->times[i] = big_endian(data + i * 8, 8);
        if (indices[i] >= block->types || (i > 0 && zone->times[i] <= zone->times[i - 1])) {
            return false;
        }
        zone->offsets[i] = big_endian(types + (size_t)indices[i] * TYPE_SIZE, 4);
    }
    return true;
}

/* "\nCET-1CEST,M3.5.0,M10.5.0/3\n" */
static bool read_footer(const unsigned char *data, size_t size, struct zone *zone)
{
    const unsigned char *end = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;
    if (!end || data[0] != '\n') {
        return false;
    }
    AUTO_FREE char *text = mem_string_n((const char *)data + 1, (size_t)(end - data - 1));
    zone->has_rule = *text != '\0';
    return !zone->has_rule || zone_rule_parse(text, &zone->rule);
}

bool zone_parse(const unsigned char *data, size_t size, struct zone **ret, struct error *error)
{
    struct block block;
    if (!read_header(data, size, 4, &block) || data[4] < '2') {
        return error_set(error, ERROR_INVALID, "it is no TZif file of version 2 or later");
    }
    size_t skip = HEADER_SIZE + block.size; /* version 1: of 32 bits */
    data += skip;
    size -= skip;
    struct zone *zone = NEW(struct zone);
    if (!read_header(data, size, 8, &block) || !read_times(data + HEADER_SIZE, &block, zone) ||
        !read_footer(data + HEADER_SIZE + block.size, size - HEADER_SIZE - block.size, zone)) {
        zone_free(zone);
        return error_set(error, ERROR_INVALID, "the TZif file is damaged");
    }
    *ret = zone;
    return true;
}

static bool is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "_+-/";
    return !text_is_empty(name) && strlen(name) <= ZONE_NAME_MAXIMUM && *name != '/' &&
           name[strspn(name, allowed)] == '\0';
}

static void close_file(FILE **file)
{
    if (*file) {
        fclose(*file);
    }
}

bool zone_load(const char *directory, const char *name, struct zone **ret, struct error *error)
{
    if (!is_name(name)) {
        return error_set(error, ERROR_INVALID,
                         "\"%.80s\" is no time zone: name one such as Europe/Berlin or UTC",
                         text_or_empty(name));
    }
    AUTO_FREE char *path = mem_format("%s/%s", directory, name);
    __attribute__((cleanup(close_file))) FILE *file = fopen(path, "re");
    if (!file) {
        return errno == ENOENT || errno == ENOTDIR
                   ? error_set(error, ERROR_INVALID,
                               "there is no time zone \"%s\" in %s: name one such as "
                               "Europe/Berlin, or install tzdata",
                               name, directory)
                   : error_set_errno(error, errno, "cannot read the time zone %s", path);
    }
    AUTO_FREE unsigned char *data = mem_new(FILE_MAXIMUM, 1);
    size_t size = fread(data, 1, FILE_MAXIMUM, file);
    return zone_parse(data, size, ret, error) || error_prefix(error, "time zone %s", path);
}

/* ---- Asking ---- */

void zone_segment_at(const struct zone *zone, int64_t utc, struct zone_segment *ret)
{
    *ret = (struct zone_segment){.begin = INT64_MIN, .end = INT64_MAX};
    if (!zone) {
        return;
    }
    size_t below = 0, above = zone->count; /* changes before `above` may be at or before utc */
    while (below < above) {
        size_t middle = below + (above - below) / 2;
        if (zone->times[middle] <= utc) {
            below = middle + 1;
        } else {
            above = middle;
        }
    }
    ret->offset = below > 0 ? zone->offsets[below - 1] : zone->first;
    ret->begin = below > 0 ? zone->times[below - 1] : INT64_MIN;
    if (below < zone->count) {
        ret->end = zone->times[below];
    } else if (zone->has_rule) {
        int64_t last = ret->begin;
        zone_rule_segment_at(&zone->rule, utc, ret);
        ret->begin = ret->begin < last ? last : ret->begin;
    }
}
