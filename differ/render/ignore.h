/* Which files of a tree do not count: the rules of .sourceignore files, in gitignore(5)'s syntax,
 * after defaults that leave out what continuous integration and editors put there.
 *
 * As with Git, the last pattern that matches decides, patterns of a deeper directory come after
 * those of the directories above it, and what lies in an excluded directory is out whatever
 * follows (the caller does not descend). Every default can be undone by a pattern with "!". */
#ifndef GITMOOR_DIFFER_RENDER_IGNORE_H
#define GITMOOR_DIFFER_RENDER_IGNORE_H

#include "common/base/arena.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define IGNORE_FILE ".sourceignore"
#define IGNORE_FILE_MAXIMUM ((size_t)128 << 10) /* bytes of one file */
#define IGNORE_PATTERNS_MAXIMUM 2000            /* of all files of one tree */

struct ignore_pattern;

struct ignore {
    struct ignore_pattern *patterns;
    size_t count;
    size_t capacity;
    struct arena arena;
};

void ignore_init(struct ignore *ignore); /* holds the defaults */
void ignore_release(struct ignore *ignore);

/* Adds the patterns of the file that lies in `directory` ("" is the root). Directories above must
 * be added before those below. `name` is for the message. */
bool ignore_add(struct ignore *ignore, const char *directory, const char *name, const char *text,
                size_t size, struct error *error);

/* Whether `path`, relative to the root, is excluded by itself (not by a directory above it). */
bool ignore_matches(const struct ignore *ignore, const char *path, bool is_directory);

/* One pattern against one name or path, for tests: '*', '?' and '[…]' do not match a slash. */
bool ignore_glob(const char *pattern, const char *text);

#endif
