/* The bare object database, by libgit2. Everything in it can be had again from the fetcher, so
 * whatever seems broken is thrown away rather than mended. */
#include "differ/render/odb.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Source: PITFALLS §1; libgit2's defaults are 1 GiB, 8 GiB and 256 MiB. */
#define ODB_WINDOW ((size_t)32 << 20)
#define ODB_MAPPED ((size_t)256 << 20)
#define ODB_CACHE ((ssize_t)16 << 20)
/* A directory of ten thousand entries is a tree of 400 kB, read once for each application in it. */
#define ODB_CACHED_TREE ((size_t)1 << 20)
/* The indexer allocates by the count that the pack's header claims: 8 bytes each. */
#define ODB_PACK_OBJECTS 10000000

struct odb {
    char *path;
    git_repository *repository;
    git_odb *objects;
    git_tree *tree; /* of the commit opened last */
};

static bool odb_fail(enum error_code code, const char *what, struct error *error)
{
    const git_error *reason = git_error_last();
    if (reason && reason->klass == GIT_ERROR_OS) {
        code = ERROR_SYSTEM;
    }
    return error_set(error, code, "%s: %s", what,
                     reason && reason->message ? reason->message : "unknown error");
}

void odb_library_open(void)
{
    git_libgit2_init();
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, ODB_WINDOW);
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, ODB_MAPPED);
    git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, ODB_CACHE);
    git_libgit2_opts(GIT_OPT_SET_CACHE_OBJECT_LIMIT, GIT_OBJECT_TREE, ODB_CACHED_TREE);
    git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECTS, (size_t)ODB_PACK_OBJECTS);
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    static const int levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM,
                                 GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL};
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
    }
}

void odb_library_close(void)
{
    git_libgit2_shutdown();
}

/* ---- Files of the database ---- */

/* Calls `visit` for each file of a directory below the database; a missing directory is empty. */
static bool odb_each_file(const struct odb *odb, const char *directory,
                          bool (*visit)(int fd, const char *name, void *context,
                                        struct error *error),
                          void *context, struct error *error)
{
    AUTO_FREE char *path = mem_format("%s/%s", odb->path, directory);
    DIR *stream = opendir(path);
    if (!stream) {
        return errno == ENOENT ? true : error_set_errno(error, errno, "cannot read %s", path);
    }
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(stream));) {
        if (entry->d_name[0] != '.') {
            ok = visit(dirfd(stream), entry->d_name, context, error);
        }
    }
    closedir(stream);
    return ok;
}

static bool odb_unlink(int fd, const char *name, struct error *error)
{
    if (unlinkat(fd, name, 0) && errno != ENOENT && errno != EISDIR) {
        return error_set_errno(error, errno, "cannot remove %s", name);
    }
    return true;
}

static bool odb_visit_remove(int fd, const char *name, void *context, struct error *error)
{
    (void)context;
    return odb_unlink(fd, name, error);
}

static bool odb_is_pack(const char *name)
{
    return text_has_prefix(name, "pack-") && text_has_suffix(name, ".pack");
}

/* Removes what an indexer that was killed left: its temporary files, and a pack without index. */
static bool odb_visit_leftover(int fd, const char *name, void *context, struct error *error)
{
    (void)context;
    if (!odb_is_pack(name)) {
        bool whole = text_has_prefix(name, "pack-") && text_has_suffix(name, ".idx");
        return whole ? true : odb_unlink(fd, name, error);
    }
    AUTO_FREE char *index = mem_format("%.*s.idx", (int)(strlen(name) - strlen(".pack")), name);
    return faccessat(fd, index, F_OK, 0) == 0 ? true : odb_unlink(fd, name, error);
}

static bool odb_visit_count(int fd, const char *name, void *context, struct error *error)
{
    (void)fd;
    (void)error;
    *(size_t *)context += odb_is_pack(name);
    return true;
}

/* Removes packs and indexes whose name does not hold the context's text. */
static bool odb_visit_other_pack(int fd, const char *name, void *context, struct error *error)
{
    return strstr(name, context) ? true : odb_unlink(fd, name, error);
}

/* ---- Opening ---- */

static bool odb_create(const char *path, git_repository **ret, struct error *error)
{
    git_repository_init_options options = {
        .version = GIT_REPOSITORY_INIT_OPTIONS_VERSION,
        .flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH,
        .mode = 0700,
    };
    AUTO_FREE char *what = mem_format("cannot make the object database %s", path);
    git_config *config = NULL;
    if (git_repository_init_ext(ret, path, &options)) {
        return odb_fail(ERROR_SYSTEM, what, error);
    }
    /* No search for deltas when packs are merged: it would cost more than the space is worth. */
    int code = git_repository_config(&config, *ret);
    code = code ? code : git_config_set_int64(config, "core.bigFileThreshold", 1);
    git_config_free(config);
    return code ? odb_fail(ERROR_SYSTEM, what, error) : true;
}

