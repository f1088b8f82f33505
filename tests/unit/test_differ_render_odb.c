#include "differ/render/odb.h"

#include "common/base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "differ_repository.h"

static struct odb *open_database(void)
{
    struct odb *odb;
    struct error error = {0};
    if (!odb_open(upstream.database, &odb, &error)) {
        fail_msg("%s", error.message);
    }
    return odb;
}

static void take_pack(struct odb *odb)
{
    struct error error = {0};
    if (!odb_index_pack(odb, upstream.pack, &error)) {
        fail_msg("%s", error.message);
    }
}

static void assert_content(struct odb *odb, const char *commit, const char *path,
                           const char *content)
{
    AUTO_SOURCE struct source *source = NULL;
    AUTO_BUF struct buf buf;
    struct error error = {0};
    buf_init(&buf, 1000);
    if (!odb_open_commit(odb, commit, &source, &error) ||
        !source_read(source, path, &buf, &error)) {
        fail_msg("%s", error.message);
    }
    assert_string_equal(buf.data, content);
}

static const struct tree_file first[] = {{"a/a.yaml", "one", false}, {"b/b.yaml", "b", false}};
static const struct tree_file second[] = {{"a/a.yaml", "two", false}, {"b/b.yaml", "b", false}};

static void a_database_is_made_and_takes_a_pack(void **state)
{
    (void)state;
    char commit[41];
    upstream_commit(&upstream, first, COUNT(first), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    struct odb *odb = open_database();
    take_pack(odb);
    assert_content(odb, commit, "a/a.yaml", "one");
    odb_close(odb);
    odb = open_database(); /* and it is there again */
    assert_content(odb, commit, "b/b.yaml", "b");
    odb_close(odb);
}

static void a_pack_of_the_difference_is_enough_and_parents_are_never_needed(void **state)
{
    (void)state;
    char one[41];
    char two[41];
    char three[41];
    struct error error = {0};
    upstream_commit(&upstream, first, COUNT(first), NULL, one);
    upstream_commit(&upstream, first, COUNT(first), one, two);
    upstream_commit(&upstream, second, COUNT(second), two, three);
    struct odb *odb = open_database();
    upstream_pack(&upstream, two, NULL, NULL);
    take_pack(odb);
    upstream_pack(&upstream, three, two, NULL);
    take_pack(odb);
    assert_false(odb_has(odb, one));
    assert_content(odb, three, "a/a.yaml", "two");
    assert_content(odb, three, "b/b.yaml", "b");
    assert_true(odb_hold(odb, three, &error));
    odb_close(odb);
}

static void the_last_commits_keep_their_refs(void **state)
{
    (void)state;
    char commits[ODB_HELD_MAXIMUM + 3][41];
    struct error error = {0};
    struct odb *odb = open_database();
    const char *parent = NULL;
    for (size_t i = 0; i < COUNT(commits); i++) {
        upstream_commit(&upstream, first, COUNT(first), parent, commits[i]);
        parent = commits[i];
        upstream_pack(&upstream, commits[i], NULL, NULL);
        take_pack(odb);
        assert_true(odb_hold(odb, commits[i], &error));
    }
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, ""), ODB_HELD_MAXIMUM);
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, commits[2]), 0);
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, commits[3]), 1);
    /* Held again, an old one is the newest. */
    assert_true(odb_hold(odb, commits[3], &error));
    assert_true(odb_hold(odb, commits[0], &error));
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, commits[3]), 1);
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, commits[4]), 0);
    assert_true(odb_forget(odb, &error));
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, ""), 0);
    odb_close(odb);
}

static void packs_are_merged_and_what_is_held_stays(void **state)
{
    (void)state;
    char commits[6][41];
    char text[6][8];
    struct error error = {0};
    struct odb *odb = open_database();
    for (size_t i = 0; i < COUNT(commits); i++) {
        snprintf(text[i], sizeof(text[i]), "v%zu", i);
        const struct tree_file files[] = {{"a/a.yaml", text[i], false}, {"b.yaml", "b", false}};
        upstream_commit(&upstream, files, COUNT(files), i ? commits[i - 1] : NULL, commits[i]);
        upstream_pack(&upstream, commits[i], i ? commits[i - 1] : NULL, NULL);
        take_pack(odb);
        assert_true(odb_hold(odb, commits[i], &error));
    }
    assert_true(odb_compact(odb, 6, &error));
    assert_int_equal(upstream_count_files(&upstream, "objects/pack", ".pack"), 6);
    if (!odb_compact(odb, 5, &error)) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(upstream_count_files(&upstream, "objects/pack", ".pack"), 1);
    assert_int_equal(upstream_count_files(&upstream, "objects/pack", ".idx"), 1);
    for (size_t i = COUNT(commits) - ODB_HELD_MAXIMUM; i < COUNT(commits); i++) {
        assert_content(odb, commits[i], "a/a.yaml", text[i]);
        assert_content(odb, commits[i], "b.yaml", "b");
    }
    assert_false(odb_has(odb, commits[0]));
    assert_true(odb_compact(odb, 0, &error)); /* merging one pack is merging too */
    assert_content(odb, commits[5], "b.yaml", "b");
    odb_close(odb);
}

