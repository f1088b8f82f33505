/* Unit tests of common/kube/backoff.c: how soon watches try again. */
#include "common/kube/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DRAWS 2000

static const struct error outage = {.code = ERROR_UNAVAILABLE};
static const struct error refusal = {.code = ERROR_DENIED};

/* The shortest and the longest of many waits after so many failures in a row. */
static void draw(unsigned failures, const struct error *why, bool known, int64_t *least,
                 int64_t *most)
{
    *least = INT64_MAX;
    *most = 0;
    for (unsigned i = 0; i < DRAWS; i++) {
        struct kube_backoff backoff = {0};
        int64_t wait = 0;
        for (unsigned j = 0; j <= failures; j++) {
            wait = kube_backoff_next(&backoff, why, known);
        }
        *least = wait < *least ? wait : *least;
        *most = wait > *most ? wait : *most;
    }
}

static void
waits_grow_to_a_limit_that_depends_on_the_server_and_are_spread_over_all_of_it(void **state)
{
    static const struct {
        const char *what;
        const struct error *why;
        bool known;
        unsigned failures;
        int64_t limit;
    } rows[] = {
        {"the first is short", &outage, true, 0, 200},
        {"so it is when a stream ends", NULL, true, 0, 200},
        {"the third is longer", &outage, true, 2, 800},
        {"a server that answered before is back within seconds", &outage, true, 40, 4000},
        {"one that never answered may have another address", &outage, false, 40, 10000},
        {"one that refuses will refuse again", &refusal, true, 40, 30000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t least, most;
        draw(rows[i].failures, rows[i].why, rows[i].known, &least, &most);
        if (most > rows[i].limit || most < rows[i].limit * 9 / 10 || least > rows[i].limit / 10) {
            fail_msg("%s: %lld to %lld ms, not 0 to %lld", rows[i].what, (long long)least,
                     (long long)most, (long long)rows[i].limit);
        }
    }
}

static void a_refusal_after_an_outage_begins_anew_and_so_does_an_outage_after_refusals(void **state)
{
    (void)state;
    struct kube_backoff backoff = {0};
    for (unsigned i = 0; i < 100; i++) {
        kube_backoff_next(&backoff, &outage, true);
    }
    assert_in_range(kube_backoff_next(&backoff, &refusal, true), 0, KUBE_BACKOFF_FIRST_MS);
    for (unsigned i = 0; i < 100; i++) {
        kube_backoff_next(&backoff, &refusal, true);
    }
    assert_in_range(kube_backoff_next(&backoff, NULL, true), 0, KUBE_BACKOFF_FIRST_MS);
}

static void what_works_is_forgotten(void **state)
{
    (void)state;
    struct kube_backoff backoff = {0};
    for (unsigned i = 0; i < 100; i++) {
        kube_backoff_next(&backoff, &refusal, true);
    }
    kube_backoff_reset(&backoff);
    assert_in_range(kube_backoff_next(&backoff, &refusal, true), 0, KUBE_BACKOFF_FIRST_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            waits_grow_to_a_limit_that_depends_on_the_server_and_are_spread_over_all_of_it),
        cmocka_unit_test(
            a_refusal_after_an_outage_begins_anew_and_so_does_an_outage_after_refusals),
        cmocka_unit_test(what_works_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
