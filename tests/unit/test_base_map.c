/* Unit tests of common/base/map.c. */
#include "common/base/map.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void an_empty_map_holds_nothing(void **state)
{
    (void)state;
    struct map map = {0};
    assert_null(map_get(&map, "a"));
    assert_false(map_has(&map, "a"));
    assert_null(map_remove(&map, "a"));
    assert_null(map_first(&map));
    AUTO_FREE const char **keys = map_sorted_keys(&map);
    assert_non_null(keys);
    map_release(&map, NULL);
}

static void keys_are_copied_and_values_replaced(void **state)
{
    (void)state;
    struct map map;
    map_init(&map);
    char key[] = "shop/web";
    int one, two;
    assert_null(map_set(&map, key, &one));
    key[0] = 'x';
    assert_ptr_equal(map_get(&map, "shop/web"), &one);
    assert_null(map_get(&map, key));
    assert_ptr_equal(map_set(&map, "shop/web", &two), &one);
    assert_int_equal(map.count, 1);
    assert_ptr_equal(map_remove(&map, "shop/web"), &two);
    assert_int_equal(map.count, 0);
    assert_false(map_has(&map, "shop/web"));
    map_release(&map, NULL);
}

static void a_null_value_is_a_value(void **state)
{
    (void)state;
    struct map map = {0};
    map_set(&map, "", NULL);
    assert_true(map_has(&map, ""));
    assert_int_equal(map.count, 1);
    assert_non_null(map_first(&map));
    map_release(&map, NULL);
}

/* A plain array is the oracle: whatever is set and removed in whatever order, both say the same. */
static void it_agrees_with_a_plain_array_over_many_random_changes(void **state)
{
    (void)state;
    enum { KEYS = 300, STEPS = 200000 };
    static uintptr_t model[KEYS];
    struct map map = {0};
    uint64_t random = 88172645463325252u;
    size_t count = 0;
    for (uintptr_t step = 1; step <= STEPS; step++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        size_t index = random % KEYS;
        char key[16];
        snprintf(key, sizeof key, "key-%zu", index);
        if (random >> 32 & 1) {
            assert_int_equal((uintptr_t)map_set(&map, key, (void *)step), model[index]);
            count += model[index] == 0;
            model[index] = step;
        } else {
            assert_int_equal((uintptr_t)map_remove(&map, key), model[index]);
            count -= model[index] != 0;
            model[index] = 0;
        }
        assert_int_equal(map.count, count);
        if (step % 1000 == 0) {
            for (size_t i = 0; i < KEYS; i++) {
                snprintf(key, sizeof key, "key-%zu", i);
                assert_int_equal((uintptr_t)map_get(&map, key), model[i]);
                assert_int_equal(map_has(&map, key), model[i] != 0);
            }
        }
    }
    map_release(&map, NULL);
}

static void iteration_visits_each_once_and_sorted_keys_are_sorted(void **state)
{
    (void)state;
    struct map map = {0};
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        map_set(&map, key, mem_string(key));
    }
    size_t visited = 0;
    for (struct map_slot *slot = map_first(&map); slot; slot = map_next(&map, slot)) {
        assert_string_equal(slot->key, slot->value);
        visited++;
    }
    assert_int_equal(visited, 1000);
    AUTO_FREE const char **keys = map_sorted_keys(&map);
    for (size_t i = 1; i < map.count; i++) {
        assert_true(strcmp(keys[i - 1], keys[i]) < 0);
    }
    map_release(&map, free);
    assert_int_equal(map.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_holds_nothing),
        cmocka_unit_test(keys_are_copied_and_values_replaced),
        cmocka_unit_test(a_null_value_is_a_value),
        cmocka_unit_test(it_agrees_with_a_plain_array_over_many_random_changes),
        cmocka_unit_test(iteration_visits_each_once_and_sorted_keys_are_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
