#include "fetcher/mirror.h"

#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <git2/sys/odb_backend.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* libgit2's defaults (1 GiB, 8 GiB and 256 MiB) let one big repository exhaust a small node. */
#define WINDOW_SIZE ((size_t)32 << 20)
#define WINDOW_MAPPED_MAXIMUM ((size_t)256 << 20)
#define OBJECT_CACHE_MAXIMUM ((ssize_t)16 << 20)
/* Objects from this size on are packed whole, not searched for deltas: with twenty blobs of 10 MiB
 * that search took 50 s, and what applications deploy is small text. libgit2 1.8 takes the limit
 * from this key, which is named for another thing (src/libgit2/pack-objects.c). */
#define DELTA_KEY "pack.deltaCacheSize"
#define DELTA_MAXIMUM "524288"
/* With more packs than that they are merged. */
#define PACKS_MAXIMUM 32
/* Of one merge; the rest is for the next. */
#define MERGE_COUNT_MAXIMUM 256
#define URL_KEY "gitmoor.url"

bool mirror_git_error(struct error *error, const char *doing)
{
    const git_error *last = git_error_last();
    return error_set(error, ERROR_SYSTEM, "%s: %s", doing,
                     last && last->message ? last->message : "libgit2 gave no reason");
}

bool mirror_library_open(struct error *error)
{
    if (git_libgit2_init() < 0) {
        return mirror_git_error(error, "cannot initialise libgit2");
    }
    static const int levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM,
                                 GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "") < 0) {
            return mirror_git_error(error, "cannot clear libgit2's search path");
        }
    }
    git_libgit2_opts(GIT_OPT_SET_TEMPLATE_PATH, "");
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, WINDOW_SIZE);
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, WINDOW_MAPPED_MAXIMUM);
    git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, OBJECT_CACHE_MAXIMUM);
    /* A volume may belong to another user (fsGroup); the directory and its configuration are ours
     * all the same. */
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    return true;
}

void mirror_library_close(void)
{
    git_libgit2_shutdown();
}

void mirror_free_repository(git_repository **repository)
{
    git_repository_free(*repository);
    *repository = NULL;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    return walk->level == 0 ? 0 : remove(path);
}

bool mirror_empty(const char *directory, struct error *error)
{
    if (nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        return error_set_errno(error, errno, "cannot empty %s", directory);
    }
    return true;
}

/* nftw has no context argument; the workers have one thread. */
static _Thread_local uint64_t measured;

static int measure_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)path;
    (void)walk;
    if (type == FTW_F) {
        measured += (uint64_t)status->st_size;
    }
    return 0;
}

uint64_t mirror_size(const char *directory)
{
    measured = 0;
    nftw(directory, measure_entry, 16, FTW_PHYS);
    return measured;
}

/* Calls `visit` with the path of each file in <directory>/<below>. */
static void each_file(const char *directory, const char *below,
                      void (*visit)(const char *path, const char *name, void *context),
                      void *context)
{
    AUTO_FREE char *where = mem_format("%s/%s", directory, below);
    DIR *files = opendir(where);
    if (!files) {
        return;
    }
    for (struct dirent *entry = readdir(files); entry; entry = readdir(files)) {
        if (entry->d_name[0] != '.') {
            AUTO_FREE char *path = mem_format("%s/%s", where, entry->d_name);
            visit(path, entry->d_name, context);
        }
    }
    closedir(files);
}

static bool is_pack_file(const char *name)
{
    return text_has_prefix(name, "pack-") &&
           (text_has_suffix(name, ".pack") || text_has_suffix(name, ".idx"));
}

static void remove_unless_pack(const char *path, const char *name, void *context)
{
    (void)context;
    if (!is_pack_file(name)) {
        unlink(path);
    }
}

static void remove_if_lock(const char *path, const char *name, void *context)
{
    (void)context;
    if (text_has_suffix(name, ".lock")) {
        unlink(path);
    }
}

/* gpgv's directories, whose files are public. */
static void remove_if_temporary(const char *path, const char *name, void *context)
{
    (void)context;
    struct error ignored;
    if (text_has_prefix(name, "gitmoor-verify-")) {
        directory_remove(path, &ignored);
    }
}

/* A worker that was killed leaves its lock files, which would refuse every later fetch, and the
 * part of a pack that it had received. No other worker is in the directory. */
static void sweep(const char *directory)
{
    each_file(directory, ".", remove_if_lock, NULL);
    each_file(directory, "refs/heads", remove_if_lock, NULL);
    each_file(directory, "objects/pack", remove_unless_pack, NULL);
    each_file(directory, ".", remove_if_temporary, NULL);
}

static bool configure(git_repository *repository, const char *url)
{
    git_config *config = NULL;
    bool configured = git_repository_config(&config, repository) == 0 &&
                      git_config_set_string(config, DELTA_KEY, DELTA_MAXIMUM) == 0 &&
                      git_config_set_string(config, URL_KEY, url) == 0;
    git_config_free(config);
    return configured;
}

