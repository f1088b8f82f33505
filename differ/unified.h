/* The difference of two texts as a unified diff: libgit2's, in lines. */
#ifndef GITMOOR_DIFFER_UNIFIED_H
#define GITMOOR_DIFFER_UNIFIED_H

#include "common/base/error.h"

#include <stddef.h>

/* Calls `line` for each line: `origin` is '@' for the head of a hunk ("@@ -1,3 +1,4 @@"), ' ', '-'
 * or '+'; `text` has no line break at its end. Nothing is called if the texts are equal. */
bool unified_diff(const char *before, const char *after, unsigned context_lines,
                  void (*line)(char origin, const char *text, size_t size, void *context),
                  void *context, struct error *error);

#endif
