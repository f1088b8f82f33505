#include "fetcher/mirror_commit.h"

#include "common/base/memory.h"

#include <git2/sys/mempack.h>
#include <git2/sys/odb_backend.h>

#define MEMORY_PRIORITY 1000 /* before the files: everything is written here first */

struct mirror_commit {
    git_repository *repository;
    git_odb *database;
    git_odb_backend *memory; /* the database's */
    git_index *index;
};

struct mirror_commit *mirror_commit_new(git_repository *repository, struct error *error)
{
    struct mirror_commit *commit = NEW(struct mirror_commit);
    commit->repository = repository;
    if (git_repository_odb(&commit->database, repository) < 0 ||
        git_mempack_new(&commit->memory) < 0 ||
        git_odb_add_backend(commit->database, commit->memory, MEMORY_PRIORITY) < 0 ||
        git_index_new(&commit->index) < 0) {
        mirror_git_error(error, "cannot begin a commit");
        mirror_commit_free(commit);
        return NULL;
    }
    return commit;
}

void mirror_commit_free(struct mirror_commit *commit)
{
    if (commit) {
        git_index_free(commit->index);
        git_odb_free(commit->database);
        free(commit);
    }
}

bool mirror_commit_add(struct mirror_commit *commit, const char *path, const void *data,
                       size_t size, struct error *error)
{
    git_index_entry entry = {.mode = GIT_FILEMODE_BLOB, .path = path};
    if (git_index_get_bypath(commit->index, path, 0)) {
        return error_set(error, ERROR_INVALID, "is there twice");
    }
    if (git_blob_create_from_buffer(&entry.id, commit->repository, data, size) < 0) {
        return mirror_git_error(error, "cannot keep a file");
    }
    if (git_index_add(commit->index, &entry) < 0) {
        const git_error *last = git_error_last();
        return error_set(error, ERROR_INVALID, "has a name that Git does not take: %s",
                         last && last->message ? last->message : "no reason given");
    }
    return true;
}

/* Moves what is in memory into a pack of the mirror. */
static bool write_pack(struct mirror_commit *commit)
{
    git_buf pack = {0};
    git_odb_writepack *writer = NULL;
    git_indexer_progress progress;
    bool written = git_mempack_dump(&pack, commit->repository, commit->memory) == 0 &&
                   git_odb_write_pack(&writer, commit->database, NULL, NULL) == 0 &&
                   writer->append(writer, pack.ptr, pack.size, &progress) == 0 &&
                   writer->commit(writer, &progress) == 0;
    if (writer) {
        writer->free(writer);
    }
    git_buf_dispose(&pack);
    return written && git_mempack_reset(commit->memory) == 0;
}

bool mirror_commit_write(struct mirror_commit *commit, const char *message, git_oid *ret,
                         struct error *error)
{
    git_oid tree_id;
    git_tree *tree = NULL;
    git_signature *nobody = NULL;
    git_reference *reference = NULL;
    git_repository *repository = commit->repository;
    bool written =
        git_index_write_tree_to(&tree_id, commit->index, repository) == 0 &&
        git_tree_lookup(&tree, repository, &tree_id) == 0 &&
        git_signature_new(&nobody, "gitmoor-fetcher", "fetcher@gitmoor.io", 0, 0) == 0 &&
        git_commit_create(ret, repository, NULL, nobody, nobody, NULL, message, tree, 0, NULL) ==
            0 &&
        write_pack(commit) &&
        git_reference_create(&reference, repository, MIRROR_REFERENCE, ret, 1, NULL) == 0;
    if (!written) {
        mirror_git_error(error, "cannot write a commit");
    }
    git_reference_free(reference);
    git_signature_free(nobody);
    git_tree_free(tree);
    return written;
}

char *mirror_commit_message(git_repository *repository, git_oid *ret)
{
    git_commit *commit = NULL;
    char *message = NULL;
    if (mirror_head(repository, ret) && git_commit_lookup(&commit, repository, ret) == 0) {
        message = mem_string(git_commit_message(commit));
    }
    git_commit_free(commit);
    return message;
}