bool odb_open(const char *path, struct odb **ret, struct error *error)
{
    AUTO_ODB struct odb *odb = NEW(struct odb);
    odb_library_open();
    odb->path = mem_string(path);
    if (git_repository_open_bare(&odb->repository, path) &&
        !odb_create(path, &odb->repository, error)) {
        return false;
    }
    if (git_repository_odb(&odb->objects, odb->repository)) {
        return odb_fail(ERROR_INTERNAL, "cannot open the object database", error);
    }
    *ret = odb;
    odb = NULL;
    return true;
}

void odb_close(struct odb *odb)
{
    if (odb) {
        git_tree_free(odb->tree);
        git_odb_free(odb->objects);
        git_repository_free(odb->repository);
        free(odb->path);
        free(odb);
        odb_library_close();
    }
}

void odb_cleanup(struct odb **odb)
{
    odb_close(*odb);
}

/* ---- Packs ---- */

bool odb_remove_leftovers(struct odb *odb, struct error *error)
{
    return odb_each_file(odb, "objects/pack", odb_visit_leftover, NULL, error);
}

static bool odb_feed(git_indexer *indexer, int fd, const char *pack, struct error *error)
{
    git_indexer_progress progress = {0};
    const size_t chunk = (size_t)256 << 10;
    AUTO_FREE char *data = mem_new(1, chunk);
    for (;;) {
        ssize_t size = read(fd, data, chunk);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0) {
            return error_set_errno(error, errno, "cannot read the pack %s", pack);
        }
        if (size == 0) {
            break;
        }
        if (git_indexer_append(indexer, data, (size_t)size, &progress)) {
            return odb_fail(ERROR_INVALID, "the pack is not correct", error);
        }
    }
    /* libgit2 commits a pack of which not one byte came, without complaint or result. */
    if (progress.total_objects == 0) {
        return error_set(error, ERROR_INVALID, "the pack is empty");
    }
    if (git_indexer_commit(indexer, &progress)) {
        return odb_fail(ERROR_INVALID, "the pack is not whole", error);
    }
    return true;
}

bool odb_index_pack(struct odb *odb, const char *pack, struct error *error)
{
    git_indexer *indexer = NULL;
    AUTO_FREE char *directory = mem_format("%s/objects/pack", odb->path);
    AUTO_CLOSE int fd = open(pack, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot open the pack %s", pack);
    }
    if (git_indexer_new(&indexer, directory, 0600, odb->objects, NULL)) {
        return odb_fail(ERROR_SYSTEM, "cannot begin to index the pack", error);
    }
    bool ok = odb_feed(indexer, fd, pack, error);
    git_indexer_free(indexer);
    if (ok && git_odb_refresh(odb->objects)) {
        return odb_fail(ERROR_INTERNAL, "cannot read the new pack", error);
    }
    return ok;
}

/* Opens everything anew, after packs were removed from under libgit2. */
static bool odb_reopen(struct odb *odb, struct error *error)
{
    git_tree_free(odb->tree);
    git_odb_free(odb->objects);
    git_repository_free(odb->repository);
    odb->tree = NULL;
    odb->objects = NULL;
    odb->repository = NULL;
    if (git_repository_open_bare(&odb->repository, odb->path) ||
        git_repository_odb(&odb->objects, odb->repository)) {
        return odb_fail(ERROR_INTERNAL, "cannot open the object database again", error);
    }
    return true;
}

/* ---- Objects ---- */

static bool odb_parse_id(const char *hex, git_oid *ret, struct error *error)
{
    if (strlen(hex) != GIT_OID_SHA1_HEXSIZE || git_oid_fromstr(ret, hex)) {
        return error_set(error, ERROR_INVALID,
                         "%.80s is not the id of a commit: 40 hexadecimal digits", hex);
    }
    return true;
}

bool odb_has(struct odb *odb, const char *id)
{
    git_oid oid;
    return odb_parse_id(id, &oid, NULL) && git_odb_exists(odb->objects, &oid);
}

bool odb_open_commit(struct odb *odb, const char *commit, struct source **ret, struct error *error)
{
    git_oid id;
    git_object *object = NULL;
    git_tree *tree = NULL;
    if (!odb_parse_id(commit, &id, error)) {
        return false;
    }
    int code = git_object_lookup(&object, odb->repository, &id, GIT_OBJECT_ANY);
    if (code == 0 && git_object_type(object) != GIT_OBJECT_COMMIT) {
        git_object_free(object);
        return error_set(error, ERROR_INVALID, "%s is not a commit", commit);
    }
    code = code ? code : git_commit_tree(&tree, (git_commit *)object);
    git_object_free(object);
    if (code) {
        AUTO_FREE char *what = mem_format("cannot read the commit %s", commit);
        return odb_fail(code == GIT_ENOTFOUND ? ERROR_UNAVAILABLE : ERROR_INTERNAL, what, error);
    }
    git_tree_free(odb->tree);
    odb->tree = tree;
    *ret = source_open_tree(odb->repository, tree);
    return true;
}

/* ---- Refs ---- */

