/* Lists of field managers: what they let in. */
#include "differ/managers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_last_pattern_that_matches_decides(void **state)
{
    (void)state;
    static const struct {
        const char *list, *name;
        bool matches;
    } rows[] = {
        {"kubectl*,Mozilla", "kubectl", true},
        {"kubectl*,Mozilla", "kubectl-client-side-apply", true},
        {"kubectl*,Mozilla", "Mozilla", true},
        {"kubectl*,Mozilla", "mozilla", false},
        {"kubectl*,!kubectl-rollout", "kubectl-rollout", false},
        {"kubectl*,!kubectl-rollout", "kubectl-edit", true},
        {"!kubectl-rollout,kubectl*", "kubectl-rollout", true},
        {" kubectl* ,\n k9s ", "k9s", true},
        {"*", "anything", true},
        {"!*", "anything", false},
        {"", "", false},
        {",,", "", false},
        {NULL, "kubectl", false},
        {"cli-[0-9]", "cli-7", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct managers managers;
        managers_init(&managers);
        managers_add(&managers, rows[i].list);
        if (managers_match(&managers, rows[i].name) != rows[i].matches) {
            fail_msg("\"%s\" and %s", rows[i].list ? rows[i].list : "(none)", rows[i].name);
        }
        managers_release(&managers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_pattern_that_matches_decides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
