/* Unit tests of common/base/arena.c. */
#include "common/base/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void memory_is_zeroed_aligned_and_does_not_overlap(void **state)
{
    (void)state;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    enum { COUNT = 2000 };
    static unsigned char *pieces[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i % 97 == 0 ? 20000 : i % 53;
        pieces[i] = arena_new(&arena, size);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        for (size_t at = 0; at < size; at++) {
            assert_int_equal(pieces[i][at], 0);
        }
        memset(pieces[i], (int)(i % 251), size);
    }
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i % 97 == 0 ? 20000 : i % 53;
        for (size_t at = 0; at < size; at++) {
            assert_int_equal(pieces[i][at], i % 251);
        }
    }
}

static void strings_and_formats(void **state)
{
    (void)state;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    assert_null(arena_string(&arena, NULL));
    assert_string_equal(arena_string(&arena, "shop"), "shop");
    assert_string_equal(arena_string_n(&arena, "shop/web", 4), "shop");
    assert_string_equal(arena_format(&arena, "%s/%d", "shop", 12), "shop/12");
    assert_string_equal(arena_format(&arena, "%s", ""), "");
    char *large = arena_format(&arena, "%040000d", 7);
    assert_int_equal(strlen(large), 40000);
}

static void a_released_arena_is_ready_for_use(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    arena_new(&arena, 100);
    assert_true(arena.total >= 100);
    arena_release(&arena);
    assert_int_equal(arena.total, 0);
    assert_string_equal(arena_string(&arena, "again"), "again");
    arena_release(&arena);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_does_not_overlap),
        cmocka_unit_test(strings_and_formats),
        cmocka_unit_test(a_released_arena_is_ready_for_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
