/* A repository that plays the fetcher's part in tests: commits are made in it, and packs of them.
 */
#ifndef GITMOOR_TESTS_DIFFER_REPOSITORY_H
#define GITMOOR_TESTS_DIFFER_REPOSITORY_H

#include "differ_tree.h"

struct upstream {
    char directory[64];
    char pack[128];     /* the pack made last */
    char database[128]; /* where the database under test is to be */
    git_repository *repository;
    unsigned packs;
};

static inline void upstream_open(struct upstream *upstream)
{
    char path[128];
    git_libgit2_init();
    memset(upstream, 0, sizeof(*upstream));
    strcpy(upstream->directory, "/tmp/gitmoor-test-XXXXXX");
    assert_non_null(mkdtemp(upstream->directory));
    snprintf(path, sizeof(path), "%s/upstream", upstream->directory);
    snprintf(upstream->database, sizeof(upstream->database), "%s/database", upstream->directory);
    assert_int_equal(git_repository_init(&upstream->repository, path, true), 0);
}

static inline void upstream_close(struct upstream *upstream)
{
    git_repository_free(upstream->repository);
    tree_remove(upstream->directory);
    git_libgit2_shutdown();
}

/* A commit of these files. `parent` may be NULL. */
static inline void upstream_commit(struct upstream *upstream, const struct tree_file *files,
                                   size_t count, const char *parent, char ret_hex[41])
{
    git_oid tree_id;
    git_oid id;
    git_tree *tree;
    git_commit *above = NULL;
    git_signature *author;
    tree_write_git(upstream->repository, files, count, &tree_id);
    assert_int_equal(git_tree_lookup(&tree, upstream->repository, &tree_id), 0);
    assert_int_equal(git_signature_new(&author, "A", "a@example.org", 1700000000, 0), 0);
    if (parent) {
        assert_int_equal(git_oid_fromstr(&id, parent), 0);
        assert_int_equal(git_commit_lookup(&above, upstream->repository, &id), 0);
    }
    const git_commit *parents[] = {above};
    assert_int_equal(git_commit_create(&id, upstream->repository, NULL, author, author, NULL, "m",
                                       tree, above ? 1 : 0, parents),
                     0);
    git_oid_tostr(ret_hex, 41, &id);
    git_commit_free(above);
    git_tree_free(tree);
    git_signature_free(author);
}

static inline int upstream_hide_tree(const char *root, const git_tree_entry *entry, void *context)
{
    (void)root;
    char hex[41];
    git_oid_tostr(hex, sizeof(hex), git_tree_entry_id(entry));
    map_set(context, hex, context);
    return 0;
}

struct upstream_pick {
    git_packbuilder *builder;
    const struct map *hidden;
    const char *without; /* the name of a file to leave out, or NULL */
};

static inline int upstream_pick_entry(const char *root, const git_tree_entry *entry, void *context)
{
    (void)root;
    const struct upstream_pick *pick = context;
    char hex[41];
    git_oid_tostr(hex, sizeof(hex), git_tree_entry_id(entry));
    bool left_out = pick->without && strcmp(git_tree_entry_name(entry), pick->without) == 0;
    if (!map_has(pick->hidden, hex) && !left_out) {
        git_packbuilder_insert(pick->builder, git_tree_entry_id(entry), NULL);
    }
    return 0;
}

static inline git_tree *upstream_tree(struct upstream *upstream, const char *commit)
{
    git_oid id;
    git_commit *object;
    git_tree *tree;
    assert_int_equal(git_oid_fromstr(&id, commit), 0);
    assert_int_equal(git_commit_lookup(&object, upstream->repository, &id), 0);
    assert_int_equal(git_commit_tree(&tree, object), 0);
    git_commit_free(object);
    return tree;
}

/* Writes a pack of the commit, its trees and blobs, minus those of `have` (or NULL), and without
 * the files named `without` (or NULL). Parents are never in it. */
static inline void upstream_pack(struct upstream *upstream, const char *want, const char *have,
                                 const char *without)
{
    struct map hidden;
    struct upstream_pick pick = {NULL, &hidden, without};
    git_oid id;
    git_buf data = {0};
    map_init(&hidden);
    if (have) {
        git_tree *tree = upstream_tree(upstream, have);
        git_tree_walk(tree, GIT_TREEWALK_PRE, upstream_hide_tree, &hidden);
        git_tree_free(tree);
    }
    git_tree *tree = upstream_tree(upstream, want);
    assert_int_equal(git_packbuilder_new(&pick.builder, upstream->repository), 0);
    git_oid_fromstr(&id, want);
    git_packbuilder_insert(pick.builder, &id, NULL);
    git_packbuilder_insert(pick.builder, git_tree_id(tree), NULL);
    git_tree_walk(tree, GIT_TREEWALK_PRE, upstream_pick_entry, &pick);
    assert_int_equal(git_packbuilder_write_buf(&data, pick.builder), 0);
    snprintf(upstream->pack, sizeof(upstream->pack), "%s/%u.pack", upstream->directory,
             upstream->packs++);
    FILE *out = fopen(upstream->pack, "w");
    fwrite(data.ptr, 1, data.size, out);
    fclose(out);
    git_buf_dispose(&data);
    git_packbuilder_free(pick.builder);
    git_tree_free(tree);
    map_release(&hidden, NULL);
}

static inline size_t upstream_count_files(const struct upstream *upstream, const char *directory,
                                          const char *suffix)
{
    char command[512];
    size_t count = 0;
    snprintf(command, sizeof(command), "ls %s/%s 2>/dev/null | grep -c -- '%s$'",
             upstream->database, directory, suffix);
    FILE *out = popen(command, "r");
    assert_int_equal(fscanf(out, "%zu", &count), 1);
    pclose(out);
    return count;
}

/* ---- The one of a test program: set up before each test, and torn down after it ---- */

static struct upstream upstream;

static int open_upstream(void **state)
{
    (void)state;
    upstream_open(&upstream);
    return 0;
}

static int close_upstream(void **state)
{
    (void)state;
    upstream_close(&upstream);
    return 0;
}

#endif
