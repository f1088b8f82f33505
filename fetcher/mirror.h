/* The mirror of a repository: a bare Git repository on our disk, `<data-dir>/<uid>.git`, that only
 * workers touch, one at a time. It holds one reference, MIRROR_REFERENCE, at what was fetched last;
 * it can be thrown away at any time. Used in workers only. */
#ifndef GITMOOR_FETCHER_MIRROR_H
#define GITMOOR_FETCHER_MIRROR_H

#include "common/base/error.h"

#include <git2.h>
#include <stdint.h>

#define MIRROR_REFERENCE "refs/heads/gitmoor"

/* Initialises libgit2 for a worker: no configuration of the system or a user, small windows. */
bool mirror_library_open(struct error *error);
void mirror_library_close(void);

/* Opens the mirror of `url` in `directory`, which must exist. What a killed worker left behind
 * (lock files, half of a pack) is removed. An empty directory is initialised; one that is no
 * repository, or that of another URL, is emptied first. */
bool mirror_open(const char *directory, const char *url, git_repository **ret, struct error *error);

/* Removes everything in `directory`, but not the directory: in the sandbox it could not be made
 * again. */
bool mirror_empty(const char *directory, struct error *error);

/* Bytes of the files in it. */
uint64_t mirror_size(const char *directory);

/* Number of packs: each fetch adds one, and each costs every look-up. */
unsigned mirror_pack_count(const char *directory);

/* After a fetch: where there are many packs, those under MIRROR_MERGE_MAXIMUM bytes are merged into
 * one; if that fails, the next fetch does it. The big one of the first fetch stays as the server
 * made it: libgit2 would search its deltas again, for minutes. */
#define MIRROR_MERGE_MAXIMUM ((uint64_t)16 << 20)
void mirror_tidy(git_repository *repository, const char *directory);

/* A word that is kept with the mirror, and goes with it; NULL if there is none; to be freed. `key`
 * is a name of Git's configuration: "gitmoor.etag". Not to be able to keep one does no harm. */
char *mirror_note(git_repository *repository, const char *key);
void mirror_set_note(git_repository *repository, const char *key, const char *value);

/* The commit at MIRROR_REFERENCE, if it and its root tree can be read. */
bool mirror_head(git_repository *repository, git_oid *ret);

/* Fills the error from libgit2's last one: "<doing>: <what libgit2 says>". Returns false. */
bool mirror_git_error(struct error *error, const char *doing);

void mirror_free_repository(git_repository **repository);
#define AUTO_REPOSITORY __attribute__((cleanup(mirror_free_repository)))

#endif
