/* Unit tests of applier/answers.c. */
#include "applier/answers.h"

#include "common/base/clock.h"
#include "common/base/memory.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct event_base *base;

static void put(struct answers *answers, const char *id, const char *body, size_t blob_size)
{
    struct digest digest;
    digest_of(id, strlen(id), &digest);
    answers_put(answers, id, body, strlen(body), blob_size ? &digest : NULL, blob_size);
}

static void an_answer_is_kept_and_replaced_under_its_id(void **state)
{
    (void)state;
    struct answers *answers = answers_new(base, NULL);
    assert_null(answers_get(answers, "a"));
    put(answers, "a", "one", 0);
    put(answers, "b", "two", 1000);
    assert_string_equal(answers_get(answers, "a")->body, "one");
    put(answers, "a", "three", 0);
    assert_string_equal(answers_get(answers, "a")->body, "three");
    assert_int_equal(answers_get(answers, "a")->size, 5);
    assert_int_equal(answers_count(answers), 2);
    answers_free(answers);
}

static void the_oldest_go_when_there_are_too_many(void **state)
{
    (void)state;
    struct answers *answers = answers_new(base, NULL);
    for (int i = 0; i < ANSWERS_COUNT_MAXIMUM + 10; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        put(answers, id, "x", 0);
    }
    assert_int_equal(answers_count(answers), ANSWERS_COUNT_MAXIMUM);
    assert_null(answers_get(answers, "9"));
    assert_non_null(answers_get(answers, "10"));
    answers_free(answers);
}

static void blobs_count_and_the_newest_stays_however_large(void **state)
{
    (void)state;
    struct answers *answers = answers_new(base, NULL);
    put(answers, "a", "x", ANSWERS_BYTES_MAXIMUM / 2);
    put(answers, "b", "x", ANSWERS_BYTES_MAXIMUM / 4);
    assert_int_equal(answers_count(answers), 2);
    put(answers, "c", "x", ANSWERS_BYTES_MAXIMUM / 2);
    assert_null(answers_get(answers, "a"));
    assert_non_null(answers_get(answers, "b"));
    put(answers, "d", "x", ANSWERS_BYTES_MAXIMUM * 2);
    assert_int_equal(answers_count(answers), 1);
    assert_non_null(answers_get(answers, "d"));
    answers_free(answers);
}

static void old_answers_expire(void **state)
{
    (void)state;
    struct answers *answers = answers_new(base, NULL);
    put(answers, "a", "x", 0);
    int64_t now = clock_monotonic_ms();
    answers_expire(answers, now + ANSWERS_AGE_MAXIMUM_MS - 1000);
    assert_non_null(answers_get(answers, "a"));
    answers_expire(answers, now + ANSWERS_AGE_MAXIMUM_MS + 1000);
    assert_null(answers_get(answers, "a"));
    assert_int_equal(answers_count(answers), 0);
    answers_free(answers);
}

static int open_base(void **state)
{
    (void)state;
    base = event_base_new();
    return base ? 0 : -1;
}

static int close_base(void **state)
{
    (void)state;
    event_base_free(base);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_kept_and_replaced_under_its_id),
        cmocka_unit_test(the_oldest_go_when_there_are_too_many),
        cmocka_unit_test(blobs_count_and_the_newest_stays_however_large),
        cmocka_unit_test(old_answers_expire),
    };
    return cmocka_run_group_tests(tests, open_base, close_base);
}
