/* A file tree for tests, made twice from one table: on disk, and in a bare Git repository. */
#ifndef GITMOOR_TESTS_DIFFER_TREE_H
#define GITMOOR_TESTS_DIFFER_TREE_H

#include "common/base/memory.h"
#include "differ/render/source.h"

#include <ftw.h>
#include <git2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree_file {
    const char *path;
    const char *content; /* of the file; of a link, its target */
    bool is_link;
};

struct tree {
    char directory[64]; /* holds "files" and "repository" */
    char files[80];
    char git[80];
    git_repository *repository;
    git_tree *git_tree;
    struct source *sources[2]; /* on disk, in Git */
};

static inline int tree_remove_one(const char *path, const struct stat *status, int flag,
                                  struct FTW *ftw)
{
    (void)status;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void tree_remove(const char *directory)
{
    nftw(directory, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void tree_write_file(const char *root, const struct tree_file *file)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", root, file->path);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    if (file->is_link) {
        assert_int_equal(symlink(file->content, path), 0);
        return;
    }
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fwrite(file->content, 1, strlen(file->content), out);
    fclose(out);
}

/* The tree object of the files, written to the repository. */
static inline void tree_write_git(git_repository *repository, const struct tree_file *files,
                                  size_t count, git_oid *ret)
{
    git_index *index;
    assert_int_equal(git_index_new(&index), 0);
    for (size_t i = 0; i < count; i++) {
        git_index_entry entry = {0};
        entry.path = files[i].path;
        entry.mode = files[i].is_link ? GIT_FILEMODE_LINK : GIT_FILEMODE_BLOB;
        assert_int_equal(git_blob_create_from_buffer(&entry.id, repository, files[i].content,
                                                     strlen(files[i].content)),
                         0);
        assert_int_equal(git_index_add(index, &entry), 0);
    }
    assert_int_equal(git_index_write_tree_to(ret, index, repository), 0);
    git_index_free(index);
}

static inline void tree_open(struct tree *tree, const struct tree_file *files, size_t count)
{
    struct error error = {0};
    git_oid id;
    git_libgit2_init();
    memset(tree, 0, sizeof(*tree));
    strcpy(tree->directory, "/tmp/gitmoor-test-XXXXXX");
    assert_non_null(mkdtemp(tree->directory));
    snprintf(tree->files, sizeof(tree->files), "%s/files", tree->directory);
    snprintf(tree->git, sizeof(tree->git), "%s/repository", tree->directory);
    mkdir(tree->files, 0755);
    for (size_t i = 0; i < count; i++) {
        tree_write_file(tree->files, &files[i]);
    }
    assert_int_equal(git_repository_init(&tree->repository, tree->git, true), 0);
    tree_write_git(tree->repository, files, count, &id);
    assert_int_equal(git_tree_lookup(&tree->git_tree, tree->repository, &id), 0);
    assert_true(source_open_directory(tree->files, &tree->sources[0], &error));
    tree->sources[1] = source_open_tree(tree->repository, tree->git_tree);
}

static inline void tree_close(struct tree *tree)
{
    source_free(tree->sources[0]);
    source_free(tree->sources[1]);
    git_tree_free(tree->git_tree);
    git_repository_free(tree->repository);
    tree_remove(tree->directory);
    git_libgit2_shutdown();
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
