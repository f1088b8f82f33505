#include "common/bus/keyring.h"

#include "common/base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define LINK BUS_FETCHER_DIFFER

static int make_directory(void **state)
{
    char directory[] = "/tmp/gitmoor-keys-XXXXXX";
    *state = mem_string(mkdtemp(directory));
    return 0;
}

static int remove_directory(void **state)
{
    AUTO_FREE char *command = mem_format("rm -rf '%s'", (char *)*state);
    free(*state);
    return system(command);
}

/* As an editor or the kubelet does it: a new file takes the name. */
static void write_key(const char *directory, const char *name, const char *text)
{
    AUTO_FREE char *path = mem_format("%s/%s", directory, name);
    AUTO_FREE char *new_path = mem_format("%s.new", path);
    FILE *file = fopen(new_path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(new_path, path), 0);
}

static uint32_t id_of(const char *text)
{
    struct seal_key key;
    assert_true(seal_key_parse(text, &key, NULL));
    return key.id;
}

static void keys_of_links_are_read_from_the_directory(void **state)
{
    const char *directory = *state;
    write_key(directory, "fetcher-differ.key", KEY_A "\n");
    write_key(directory, "fetcher-differ.previous", KEY_B "\n");
    struct error error;
    struct keyring *ring = keyring_new(directory, &error);
    assert_non_null(ring);
    assert_false(keyring_is_open(ring));
    assert_int_equal(keyring_current(ring, LINK)->id, id_of(KEY_A));
    assert_int_equal(keyring_previous(ring, LINK)->id, id_of(KEY_B));
    assert_ptr_equal(keyring_find(ring, LINK, id_of(KEY_A)), keyring_current(ring, LINK));
    assert_ptr_equal(keyring_find(ring, LINK, id_of(KEY_B)), keyring_previous(ring, LINK));
    assert_null(keyring_find(ring, LINK, 0));
    assert_null(keyring_current(ring, BUS_DIFFER_APPLIER)); /* not this process's link */
    assert_null(keyring_find(ring, BUS_DIFFER_APPLIER, id_of(KEY_A)));
    keyring_free(ring);
}

static void a_directory_without_a_good_key_is_refused(void **state)
{
    const char *directory = *state;
    struct error error = {0};
    assert_null(keyring_new(directory, &error));
    assert_int_equal(error.code, ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, directory));
    write_key(directory, "fetcher-differ.key", KEY_A "0");
    assert_null(keyring_new(directory, &error));
    assert_int_equal(error.code, ERROR_INVALID);
    assert_non_null(strstr(error.message, "fetcher-differ.key"));
    assert_null(strstr(error.message, "aaaa"));
    AUTO_FREE char *large = mem_new(1, 10000);
    memset(large, 'a', 9999);
    write_key(directory, "fetcher-differ.key", large);
    assert_null(keyring_new(directory, &error));
    AUTO_FREE char *none = mem_format("%s/none", directory);
    assert_null(keyring_new(none, &error));
}

static void changed_files_are_noticed_and_bad_ones_keep_the_key(void **state)
{
    const char *directory = *state;
    write_key(directory, "fetcher-differ.key", KEY_A);
    struct error error = {0};
    struct keyring *ring = keyring_new(directory, &error);
    assert_false(keyring_reload(ring, &error));

    write_key(directory, "fetcher-differ.previous", KEY_A);
    write_key(directory, "fetcher-differ.key", KEY_B);
    assert_true(keyring_reload(ring, &error));
    assert_int_equal(keyring_current(ring, LINK)->id, id_of(KEY_B));
    assert_int_equal(keyring_previous(ring, LINK)->id, id_of(KEY_A));
    assert_false(keyring_reload(ring, &error));
    assert_int_equal(error.code, ERROR_NONE);

    write_key(directory, "fetcher-differ.key", "half a ke");
    assert_false(keyring_reload(ring, &error));
    assert_int_equal(error.code, ERROR_INVALID);
    assert_int_equal(keyring_current(ring, LINK)->id, id_of(KEY_B));
    error_clear(&error);
    assert_false(keyring_reload(ring, &error)); /* told once */
    assert_int_equal(error.code, ERROR_NONE);

    AUTO_FREE char *previous = mem_format("%s/fetcher-differ.previous", directory);
    AUTO_FREE char *current = mem_format("%s/fetcher-differ.key", directory);
    unlink(previous);
    unlink(current);
    assert_true(keyring_reload(ring, &error));
    assert_null(keyring_previous(ring, LINK));    /* withdrawn */
    assert_non_null(keyring_current(ring, LINK)); /* mislaid */
    assert_null(keyring_find(ring, LINK, id_of(KEY_A)));
    keyring_free(ring);
}

