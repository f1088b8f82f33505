/* What of an Application's conditions is told as not well. */
#include "differ/gauges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define CONDITION(type, status, reason)                                                            \
    "{\"type\":\"" type "\",\"status\":\"" status "\",\"reason\":\"" reason "\"}"

static void what_is_not_well_is_found_in_the_conditions(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *conditions;
        unsigned problems;
    } cases[] = {
        {"all is well",
         "[" CONDITION("Ready", "True", "Applied") "," CONDITION("Drifted", "False", "InSync") "]",
         0},
        {"nothing is known yet", "[]", PROBLEM_NOT_READY},
        {"it is under way", "[" CONDITION("Ready", "Unknown", "Progressing") "]",
         PROBLEM_NOT_READY},
        {"a person is needed",
         "[" CONDITION("Ready", "False", "Invalid") "," CONDITION("Stalled", "True", "Invalid") "]",
         PROBLEM_NOT_READY | PROBLEM_STALLED},
        {"an earlier revision is in force",
         "[" CONDITION("Ready", "False", "RolledBack") "," CONDITION("RolledBack", "True",
                                                                     "HealthCheckFailed") "]",
         PROBLEM_NOT_READY | PROBLEM_ROLLED_BACK},
        {"it has drifted and is not repaired",
         "[" CONDITION("Ready", "True", "Applied") "," CONDITION("Drifted", "True",
                                                                 "SelfHealOff") "]",
         PROBLEM_DRIFTED},
        {"somebody fights",
         "[" CONDITION("Ready", "True", "Applied") "," CONDITION("Drifted", "True", "Fight") "]",
         PROBLEM_DRIFTED | PROBLEM_FIGHT},
        {"a window is waited for, which is as it should be",
         "[" CONDITION("Ready", "False", "SyncWindowClosed") "," CONDITION("Drifted", "True",
                                                                           "SyncWindowClosed") "]",
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO_JSON cJSON *conditions = NULL;
        assert_true(
            json_parse(cases[i].conditions, strlen(cases[i].conditions), NULL, &conditions, NULL));
        if (gauges_find_problems(conditions) != cases[i].problems) {
            fail_msg("%s", cases[i].sentence);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_well_is_found_in_the_conditions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
