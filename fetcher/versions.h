/* The versions that a server has: which is the highest in a range, and what to say if there is
 * none. */
#ifndef GITMOOR_FETCHER_VERSIONS_H
#define GITMOOR_FETCHER_VERSIONS_H

#include "common/base/buf.h"
#include "fetcher/semver.h"

struct version {
    const char *text; /* the caller's; outlives the list */
    struct semver semver;
    void *data; /* the caller's */
};

struct versions {
    struct version *items;
    size_t count, capacity;
    size_t others; /* texts that are no versions */
};

void versions_add(struct versions *versions, const char *text, void *data);
void versions_release(struct versions *versions);
#define AUTO_VERSIONS __attribute__((cleanup(versions_release)))

/* The highest in the range; of those that differ in what follows "+" only, the last by byte. NULL:
 * there is none. */
const struct version *versions_highest(const struct versions *versions,
                                       const struct semver_range *range);

/* For messages: "It has 1.4.2, 1.4.1 and 12 others", those next to what the range names and the
 * highest; sorts the list. */
void versions_describe(struct versions *versions, const struct semver_range *range,
                       struct buf *out);

#endif