struct odb_ref {
    char name[GIT_OID_SHA1_HEXSIZE + 1];
    struct timespec written;
};

struct odb_refs {
    struct odb_ref *refs;
    size_t count;
};

static bool odb_visit_ref(int fd, const char *name, void *context, struct error *error)
{
    struct odb_refs *refs = context;
    struct stat status;
    git_oid id;
    /* What is not an id is the lock file of a process that was killed. */
    if (!odb_parse_id(name, &id, NULL)) {
        return odb_unlink(fd, name, error);
    }
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        refs->refs = mem_resize(refs->refs, refs->count + 1, sizeof(*refs->refs));
        memcpy(refs->refs[refs->count].name, name, sizeof(refs->refs[0].name));
        refs->refs[refs->count++].written = status.st_mtim;
    }
    return true;
}

static int odb_compare_refs(const void *left_pointer, const void *right_pointer)
{
    const struct timespec *left = &((const struct odb_ref *)left_pointer)->written;
    const struct timespec *right = &((const struct odb_ref *)right_pointer)->written;
    if (left->tv_sec != right->tv_sec) {
        return left->tv_sec > right->tv_sec ? -1 : 1;
    }
    return (left->tv_nsec < right->tv_nsec) - (left->tv_nsec > right->tv_nsec);
}

static bool odb_list_refs(struct odb *odb, struct odb_refs *ret, struct error *error)
{
    *ret = (struct odb_refs){0};
    if (!odb_each_file(odb, ODB_REF_DIRECTORY, odb_visit_ref, ret, error)) {
        free(ret->refs);
        return false;
    }
    if (ret->count) {
        qsort(ret->refs, ret->count, sizeof(*ret->refs), odb_compare_refs);
    }
    return true;
}

bool odb_hold(struct odb *odb, const char *commit, struct error *error)
{
    git_oid id;
    git_reference *reference = NULL;
    struct odb_refs refs;
    AUTO_FREE char *name = mem_format("%s/%s", ODB_REF_DIRECTORY, commit);
    AUTO_FREE char *path = mem_format("%s/%s", odb->path, name);
    if (!odb_parse_id(commit, &id, error)) {
        return false;
    }
    if (git_reference_create(&reference, odb->repository, name, &id, 1, NULL)) {
        return odb_fail(ERROR_SYSTEM, "cannot write a ref", error);
    }
    git_reference_free(reference);
    if (utimensat(AT_FDCWD, path, NULL, 0)) {
        return error_set_errno(error, errno, "cannot touch %s", path);
    }
    if (!odb_list_refs(odb, &refs, error)) {
        return false;
    }
    for (size_t i = ODB_HELD_MAXIMUM; i < refs.count; i++) {
        AUTO_FREE char *old =
            mem_format("%s/%s/%s", odb->path, ODB_REF_DIRECTORY, refs.refs[i].name);
        odb_unlink(AT_FDCWD, old, NULL); /* tried again with the next commit */
    }
    free(refs.refs);
    return true;
}

bool odb_forget(struct odb *odb, struct error *error)
{
    return odb_each_file(odb, ODB_REF_DIRECTORY, odb_visit_remove, NULL, error);
}

bool odb_empty(struct odb *odb, struct error *error)
{
    return odb_forget(odb, error) &&
           odb_each_file(odb, "objects/pack", odb_visit_remove, NULL, error) &&
           odb_reopen(odb, error);
}

/* ---- Compaction ---- */

static bool odb_write_pack(struct odb *odb, const struct odb_refs *refs, char **ret_name,
                           struct error *error)
{
    git_packbuilder *builder = NULL;
    int code = git_packbuilder_new(&builder, odb->repository);
    if (code == 0) {
        git_packbuilder_set_threads(builder, 1);
    }
    for (size_t i = 0; code == 0 && i < refs->count; i++) {
        git_oid id;
        code = git_oid_fromstr(&id, refs->refs[i].name);
        code = code ? code : git_packbuilder_insert_commit(builder, &id);
    }
    code = code ? code : git_packbuilder_write(builder, NULL, 0600, NULL, NULL);
    if (code == 0) {
        *ret_name = mem_string(git_packbuilder_name(builder));
    }
    git_packbuilder_free(builder);
    return code ? odb_fail(ERROR_INTERNAL, "cannot merge the packs", error) : true;
}

bool odb_compact(struct odb *odb, size_t maximum, struct error *error)
{
    size_t packs = 0;
    struct odb_refs refs;
    AUTO_FREE char *name = NULL;
    if (!odb_each_file(odb, "objects/pack", odb_visit_count, &packs, error) ||
        !odb_list_refs(odb, &refs, error)) {
        return false;
    }
    bool worth = packs > maximum && refs.count > 0;
    bool ok = worth ? odb_write_pack(odb, &refs, &name, error) : true;
    free(refs.refs);
    if (!worth || !ok) {
        return ok;
    }
    return odb_each_file(odb, "objects/pack", odb_visit_other_pack, name, error) &&
           odb_reopen(odb, error);
}
