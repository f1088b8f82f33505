/* Unit tests of common/base/directory.c. */
#include "common/base/directory.h"

#include "common/base/map.h"
#include "common/base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static char *path_of(const char *name)
{
    return mem_format("%s/%s", root, name);
}

static void make_file(const char *name)
{
    AUTO_FREE char *path = path_of(name);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
}

static void it_is_made_with_its_parents_for_us_alone(void **state)
{
    (void)state;
    AUTO_FREE char *path = path_of("a/b/c");
    AUTO_FREE char *parent = path_of("a");
    assert_false(directory_exists(path));
    assert_true(directory_make(path, NULL));
    assert_true(directory_exists(path));
    assert_true(directory_make(path, NULL)); /* again */
    struct stat status;
    assert_int_equal(stat(parent, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    AUTO_FREE char *slash = path_of("d/e/");
    assert_true(directory_make(slash, NULL));
    assert_true(directory_exists(slash));
}

static void what_is_in_the_way_is_an_error_that_names_it(void **state)
{
    (void)state;
    make_file("file");
    AUTO_FREE char *file = path_of("file");
    AUTO_FREE char *under = path_of("file/x");
    struct error error;
    assert_false(directory_make(file, &error));
    assert_non_null(strstr(error.message, file));
    assert_false(directory_make(under, &error));
    assert_non_null(strstr(error.message, file));
    assert_false(directory_make("", &error));
    assert_false(directory_exists(file));
}

static void it_is_removed_with_everything_in_it_and_links_are_not_followed(void **state)
{
    (void)state;
    AUTO_FREE char *inner = path_of("gone/inner");
    AUTO_FREE char *gone = path_of("gone");
    AUTO_FREE char *kept = path_of("kept");
    AUTO_FREE char *link = path_of("gone/link");
    assert_true(directory_make(inner, NULL));
    assert_true(directory_make(kept, NULL));
    make_file("gone/inner/file");
    make_file("kept/file");
    assert_int_equal(symlink(kept, link), 0);
    assert_true(directory_remove(gone, NULL));
    assert_false(directory_exists(gone));
    AUTO_FREE char *file = path_of("kept/file");
    assert_int_equal(access(file, F_OK), 0);
    assert_true(directory_remove(gone, NULL)); /* it is not there: no failure */
}

static void names_are_what_uids_are_made_of(void **state)
{
    (void)state;
    assert_true(directory_is_name("380af4c4-af78-4614-bdc3-26d22e9778b4"));
    static const char *const wrong[] = {"", ".", "..", "a/b", "a.b", "a b", "a\n", "ä"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(directory_is_name(wrong[i]));
    }
    char name[130];
    memset(name, 'a', sizeof name - 1);
    name[129] = '\0';
    assert_false(directory_is_name(name));
    name[128] = '\0';
    assert_true(directory_is_name(name));
}

static void keep_stem(const char *stem, void *context)
{
    map_set(context, stem, NULL);
}

static void mirrors_are_listed_by_their_stems(void **state)
{
    (void)state;
    AUTO_FREE char *one = path_of("mirrors/u-1.git");
    AUTO_FREE char *two = path_of("mirrors/u-2.git");
    AUTO_FREE char *other = path_of("mirrors/u-3");
    AUTO_FREE char *mirrors = path_of("mirrors");
    assert_true(directory_make(one, NULL) && directory_make(two, NULL) &&
                directory_make(other, NULL));
    make_file("mirrors/.git");
    make_file("mirrors/a b.git");
    struct map stems = {0};
    directory_each_mirror(mirrors, keep_stem, &stems);
    assert_int_equal(stems.count, 2);
    assert_true(map_has(&stems, "u-1") && map_has(&stems, "u-2"));
    AUTO_FREE char *nowhere = path_of("nowhere");
    directory_each_mirror(nowhere, keep_stem, &stems);
    assert_int_equal(stems.count, 2);
    map_release(&stems, NULL);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/gitmoor-test-directory-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return directory_remove(root, NULL) ? 0 : -1;
}

static void it_is_cleared_and_stays(void **state)
{
    (void)state;
    AUTO_FREE char *path = path_of("clear/inner");
    AUTO_FREE char *above = path_of("clear");
    assert_true(directory_make(path, NULL));
    make_file("clear/inner/file");
    make_file("clear/file");
    directory_clear(above);
    assert_true(directory_exists(above));
    assert_int_equal(rmdir(above), 0);
    directory_clear(above); /* one that is not there is no failure */
}

static void one_that_others_may_use_is_not_private(void **state)
{
    (void)state;
    struct error error;
    AUTO_FREE char *path = path_of("private");
    AUTO_FREE char *link = path_of("link");
    assert_true(directory_make_private(path, &error));
    assert_true(directory_make_private(path, &error));
    assert_int_equal(symlink(path, link), 0);
    assert_false(directory_make_private(link, &error));
    assert_int_equal(chmod(path, 0750), 0);
    assert_false(directory_make_private(path, &error));
    assert_non_null(strstr(error.message, "others may use it"));
}

static void proc_is_not_in_memory_and_tmpfs_is(void **state)
{
    (void)state;
    struct error error;
    assert_false(directory_is_in_memory("/proc", &error));
    assert_non_null(strstr(error.message, "no tmpfs"));
    assert_false(directory_is_in_memory("/none", &error));
    if (directory_exists("/dev/shm")) {
        assert_true(directory_is_in_memory("/dev/shm", &error));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_made_with_its_parents_for_us_alone),
        cmocka_unit_test(what_is_in_the_way_is_an_error_that_names_it),
        cmocka_unit_test(it_is_removed_with_everything_in_it_and_links_are_not_followed),
        cmocka_unit_test(names_are_what_uids_are_made_of),
        cmocka_unit_test(mirrors_are_listed_by_their_stems),
        cmocka_unit_test(it_is_cleared_and_stays),
        cmocka_unit_test(one_that_others_may_use_is_not_private),
        cmocka_unit_test(proc_is_not_in_memory_and_tmpfs_is),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
