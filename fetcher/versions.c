#include "fetcher/versions.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define NEAR 2 /* are named on each side */

void versions_add(struct versions *versions, const char *text, void *data)
{
    struct version version = {.text = text, .data = data};
    if (!semver_parse(text, &version.semver)) {
        versions->others++;
        return;
    }
    if (versions->count == versions->capacity) {
        versions->capacity = versions->capacity ? 2 * versions->capacity : 64;
        versions->items = mem_resize(versions->items, versions->capacity, sizeof version);
    }
    versions->items[versions->count++] = version;
}

void versions_release(struct versions *versions)
{
    free(versions->items);
    *versions = (struct versions){0};
}

static int compare(const void *left, const void *right)
{
    const struct version *a = left, *b = right;
    int order = semver_compare(&a->semver, &b->semver);
    return order != 0 ? order : strcmp(a->text, b->text);
}

const struct version *versions_highest(const struct versions *versions,
                                       const struct semver_range *range)
{
    const struct version *highest = NULL;
    for (size_t i = 0; i < versions->count; i++) {
        const struct version *version = &versions->items[i];
        if (semver_range_holds(range, &version->semver) &&
            (!highest || compare(version, highest) > 0)) {
            highest = version;
        }
    }
    return highest;
}

static void drop_doubles(struct versions *versions)
{
    size_t kept = 0;
    for (size_t i = 0; i < versions->count; i++) {
        if (kept == 0 || strcmp(versions->items[kept - 1].text, versions->items[i].text) != 0) {
            versions->items[kept++] = versions->items[i];
        }
    }
    versions->count = kept;
}

void versions_describe(struct versions *versions, const struct semver_range *range, struct buf *out)
{
    if (versions->count == 0) {
        buf_append_string(out, "It has no version at all");
        return;
    }
    qsort(versions->items, versions->count, sizeof versions->items[0], compare);
    drop_doubles(versions);
    struct semver anchor;
    size_t end = versions->count; /* those from here on are above what the range names */
    bool has_anchor = semver_range_anchor(range, &anchor);
    while (has_anchor && end > 0 && semver_compare(&versions->items[end - 1].semver, &anchor) > 0) {
        end--;
    }
    size_t first = end > NEAR ? end - NEAR : 0;
    size_t last = versions->count - end > NEAR ? end + NEAR : versions->count;
    size_t named = 0;
    for (size_t i = versions->count; i > first; i--) { /* from the highest down */
        if (i == versions->count || i <= last) {
            buf_append_format(out, "%s%s", named++ ? ", " : "It has ", versions->items[i - 1].text);
        }
    }
    if (versions->count > named) {
        buf_append_format(out, " and %zu others", versions->count - named);
    }
}
