/* Unit tests of cli/probe.c: what a process's answers mean. */
#include "cli/probe.h"

#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PEERS(link, up, silent)                                                                    \
    "gitmoor_bus_peers{link=\"" link "\",state=\"up\"} " up "\ngitmoor_bus_peers{link=\"" link     \
    "\",state=\"silent\"} " silent "\n"

static void ready_and_every_link_up_is_well_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *process, *ready, *metrics;
        bool well;
        const char *told;
    } cases[] = {
        {"fetcher", "ok\n", PEERS("fetcher-differ", "1", "0"), true,
         "ready, 1 peer on fetcher-differ"},
        {"fetcher", "ok\n", PEERS("fetcher-differ", "2", "1"), true,
         "ready, 2 peers on fetcher-differ"},
        {"fetcher", "ok\n", PEERS("fetcher-differ", "0", "1"), false,
         "ready, NO peer on fetcher-differ"},
        {"fetcher", "ok\n", "", false, "ready, NO peer on fetcher-differ"},
        {"applier", "not ready: applications\n", PEERS("differ-applier", "1", "0"), false,
         "not ready: applications, 1 peer on differ-applier"},
        {"differ", "ok\n",
         PEERS("fetcher-differ", "1", "0") PEERS("differ-applier", "1", "0")
             PEERS("admission-differ", "2", "0"),
         true,
         "ready, 1 peer on fetcher-differ, 1 peer on differ-applier, 2 peers on admission-differ"},
        {"differ", "ok\n", PEERS("fetcher-differ", "1", "0") PEERS("differ-applier", "1", "0"),
         false,
         "ready, 1 peer on fetcher-differ, 1 peer on differ-applier, NO peer on admission-differ"},
        {"admission", "ok\n", PEERS("admission-differ", "1", "0"), true,
         "ready, 1 peer on admission-differ"},
        {"fetcher", NULL, NULL, false, "does not answer at its port of metrics"},
        {"fetcher", "ok\n", NULL, false, "does not answer at its port of metrics"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf told;
        buf_init(&told, 4096);
        bool well = probe_judge(cases[i].process, cases[i].ready, cases[i].metrics, &told);
        assert_string_equal(told.data, cases[i].told);
        assert_int_equal(well, cases[i].well);
        buf_release(&told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready_and_every_link_up_is_well_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
