/* Commits that are made here, of files that come from elsewhere than Git: a chart. The same files
 * and message make the same commit, whenever and wherever. Used in workers only. */
#ifndef GITMOOR_FETCHER_MIRROR_COMMIT_H
#define GITMOOR_FETCHER_MIRROR_COMMIT_H

#include "fetcher/mirror.h"

/* Files are held in memory until the commit is written, as one pack. */
struct mirror_commit;

/* NULL with an error. */
struct mirror_commit *mirror_commit_new(git_repository *repository, struct error *error);
void mirror_commit_free(struct mirror_commit *commit);

/* `path` is relative and clean. ERROR_INVALID: Git takes no such name, or it is there already. */
bool mirror_commit_add(struct mirror_commit *commit, const char *path, const void *data,
                       size_t size, struct error *error);

/* Writes it and puts MIRROR_REFERENCE there. It has no parent. */
bool mirror_commit_write(struct mirror_commit *commit, const char *message, git_oid *ret,
                         struct error *error);

/* The message of the commit at MIRROR_REFERENCE, to be freed; NULL if there is none whose tree can
 * be read. */
char *mirror_commit_message(git_repository *repository, git_oid *ret);

#endif
