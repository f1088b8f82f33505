/* Revisions as people write them, and as the cluster holds them: "main@sha1:4f2a…", "1.4.2@sha1:…"
 * of a chart. */
#ifndef GITMOOR_CLI_REVISION_H
#define GITMOOR_CLI_REVISION_H

#include <stdbool.h>

/* Whether `word` means it: the whole of it, or the beginning of its commit (at least four digits).
 * `revision` may be NULL: nothing means that. */
bool revision_is_meant(const char *revision, const char *word);

/* Whether both are of one commit, under whatever name of a branch or tag. NULL is of none. */
bool revision_is_same(const char *left, const char *right);

#endif