static void a_commit_that_is_not_here_is_unavailable(void **state)
{
    (void)state;
    struct error error = {0};
    struct source *source;
    struct odb *odb = open_database();
    assert_false(odb_open_commit(odb, "0123456789012345678901234567890123456789", &source, &error));
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    static const char *const wrong[] = {
        "main", "", "../../etc/passwd", "0123456789",
        "012345678901234567890123456789012345678901234567890123456789abcd"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(odb_open_commit(odb, wrong[i], &source, &error));
        assert_int_equal(error.code, ERROR_INVALID);
        assert_false(odb_hold(odb, wrong[i], &error));
    }
    odb_close(odb);
}

static void write_pack(const void *data, size_t size)
{
    snprintf(upstream.pack, sizeof(upstream.pack), "%s/written.pack", upstream.directory);
    FILE *out = fopen(upstream.pack, "w");
    fwrite(data, 1, size, out);
    fclose(out);
}

static void a_pack_that_is_not_whole_or_not_one_is_refused(void **state)
{
    (void)state;
    char commit[41];
    AUTO_BUF struct buf pack;
    struct error error = {0};
    upstream_commit(&upstream, first, COUNT(first), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    buf_init(&pack, 100000);
    assert_true(buf_read_file(&pack, upstream.pack, &error));
    struct odb *odb = open_database();
    for (size_t size = 0; size < pack.size; size++) { /* cut anywhere */
        write_pack(pack.data, size);
        assert_false(odb_index_pack(odb, upstream.pack, &error));
        assert_int_equal(error.code, ERROR_INVALID);
    }
    for (size_t at = 0; at < pack.size; at++) { /* one byte wrong anywhere */
        pack.data[at] ^= 0x55;
        write_pack(pack.data, pack.size);
        assert_false(odb_index_pack(odb, upstream.pack, &error));
        pack.data[at] ^= 0x55;
    }
    static const char claims[] = "PACK\0\0\0\2\xff\xff\xff\xff";
    write_pack(claims, 12); /* four billion objects */
    assert_false(odb_index_pack(odb, upstream.pack, &error));
    strcat(upstream.pack, ".none");
    assert_false(odb_index_pack(odb, upstream.pack, &error));
    assert_int_equal(error.code, ERROR_SYSTEM);
    odb_close(odb);
    assert_int_equal(upstream_count_files(&upstream, "objects/pack", ""), 0);
}

static void what_a_killed_process_left_is_removed(void **state)
{
    (void)state;
    char commit[41];
    char command[512];
    upstream_commit(&upstream, first, COUNT(first), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    struct odb *odb = open_database();
    take_pack(odb);
    odb_close(odb);
    snprintf(command, sizeof(command),
             "cd %s && mkdir -p " ODB_REF_DIRECTORY " && cd objects/pack && touch pack_git2_abc "
             "pack-0123.pack && cd ../../" ODB_REF_DIRECTORY " && touch %s.lock",
             upstream.database, commit);
    assert_int_equal(system(command), 0);
    odb = open_database();
    struct error error = {0};
    assert_int_equal(upstream_count_files(&upstream, "objects/pack", ""), 4);
    assert_true(odb_remove_leftovers(odb, &error));
    assert_int_equal(upstream_count_files(&upstream, "objects/pack", ""), 2);
    assert_content(odb, commit, "b/b.yaml", "b");
    odb_compact(odb, 100, &error);
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, ".lock"), 0);
    assert_true(odb_hold(odb, commit, &error));
    odb_close(odb);
}

static void a_damaged_database_is_emptied_and_fills_again(void **state)
{
    (void)state;
    char commit[41];
    char command[512];
    struct error error = {0};
    upstream_commit(&upstream, first, COUNT(first), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    struct odb *odb = open_database();
    take_pack(odb);
    assert_true(odb_hold(odb, commit, &error));
    odb_close(odb);
    snprintf(command, sizeof(command),
             "cd %s/objects/pack && chmod u+w *.pack && for f in *.pack; do "
             "dd if=/dev/urandom of=$f bs=1 seek=12 count=100 conv=notrunc 2>/dev/null; done",
             upstream.database);
    assert_int_equal(system(command), 0);
    odb = open_database();
    AUTO_SOURCE struct source *source = NULL;
    assert_false(odb_open_commit(odb, commit, &source, &error));
    assert_int_equal(error.code, ERROR_INTERNAL);
    assert_true(odb_empty(odb, &error));
    assert_false(odb_has(odb, commit));
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, ""), 0);
    take_pack(odb);
    assert_content(odb, commit, "a/a.yaml", "one");
    odb_close(odb);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_upstream, close_upstream)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_database_is_made_and_takes_a_pack),
        TEST(a_pack_of_the_difference_is_enough_and_parents_are_never_needed),
        TEST(the_last_commits_keep_their_refs),
        TEST(packs_are_merged_and_what_is_held_stays),
        TEST(a_commit_that_is_not_here_is_unavailable),
        TEST(a_pack_that_is_not_whole_or_not_one_is_refused),
        TEST(what_a_killed_process_left_is_removed),
        TEST(a_damaged_database_is_emptied_and_fills_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
