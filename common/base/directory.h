/* Directories of our own: made, removed with everything in them, listed. */
#ifndef GITMOOR_BASE_DIRECTORY_H
#define GITMOOR_BASE_DIRECTORY_H

#include "common/base/error.h"

/* Makes it and its parents, mode 0700. */
bool directory_make(const char *path, struct error *error);
/* Makes it, and its parents, where nobody else may look into it; one that is there must be ours and
 * closed to others. */
bool directory_make_private(const char *path, struct error *error);
bool directory_exists(const char *path);
/* With everything in it; one that is not there is no failure. Symbolic links are not followed. */
bool directory_remove(const char *path, struct error *error);
/* What is in it, but not the directory itself; as far as that can be done. */
void directory_clear(const char *path);
/* Whether it is on a file system that has no disk (tmpfs, ramfs); else the error says where it is
 * instead. */
bool directory_is_in_memory(const char *path, struct error *error);
/* Whether it can be part of a path: letters, digits and dashes, as a uid has. */
bool directory_is_name(const char *name);
/* Calls `visit` with the stem of each "<stem>.git" in `path`. */
void directory_each_mirror(const char *path, void (*visit)(const char *stem, void *context),
                           void *context);

#endif
