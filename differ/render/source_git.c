/* A file tree in a Git object database: blobs are read by id, never checked out. Links of Git are
 * blobs that hold a target; submodules are commits, whose files are elsewhere.
 *
 * Cost: one lookup per part of a path; libgit2's cache keeps the trees that were read last. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/render/odb.h"
#include "differ/render/source.h"

#include <git2.h>
#include <stdio.h>
#include <string.h>

struct source_git {
    struct source base;
    git_repository *repository;
    const git_tree *root;
    bool owned; /* with its repository and root: a working copy's */
};

static bool source_git_fail(const char *path, int code, struct error *error)
{
    const git_error *reason = git_error_last();
    /* Objects that are not here can be asked for; anything else is damage. */
    error_set(error, code == GIT_ENOTFOUND ? ERROR_UNAVAILABLE : ERROR_INTERNAL,
              "cannot read %s from the Git object database: %s", *path ? path : "the root",
              reason && reason->message ? reason->message : "unknown error");
    return false;
}

static void source_git_entry_cleanup(git_tree_entry **entry)
{
    git_tree_entry_free(*entry);
}
#define AUTO_ENTRY __attribute__((cleanup(source_git_entry_cleanup)))

static void source_git_tree_cleanup(git_tree **tree)
{
    git_tree_free(*tree);
}

static enum source_type source_git_type(git_filemode_t mode)
{
    switch (mode) {
    case GIT_FILEMODE_TREE:
        return SOURCE_DIRECTORY;
    case GIT_FILEMODE_LINK:
        return SOURCE_LINK;
    case GIT_FILEMODE_COMMIT:
        return SOURCE_SUBMODULE;
    default:
        return SOURCE_FILE;
    }
}

/* Finds the entry of a path other than the root. GIT_ENOTFOUND is told apart: from a tree that
 * lacks the name (*ret_missing) and from an object that is not in the database (an error). */
static bool source_git_find(struct source *source, const char *path, git_tree_entry **ret,
                            bool *ret_missing, struct error *error)
{
    struct source_git *git = (struct source_git *)source;
    git_tree *tree = NULL; /* owned, save for the root */
    __attribute__((cleanup(source_git_tree_cleanup))) git_tree *held = NULL;
    *ret_missing = false;
    for (;;) {
        char name[SOURCE_PATH_MAXIMUM];
        const char *slash = strchr(path, '/');
        size_t length = slash ? (size_t)(slash - path) : strlen(path);
        if (length >= sizeof(name)) {
            return error_set(error, ERROR_LIMIT, "a name has over %d bytes", SOURCE_PATH_MAXIMUM);
        }
        memcpy(name, path, length);
        name[length] = '\0';
        const git_tree_entry *entry = git_tree_entry_byname(held ? held : git->root, name);
        if (!entry || (slash && git_tree_entry_type(entry) != GIT_OBJECT_TREE)) {
            *ret_missing = true;
            return true;
        }
        if (!slash) {
            int code = git_tree_entry_dup(ret, entry);
            return code ? source_git_fail(path, code, error) : true;
        }
        int code = git_tree_lookup(&tree, git->repository, git_tree_entry_id(entry));
        if (code) {
            return source_git_fail(path, code, error);
        }
        git_tree_free(held);
        held = tree;
        path = slash + 1;
    }
}

static bool source_git_stat(struct source *source, const char *path, enum source_type *ret,
                            struct error *error)
{
    if (*path == '\0') {
        *ret = SOURCE_DIRECTORY;
        return true;
    }
    AUTO_ENTRY git_tree_entry *entry = NULL;
    bool missing;
    if (!source_git_find(source, path, &entry, &missing, error)) {
        return false;
    }
    *ret = missing ? SOURCE_NONE : source_git_type(git_tree_entry_filemode(entry));
    return true;
}

static bool source_git_list(struct source *source, const char *path, struct arena *arena,
                            struct source_entry **ret, size_t *ret_count, struct error *error)
{
    struct source_git *git = (struct source_git *)source;
    __attribute__((cleanup(source_git_tree_cleanup))) git_tree *held = NULL;
    const git_tree *tree = git->root;
    if (*path) {
        AUTO_ENTRY git_tree_entry *entry = NULL;
        bool missing;
        if (!source_git_find(source, path, &entry, &missing, error)) {
            return false;
        }
        if (missing) {
            return error_set(error, ERROR_NOT_FOUND, "there is no directory %s", path);
        }
        int code = git_tree_lookup(&held, git->repository, git_tree_entry_id(entry));
        if (code) {
            return source_git_fail(path, code, error);
        }
        tree = held;
    }
    size_t count = git_tree_entrycount(tree);
    if (count > SOURCE_ENTRIES_MAXIMUM) {
        return error_set(error, ERROR_LIMIT, "%s has more than %d entries", path,
                         SOURCE_ENTRIES_MAXIMUM);
    }
    struct source_entry *entries = arena_new(arena, count * sizeof(*entries) + 1);
    for (size_t i = 0; i < count; i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
        entries[i].name = arena_string(arena, git_tree_entry_name(entry));
        entries[i].type = source_git_type(git_tree_entry_filemode(entry));
    }
    *ret = entries;
    *ret_count = count;
    return true;
}