static void a_mounted_secret_is_swapped_by_its_symlink(void **state)
{
    const char *directory = *state;
    AUTO_FREE char *first = mem_format("%s/..1", directory);
    AUTO_FREE char *second = mem_format("%s/..2", directory);
    AUTO_FREE char *data = mem_format("%s/..data", directory);
    AUTO_FREE char *swap = mem_format("%s/..tmp", directory);
    AUTO_FREE char *name = mem_format("%s/fetcher-differ.key", directory);
    mkdir(first, 0700);
    mkdir(second, 0700);
    write_key(first, "fetcher-differ.key", KEY_A);
    write_key(second, "fetcher-differ.key", KEY_B);
    assert_int_equal(symlink("..1", data), 0);
    assert_int_equal(symlink("..data/fetcher-differ.key", name), 0);
    struct error error = {0};
    struct keyring *ring = keyring_new(directory, &error);
    assert_int_equal(keyring_current(ring, LINK)->id, id_of(KEY_A));
    assert_int_equal(symlink("..2", swap), 0);
    assert_int_equal(rename(swap, data), 0);
    assert_true(keyring_reload(ring, &error));
    assert_int_equal(keyring_current(ring, LINK)->id, id_of(KEY_B));
    keyring_free(ring);
}

static void without_a_directory_each_link_has_a_well_known_key(void **state)
{
    (void)state;
    struct keyring *ring = keyring_new(NULL, NULL);
    assert_true(keyring_is_open(ring));
    for (int link = 0; link < BUS_LINKS; link++) {
        assert_int_equal(keyring_current(ring, (enum bus_link)link)->id, 0);
        assert_non_null(keyring_find(ring, (enum bus_link)link, 0));
    }
    assert_memory_not_equal(keyring_current(ring, BUS_FETCHER_DIFFER)->bytes,
                            keyring_current(ring, BUS_DIFFER_APPLIER)->bytes, SEAL_KEY_SIZE);
    assert_false(keyring_reload(ring, NULL));
    keyring_free(ring);
}

static void derived_keys_are_remembered_without_being_mixed_up(void **state)
{
    (void)state;
    struct keyring *ring = keyring_new(NULL, NULL);
    struct frame_header header = {.type = FRAME_HINT};
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 200; i++) {
            header.link = (enum bus_link)(i % BUS_LINKS);
            header.sender_epoch = 1 + i / 2;
            snprintf(header.instance, sizeof header.instance, "instance-%u", i % 7);
            const struct seal_key *key = keyring_current(ring, header.link);
            struct seal_key remembered, made;
            keyring_derive(ring, key, &header, &remembered);
            frame_derive_key(key, &header, &made);
            assert_memory_equal(remembered.bytes, made.bytes, SEAL_KEY_SIZE);
        }
    }
    keyring_free(ring);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        TEST(keys_of_links_are_read_from_the_directory),
        TEST(a_directory_without_a_good_key_is_refused),
        TEST(changed_files_are_noticed_and_bad_ones_keep_the_key),
        TEST(a_mounted_secret_is_swapped_by_its_symlink),
        cmocka_unit_test(without_a_directory_each_link_has_a_well_known_key),
        cmocka_unit_test(derived_keys_are_remembered_without_being_mixed_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
