/* The bare object database of one repository: packs are indexed into it, trees are read from it.
 * Never a checkout, never history: parents of the commits need not be here.
 *
 * Each commit whose tree is complete has a ref refs/gitmoor/<hex>, by which the parent process
 * enumerates what it holds; the last ODB_HELD_MAXIMUM are kept. When packs have accumulated, what
 * the refs need is written into one new pack and the others go.
 * One process at a time writes to a database, others may read it meanwhile, save while packs are
 * removed; their parent sees to that. */
#ifndef GITMOOR_DIFFER_RENDER_ODB_H
#define GITMOOR_DIFFER_RENDER_ODB_H

#include "common/base/error.h"
#include "differ/render/source.h"

#define ODB_REF_DIRECTORY "refs/gitmoor"
#define ODB_HELD_MAXIMUM 4
/* Each lookup asks every pack; fifty indexes cost less than one inflated object. */
#define ODB_PACKS_MAXIMUM 50

struct odb;

/* libgit2 with our limits (PITFALLS §1); counted, so calls nest. */
void odb_library_open(void);
void odb_library_close(void);

/* Opens the bare repository, or makes it. */
bool odb_open(const char *path, struct odb **ret, struct error *error);
void odb_close(struct odb *odb);
void odb_cleanup(struct odb **odb);
#define AUTO_ODB __attribute__((cleanup(odb_cleanup)))

/* Removes what a killed process left half-written. */
bool odb_remove_leftovers(struct odb *odb, struct error *error);

/* Copies and indexes a pack. ERROR_INVALID: it is not a whole, correct pack, or builds on objects
 * that are not here. ERROR_SYSTEM: it cannot be read or written. */
bool odb_index_pack(struct odb *odb, const char *pack, struct error *error);

/* The tree of a commit as a source, which the database must outlive. ERROR_UNAVAILABLE: the commit
 * or its tree is not here. ERROR_INVALID: `commit` is no commit. ERROR_INTERNAL: damaged. */
bool odb_open_commit(struct odb *odb, const char *commit, struct source **ret, struct error *error);

/* Whether the object of that id (hex) is here. */
bool odb_has(struct odb *odb, const char *id);

/* Gives the commit its ref, as the newest; removes the oldest beyond ODB_HELD_MAXIMUM. */
bool odb_hold(struct odb *odb, const char *commit, struct error *error);

/* Removes all refs: what is here is no longer claimed to be complete. */
bool odb_forget(struct odb *odb, struct error *error);

/* Removes all refs and packs of a damaged database. */
bool odb_empty(struct odb *odb, struct error *error);

/* With more than `maximum` packs: one new pack of all that the refs need. */
bool odb_compact(struct odb *odb, size_t maximum, struct error *error);

#endif