char *mirror_note(git_repository *repository, const char *key)
{
    git_config *config = NULL;
    git_buf value = {0};
    char *note = NULL;
    if (git_repository_config(&config, repository) == 0 &&
        git_config_get_string_buf(&value, config, key) == 0) {
        note = mem_string(value.ptr);
    }
    git_buf_dispose(&value);
    git_config_free(config);
    return note;
}

void mirror_set_note(git_repository *repository, const char *key, const char *value)
{
    git_config *config = NULL;
    if (git_repository_config(&config, repository) == 0) {
        git_config_set_string(config, key, value);
    }
    git_config_free(config);
}

static bool is_mirror_of(git_repository *repository, const char *url)
{
    AUTO_FREE char *recorded = mirror_note(repository, URL_KEY);
    return text_equal(recorded, url);
}

static bool initialise(const char *directory, const char *url, git_repository **ret,
                       struct error *error)
{
    if (!mirror_empty(directory, error)) {
        return false;
    }
    git_repository_init_options options;
    git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
    options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_NO_REINIT;
    options.initial_head = "gitmoor";
    AUTO_REPOSITORY git_repository *repository = NULL;
    if (git_repository_init_ext(&repository, directory, &options) < 0 ||
        !configure(repository, url)) {
        return mirror_git_error(error, "cannot make a Git repository in the data directory");
    }
    *ret = repository;
    repository = NULL;
    return true;
}

bool mirror_open(const char *directory, const char *url, git_repository **ret, struct error *error)
{
    sweep(directory);
    AUTO_REPOSITORY git_repository *repository = NULL;
    if (git_repository_open_bare(&repository, directory) == 0 && is_mirror_of(repository, url)) {
        *ret = repository;
        repository = NULL;
        return true;
    }
    return initialise(directory, url, ret, error);
}

static void count_pack(const char *path, const char *name, void *context)
{
    (void)path;
    unsigned *count = context;
    *count += text_has_suffix(name, ".pack");
}

unsigned mirror_pack_count(const char *directory)
{
    unsigned count = 0;
    each_file(directory, "objects/pack", count_pack, &count);
    return count;
}

struct merge {
    git_packbuilder *builder;
    char *indexes[MERGE_COUNT_MAXIMUM]; /* paths of the ".idx" of packs to merge */
    unsigned count;
};

static void choose_pack(const char *path, const char *name, void *context)
{
    struct merge *merge = context;
    struct stat status;
    if (text_has_suffix(name, ".pack") && merge->count < MERGE_COUNT_MAXIMUM &&
        stat(path, &status) == 0 && (uint64_t)status.st_size <= MIRROR_MERGE_MAXIMUM) {
        size_t stem = strlen(path) - strlen(".pack");
        merge->indexes[merge->count++] = mem_format("%.*s.idx", (int)stem, path);
    }
}

static int insert_object(const git_oid *id, void *builder)
{
    return git_packbuilder_insert(builder, id, NULL);
}

static bool insert_objects_of(git_packbuilder *builder, const char *index)
{
    git_odb *database = NULL;
    git_odb_backend *backend = NULL;
    bool inserted = git_odb_new(&database) == 0 && git_odb_backend_one_pack(&backend, index) == 0 &&
                    git_odb_add_backend(database, backend, 1) == 0 && /* takes it */
                    git_odb_foreach(database, insert_object, builder) == 0;
    git_odb_free(database);
    return inserted;
}

static void drop_merged(struct merge *merge)
{
    const char *written = git_packbuilder_name(merge->builder);
    for (unsigned i = 0; i < merge->count; i++) {
        char *index = merge->indexes[i];
        if (strstr(index, written)) {
            continue; /* it held everything already */
        }
        /* The index last: a pack without one is swept, an index without a pack is not used. */
        AUTO_FREE char *pack =
            mem_format("%.*s.pack", (int)(strlen(index) - strlen(".idx")), index);
        unlink(pack);
        unlink(index);
    }
}

void mirror_tidy(git_repository *repository, const char *directory)
{
    struct merge merge = {0};
    if (mirror_pack_count(directory) <= PACKS_MAXIMUM) {
        return;
    }
    each_file(directory, "objects/pack", choose_pack, &merge);
    bool merged = git_packbuilder_new(&merge.builder, repository) == 0;
    for (unsigned i = 0; merged && i < merge.count; i++) {
        merged = insert_objects_of(merge.builder, merge.indexes[i]);
    }
    /* path NULL: the object database's own directory */
    merged = merged && git_packbuilder_write(merge.builder, NULL, 0, NULL, NULL) == 0;
    if (merged) {
        drop_merged(&merge);
    }
    for (unsigned i = 0; i < merge.count; i++) {
        free(merge.indexes[i]);
    }
    git_packbuilder_free(merge.builder);
}

bool mirror_head(git_repository *repository, git_oid *ret)
{
    git_commit *commit = NULL;
    git_tree *tree = NULL;
    git_oid head;
    bool readable = git_reference_name_to_id(&head, repository, MIRROR_REFERENCE) == 0 &&
                    git_commit_lookup(&commit, repository, &head) == 0 &&
                    git_commit_tree(&tree, commit) == 0;
    git_tree_free(tree);
    git_commit_free(commit);
    if (readable) {
        *ret = head;
    }
    return readable;
}
