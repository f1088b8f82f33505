/* A read-only file tree: a directory on disk, or a tree in a bare Git object database.
 *
 * Paths are relative to the root of the tree, which is also the root of containment: '/' between
 * names, no leading or trailing slash, "" is the root itself. Nothing outside the root is ever
 * read: symbolic links are followed by source_resolve alone, name by name, and one that would leave
 * the root is an error. The other functions take resolved paths and follow no link. */
#ifndef GITMOOR_DIFFER_RENDER_SOURCE_H
#define GITMOOR_DIFFER_RENDER_SOURCE_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define SOURCE_LINKS_MAXIMUM 40      /* followed in one resolution, as Linux does */
#define SOURCE_PATH_MAXIMUM 4096     /* bytes, as PATH_MAX */
#define SOURCE_ENTRIES_MAXIMUM 50000 /* of one directory */

enum source_type {
    SOURCE_NONE, /* there is nothing of that name */
    SOURCE_FILE,
    SOURCE_DIRECTORY,
    SOURCE_LINK,
    SOURCE_SUBMODULE, /* in Git only: another repository's commit */
    SOURCE_OTHER      /* on disk only: devices, sockets, pipes */
};

struct source_entry {
    const char *name;
    enum source_type type;
};

struct source;

/* `root` on disk; it may itself be reached through links. */
bool source_open_directory(const char *root, struct source **ret, struct error *error);

/* `tree` and `repository` are libgit2's; both outlive the source. An object that the database
 * lacks is ERROR_UNAVAILABLE, a damaged one ERROR_INTERNAL. */
struct git_repository;
struct git_tree;
struct source *source_open_tree(struct git_repository *repository, const struct git_tree *tree);

#define SOURCE_COMMIT_SIZE 65

/* A commit of the repository at or above a directory, bare or with a working copy, as Git's own
 * words name it ("HEAD", "main~1", an id); its id is handed out. ERROR_NOT_FOUND: there is none. */
bool source_open_revision(const char *directory, const char *revision, struct source **ret,
                          char ret_commit[SOURCE_COMMIT_SIZE], struct error *error);

void source_free(struct source *source);
void source_cleanup(struct source **source);
#define AUTO_SOURCE __attribute__((cleanup(source_cleanup)))

/* What is at `path`; SOURCE_NONE is an answer, not an error. */
bool source_stat(struct source *source, const char *path, enum source_type *ret,
                 struct error *error);

/* The entries of a directory sorted as full paths are by byte order ("a-b" before "a/" before
 * "a0"), allocated in the arena. "." and ".." are not among them. */
bool source_list(struct source *source, const char *path, struct arena *arena,
                 struct source_entry **ret, size_t *ret_count, struct error *error);

/* Appends the content of a file; ERROR_LIMIT if it would exceed the buffer's maximum, before any
 * of it is read. */
bool source_read(struct source *source, const char *path, struct buf *out, struct error *error);

/* Appends the target of a symbolic link. */
bool source_read_link(struct source *source, const char *path, struct buf *out,
                      struct error *error);

/* An id that changes whenever the content of the file, link or directory does, NUL-terminated in
 * the arena. NULL if the tree keeps none (on disk) or nothing is there. */
const char *source_id(struct source *source, const char *path, struct arena *arena);

/* Follows links in every part of `path`. `visit` (may be NULL) is told each link on the way, and
 * each place where nothing was found. Writes the resolved path (arena) and what is there. Errors:
 * ERROR_DENIED for a path that leaves the root, ERROR_INVALID for a loop or a malformed path. */
bool source_resolve(struct source *source, const char *path, struct arena *arena,
                    void (*visit)(const char *path, void *context), void *context,
                    const char **ret_path, enum source_type *ret_type, struct error *error);

/* Joins a directory and a name: "a" + "b" is "a/b", "" + "b" is "b". */
const char *source_join(struct arena *arena, const char *directory, const char *name);

/* ---- For implementations ---- */
struct source_class {
    bool (*stat)(struct source *source, const char *path, enum source_type *ret,
                 struct error *error);
    /* Unsorted. */
    bool (*list)(struct source *source, const char *path, struct arena *arena,
                 struct source_entry **ret, size_t *ret_count, struct error *error);
    bool (*read)(struct source *source, const char *path, struct buf *out, struct error *error);
    bool (*read_link)(struct source *source, const char *path, struct buf *out,
                      struct error *error);
    const char *(*id)(struct source *source, const char *path, struct arena *arena);
    void (*free)(struct source *source);
};

struct source {
    const struct source_class *class_;
};

#endif
