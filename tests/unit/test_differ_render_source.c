#include "differ/render/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "differ_tree.h"

static const struct tree_file files[] = {
    {"a.yaml", "content of a\n", false},
    {"a/b.yaml", "content of b\n", false},
    {"a-b", "x", false},
    {"a0", "x", false},
    {"links/file", "../a/b.yaml", true},
    {"links/directory", "../a", true},
    {"links/chain", "file", true},
    {"links/up", "../../a.yaml", true},
    {"links/up-and-in", "../../files/a.yaml", true},
    {"links/absolute", "/etc/passwd", true},
    {"links/self", "self", true},
    {"links/ping", "pong", true},
    {"links/pong", "ping", true},
    {"links/nowhere", "../none/there", true},
    {"links/root", "..", true},
    {"links/through-file", "../a.yaml/x", true},
};

static struct tree tree;

static int open_tree(void **state)
{
    (void)state;
    tree_open(&tree, files, COUNT(files));
    return 0;
}

static int close_tree(void **state)
{
    (void)state;
    tree_close(&tree);
    return 0;
}

struct resolve_case {
    const char *sentence;
    const char *path;
    enum error_code code; /* ERROR_NONE: it resolves */
    const char *resolved;
    enum source_type type;
};

static const struct resolve_case resolve_cases[] = {
    {"a plain file is itself", "a/b.yaml", ERROR_NONE, "a/b.yaml", SOURCE_FILE},
    {"the empty path is the root", "", ERROR_NONE, "", SOURCE_DIRECTORY},
    {"dots and doubled slashes mean nothing", "./a//./b.yaml", ERROR_NONE, "a/b.yaml", SOURCE_FILE},
    {"going up inside the root is allowed", "a/../a.yaml", ERROR_NONE, "a.yaml", SOURCE_FILE},
    {"a link to a file is the file", "links/file", ERROR_NONE, "a/b.yaml", SOURCE_FILE},
    {"a link to a link is followed on", "links/chain", ERROR_NONE, "a/b.yaml", SOURCE_FILE},
    {"a link in the middle is followed", "links/directory/b.yaml", ERROR_NONE, "a/b.yaml",
     SOURCE_FILE},
    {"a link to the root is the root", "links/root", ERROR_NONE, "", SOURCE_DIRECTORY},
    {"what is not there is not there", "none", ERROR_NONE, "none", SOURCE_NONE},
    {"below a file there is nothing", "a.yaml/x", ERROR_NONE, "a.yaml", SOURCE_NONE},
    {"a link below a file leads to nothing", "links/through-file", ERROR_NONE, "a.yaml",
     SOURCE_NONE},
    {"a link to nothing is nothing", "links/nowhere", ERROR_NONE, "none", SOURCE_NONE},
    {"going up past the root is refused", "../x", ERROR_DENIED, NULL, SOURCE_NONE},
    {"going up past the root is refused later too", "a/../../x", ERROR_DENIED, NULL, SOURCE_NONE},
    {"an absolute path is refused", "/etc/passwd", ERROR_DENIED, NULL, SOURCE_NONE},
    {"a link past the root is refused", "links/up", ERROR_DENIED, NULL, SOURCE_NONE},
    {"a link out and in again is refused", "links/up-and-in", ERROR_DENIED, NULL, SOURCE_NONE},
    {"an absolute link is refused", "links/absolute", ERROR_DENIED, NULL, SOURCE_NONE},
    {"a link to itself is refused", "links/self", ERROR_INVALID, NULL, SOURCE_NONE},
    {"two links to each other are refused", "links/ping", ERROR_INVALID, NULL, SOURCE_NONE},
};

static void paths_resolve_inside_the_root_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(resolve_cases); i++) {
        const struct resolve_case *it = &resolve_cases[i / 2];
        AUTO_ARENA struct arena arena;
        struct error error = {0};
        const char *path = NULL;
        enum source_type type = SOURCE_OTHER;
        arena_init(&arena);
        bool ok =
            source_resolve(tree.sources[i % 2], it->path, &arena, NULL, NULL, &path, &type, &error);
        if (ok != (it->code == ERROR_NONE) || error.code != it->code ||
            (ok && (strcmp(path, it->resolved) != 0 || type != it->type))) {
            fail_msg("not so (source %zu): %s: %s %s", i % 2, it->sentence, path ? path : "",
                     error.message);
        }
        if (it->code == ERROR_DENIED && strncmp(it->path, "links/", 6) == 0) {
            assert_non_null(strstr(error.message, it->path)); /* the link is named */
        }
    }
}

static void entries_come_in_the_order_of_full_paths(void **state)
{
    (void)state;
    static const char *const names[] = {"a-b", "a.yaml", "a", "a0", "links"};
    for (size_t i = 0; i < 2; i++) {
        AUTO_ARENA struct arena arena;
        struct source_entry *entries;
        size_t count;
        struct error error = {0};
        arena_init(&arena);
        assert_true(source_list(tree.sources[i], "", &arena, &entries, &count, &error));
        assert_int_equal(count, COUNT(names));
        for (size_t j = 0; j < count; j++) {
            assert_string_equal(entries[j].name, names[j]);
        }
        assert_int_equal(entries[0].type, SOURCE_FILE);
        assert_int_equal(entries[2].type, SOURCE_DIRECTORY);
        assert_true(source_list(tree.sources[i], "links", &arena, &entries, &count, &error));
        assert_int_equal(entries[0].type, SOURCE_LINK);
        assert_false(source_list(tree.sources[i], "none", &arena, &entries, &count, &error));
    }
}

static void a_file_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        AUTO_BUF struct buf buf;
        struct error error = {0};
        buf_init(&buf, 13);
        assert_true(source_read(tree.sources[i], "a/b.yaml", &buf, &error));
        assert_string_equal(buf.data, "content of b\n");
        buf_release(&buf);
        buf_init(&buf, 12);
        assert_false(source_read(tree.sources[i], "a/b.yaml", &buf, &error));
        assert_int_equal(error.code, ERROR_LIMIT);
        assert_int_equal(buf.size, 0);
    }
}

static void reading_follows_no_link(void **state)
{
    (void)state;
    struct error error = {0};
    AUTO_BUF struct buf buf;
    buf_init(&buf, 100);
    /* On disk the open fails; in Git the link is a blob and reads as its target. */
    assert_false(source_read(tree.sources[0], "links/absolute", &buf, &error));
    assert_false(source_read(tree.sources[0], "links/directory/b.yaml", &buf, &error));
    assert_false(source_read(tree.sources[1], "links/directory/b.yaml", &buf, &error));
    assert_int_equal(buf.size, 0);
}

static void ids_exist_in_git_alone(void **state)
{
    (void)state;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    assert_null(source_id(tree.sources[0], "a.yaml", &arena));
    const char *id = source_id(tree.sources[1], "a.yaml", &arena);
    assert_int_equal(strlen(id), 40);
    assert_string_not_equal(id, source_id(tree.sources[1], "a", &arena));
    assert_non_null(source_id(tree.sources[1], "", &arena));
    assert_null(source_id(tree.sources[1], "none", &arena));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_resolve_inside_the_root_only),
        cmocka_unit_test(entries_come_in_the_order_of_full_paths),
        cmocka_unit_test(a_file_is_read_whole_or_not_at_all),
        cmocka_unit_test(reading_follows_no_link),
        cmocka_unit_test(ids_exist_in_git_alone),
    };
    return cmocka_run_group_tests(tests, open_tree, close_tree);
}
