#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct progress_case {
    const char *sentence;
    const char *token;
    const char *object;
    enum progress expected;
};

#define CONDITION(type, status)                                                                    \
    "{\"type\":\"" type "\",\"status\":\"" status "\",\"message\":\"m\"}"
#define OBJECT(handled, generation, observed, conditions)                                          \
    "{\"metadata\":{\"generation\":" generation                                                    \
    "},\"status\":{\"lastHandledReconcileAt\":\"" handled "\",\"observedGeneration\":" observed    \
    ",\"conditions\":[" conditions "]}}"

static const struct progress_case cases[] = {
    {"without a status there is nothing yet", NULL, "{\"metadata\":{\"generation\":1}}",
     PROGRESS_WORKING},
    {"ready is ready", NULL, OBJECT("", "1", "1", CONDITION("Ready", "True")), PROGRESS_READY},
    {"ready of an older generation is not", NULL, OBJECT("", "2", "1", CONDITION("Ready", "True")),
     PROGRESS_WORKING},
    {"ready before the request was taken up is not", "t2",
     OBJECT("t1", "1", "1", CONDITION("Ready", "True")), PROGRESS_WORKING},
    {"ready once it was taken up is", "t2", OBJECT("t2", "1", "1", CONDITION("Ready", "True")),
     PROGRESS_READY},
    {"unknown is still under way", NULL, OBJECT("", "1", "1", CONDITION("Ready", "Unknown")),
     PROGRESS_WORKING},
    {"false is failed", NULL, OBJECT("", "1", "1", CONDITION("Ready", "False")), PROGRESS_FAILED},
    {"false while it is retried is under way", NULL,
     OBJECT("", "1", "1", CONDITION("Ready", "False") "," CONDITION("Reconciling", "True")),
     PROGRESS_WORKING},
    {"false and stalled is failed", NULL,
     OBJECT("", "1", "1",
            CONDITION("Ready", "False") "," CONDITION("Reconciling",
                                                      "True") "," CONDITION("Stalled", "True")),
     PROGRESS_FAILED},
    {"without the Ready condition it is under way", NULL, OBJECT("", "1", "1", ""),
     PROGRESS_WORKING},
};

static void progress_follows_the_conditions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_JSON cJSON *object = NULL;
        struct error error = {0};
        const char *message = NULL;
        assert_true(json_parse(cases[i].object, strlen(cases[i].object), NULL, &object, &error));
        if (progress_judge(object, cases[i].token, &message) != cases[i].expected || !message) {
            fail_msg("not so: %s", cases[i].sentence);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(progress_follows_the_conditions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