static void source_git_object_cleanup(git_odb_object **object)
{
    git_odb_object_free(*object);
}

static void source_git_odb_cleanup(git_odb **odb)
{
    git_odb_free(*odb);
}

/* Appends a blob, its size checked by its header before it is inflated. */
static bool source_git_read_blob(struct source *source, const char *path, struct buf *out,
                                 struct error *error)
{
    struct source_git *git = (struct source_git *)source;
    AUTO_ENTRY git_tree_entry *entry = NULL;
    bool missing;
    if (!source_git_find(source, path, &entry, &missing, error)) {
        return false;
    }
    if (missing) {
        return error_set(error, ERROR_NOT_FOUND, "there is no file %s", path);
    }
    __attribute__((cleanup(source_git_odb_cleanup))) git_odb *odb = NULL;
    __attribute__((cleanup(source_git_object_cleanup))) git_odb_object *object = NULL;
    size_t size = 0;
    git_object_t type;
    int code = git_repository_odb(&odb, git->repository);
    code = code ? code : git_odb_read_header(&size, &type, odb, git_tree_entry_id(entry));
    if (code) {
        return source_git_fail(path, code, error);
    }
    if (type != GIT_OBJECT_BLOB) {
        return error_set(error, ERROR_INVALID, "%s is not a file in Git", path);
    }
    if (size > out->maximum - out->size) {
        return error_set(error, ERROR_LIMIT, "%s has %zu bytes; the limit is %zu", path, size,
                         out->maximum);
    }
    code = git_odb_read(&object, odb, git_tree_entry_id(entry));
    if (code) {
        return source_git_fail(path, code, error);
    }
    if (!buf_append(out, git_odb_object_data(object), git_odb_object_size(object))) {
        return error_set(error, ERROR_LIMIT, "%s is larger than %zu bytes", path, out->maximum);
    }
    return true;
}

static const char *source_git_id(struct source *source, const char *path, struct arena *arena)
{
    struct source_git *git = (struct source_git *)source;
    char hex[GIT_OID_MAX_HEXSIZE + 1];
    if (*path == '\0') {
        return arena_string(arena, git_oid_tostr(hex, sizeof(hex), git_tree_id(git->root)));
    }
    AUTO_ENTRY git_tree_entry *entry = NULL;
    bool missing;
    if (!source_git_find(source, path, &entry, &missing, NULL) || missing) {
        return NULL;
    }
    return arena_string(arena, git_oid_tostr(hex, sizeof(hex), git_tree_entry_id(entry)));
}

static void source_git_free(struct source *source)
{
    struct source_git *git = (struct source_git *)source;
    if (git->owned) {
        git_tree_free((git_tree *)git->root);
        git_repository_free(git->repository);
        odb_library_close();
    }
    free(source);
}

static const struct source_class source_git_class = {
    .stat = source_git_stat,
    .list = source_git_list,
    .read = source_git_read_blob,
    .read_link = source_git_read_blob,
    .id = source_git_id,
    .free = source_git_free,
};

struct source *source_open_tree(struct git_repository *repository, const struct git_tree *tree)
{
    struct source_git *git = NEW(struct source_git);
    git->base.class_ = &source_git_class;
    git->repository = repository;
    git->root = tree;
    return &git->base;
}

/* ---- A working copy's repository ---- */

static void source_git_named_cleanup(git_object **object)
{
    git_object_free(*object);
}
#define AUTO_OBJECT __attribute__((cleanup(source_git_named_cleanup)))

/* The commit that a word names, and its tree. */
static bool source_git_look_up(git_repository *repository, const char *revision,
                               char ret_commit[SOURCE_COMMIT_SIZE], git_tree **ret,
                               struct error *error)
{
    AUTO_OBJECT git_object *named = NULL;
    AUTO_OBJECT git_object *commit = NULL;
    if (git_revparse_single(&named, repository, revision) ||
        git_object_peel(&commit, named, GIT_OBJECT_COMMIT)) {
        return error_set(error, ERROR_NOT_FOUND, "there is no commit %s in the repository at %s",
                         revision, git_repository_path(repository));
    }
    git_oid_tostr(ret_commit, SOURCE_COMMIT_SIZE, git_object_id(commit));
    int code = git_commit_tree(ret, (git_commit *)commit);
    return code == 0 || source_git_fail(revision, code, error);
}

bool source_open_revision(const char *directory, const char *revision, struct source **ret,
                          char ret_commit[SOURCE_COMMIT_SIZE], struct error *error)
{
    git_tree *tree = NULL;
    odb_library_open();
    git_repository *repository = NULL;
    if (git_repository_open_ext(&repository, directory, 0, NULL)) {
        error_set(error, ERROR_NOT_FOUND, "there is no Git repository at or above %s", directory);
    } else if (source_git_look_up(repository, revision, ret_commit, &tree, error)) {
        struct source *source = source_open_tree(repository, tree);
        ((struct source_git *)source)->owned = true;
        *ret = source;
        return true;
    }
    git_repository_free(repository);
    odb_library_close();
    return false;
}
