/* Semantic versions (semver.org, 2.0.0) and ranges of them as Helm and Flux have them: a module of
 * Masterminds' in Go, which is the oracle of the tests. */
#ifndef GITMOOR_FETCHER_SEMVER_H
#define GITMOOR_FETCHER_SEMVER_H

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define SEMVER_TEXT_MAXIMUM 256  /* bytes of a version */
#define SEMVER_RANGE_MAXIMUM 512 /* bytes of a range */

/* Points into the text that it was read from. */
struct semver {
    uint64_t numbers[3];
    const char *pre; /* identifiers of a pre-release, "rc.1" */
    size_t pre_size; /* 0: a release */
};

/* "1.4.2-rc.1+build", with or without a "v" before it. All three numbers must be there, so that a
 * tag such as 20260101 is no version. */
bool semver_parse(const char *text, struct semver *ret);

/* By precedence: what stands after "+" does not count. <0, 0, >0. */
int semver_compare(const struct semver *left, const struct semver *right);

/* A range: comparisons (= != > >= < <= ~ ^, none is =), of which all must hold where they stand
 * side by side or with commas between, and any of those divided by ||. Parts left out, x and *
 * stand for any number ("1.x", "*"); "1.2 - 1.4" is >=1.2, <=1.4. A pre-release is in it only if
 * one of the comparisons beside each other names a pre-release. An empty text is "*". */
struct semver_range;

/* NULL: it is none, and the error quotes it. */
struct semver_range *semver_range_new(const char *text, struct error *error);
void semver_range_free(struct semver_range *range); /* NULL is fine */
bool semver_range_holds(const struct semver_range *range, const struct semver *version);
/* A version that the range names, for saying what is near it; false for "*". */
bool semver_range_anchor(const struct semver_range *range, struct semver *ret);

#endif
