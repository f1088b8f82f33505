/* Unit tests of common/run/trim.c: what is resident before and after, as the kernel counts it. */
#include "common/run/trim.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/memory.h"

#include <event2/event.h>
#include <link.h>
#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define PATIENCE_MS 60000
#define TICK_MS 100
#define LIBRARY "libcrypto" /* large, and little of it runs here */

/* A line of /proc/self/smaps_rollup, or of /proc/self/status, in bytes. */
static size_t resident(const char *file, const char *field)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 65536);
    assert_true(buf_read_file(&text, file, NULL));
    const char *line = strstr(text.data, field);
    assert_non_null(line);
    return (size_t)strtoull(line + strlen(field), NULL, 10) * 1024;
}

static size_t resident_anonymous(void)
{
    return resident("/proc/self/status", "RssAnon:");
}

static size_t resident_of_files(void)
{
    return resident("/proc/self/status", "RssFile:");
}

/* Reads each page of a library's segments that are not written; adds up what it has read. */
static int read_pages(struct dl_phdr_info *object, size_t size, void *context)
{
    (void)size;
    uint64_t *sum = context;
    if (!strstr(object->dlpi_name, LIBRARY)) {
        return 0;
    }
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && !(header->p_flags & PF_W)) {
            const volatile unsigned char *start =
                (const void *)(object->dlpi_addr + header->p_vaddr);
            for (size_t at = 0; at < header->p_filesz; at += 4096) {
                *sum += start[at];
            }
        }
    }
    return 0;
}

static uint64_t read_library(void)
{
    uint64_t sum = OpenSSL_version_num(); /* so that it is linked */
    dl_iterate_phdr(read_pages, &sum);
    return sum;
}

/* Blocks of which every hundredth stays, as work leaves them: each but a few pages is free. */
#define BLOCKS 16384
#define BLOCK_SIZE 1024

static void make_holes(void **kept, size_t count)
{
    AUTO_FREE void **blocks = mem_new(BLOCKS, sizeof *blocks);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = mem_new(BLOCK_SIZE, 1);
        memset(blocks[i], 1, BLOCK_SIZE);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        bool stays = i % (BLOCKS / count) == 0;
        if (stays) {
            kept[i / (BLOCKS / count)] = blocks[i];
        } else {
            free(blocks[i]);
        }
    }
}

#define KEPT 64

static void free_all(void **kept)
{
    for (size_t i = 0; i < KEPT; i++) {
        free(kept[i]);
    }
}

static void test_holes_in_the_heap_are_given_back(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* its heap is another */
#endif
    void *kept[KEPT] = {0};
    make_holes(kept, KEPT);
    size_t before = resident_anonymous();
    trim_now();
    size_t after = resident_anonymous();
    assert_true(before - after > (size_t)BLOCKS * BLOCK_SIZE * 3 / 4);
    free_all(kept);
}

static void test_pages_of_a_library_are_given_back_and_come_again_the_same(void **state)
{
    (void)state;
    uint64_t sum = read_library();
    size_t before = resident_of_files();
    trim_now();
    size_t after = resident_of_files();
    assert_true(before - after > (size_t)2 << 20); /* of 4.5 MB */
    assert_true(read_library() == sum);
    assert_true(resident_of_files() - after > (size_t)2 << 20);
}

/* ---- By itself ---- */

static void work(int64_t ms)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    int64_t until = used.tv_sec * 1000 + used.tv_nsec / 1000000 + ms;
    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    } while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < until);
}

/* Turns the loop until less of files is resident, or `ms` are over. */
static bool is_trimmed_within(struct event_base *base, int64_t ms)
{
    size_t before = resident_of_files();
    int64_t deadline = clock_monotonic_ms() + ms;
    while (clock_monotonic_ms() < deadline) {
        event_base_loopexit(base, &(const struct timeval){.tv_usec = 20000});
        event_base_dispatch(base);
        if (resident_of_files() + ((size_t)2 << 20) < before) {
            return true;
        }
    }
    return false;
}

static void test_rest_after_work_trims(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct trim *trim = trim_new(base, TICK_MS);
    work(100);
    read_library();
    assert_true(is_trimmed_within(base, PATIENCE_MS));
    trim_free(trim);
    event_base_free(base);
}

static void keep_working(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)context;
    work(5);
}

static void test_work_without_rest_is_trimmed_too(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct event *worker = event_new(base, -1, EV_PERSIST, keep_working, NULL);
    event_add(worker, &(const struct timeval){.tv_usec = 10000});
    struct trim *trim = trim_new(base, TICK_MS);
    read_library();
    assert_true(is_trimmed_within(base, PATIENCE_MS));
    event_free(worker);
    trim_free(trim);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holes_in_the_heap_are_given_back),
        cmocka_unit_test(test_pages_of_a_library_are_given_back_and_come_again_the_same),
        cmocka_unit_test(test_rest_after_work_trims),
        cmocka_unit_test(test_work_without_rest_is_trimmed_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
