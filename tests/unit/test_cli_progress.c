#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct progress_case {
    const char *sentence;
    bool requested; /* "t2", when "t1" was asked for and "t0" was handled */
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
    {"without a status there is nothing yet", false, "{\"metadata\":{\"generation\":1}}",
     PROGRESS_WORKING},
    {"ready is ready", false, OBJECT("", "1", "1", CONDITION("Ready", "True")), PROGRESS_READY},
    {"ready of an older generation is not", false, OBJECT("", "2", "1", CONDITION("Ready", "True")),
     PROGRESS_WORKING},
    {"ready before the request was taken up is not", true,
     OBJECT("t1", "1", "1", CONDITION("Ready", "True")), PROGRESS_WORKING},
    {"ready once it was taken up is", true, OBJECT("t2", "1", "1", CONDITION("Ready", "True")),
     PROGRESS_READY},
    {"ready once a later request was taken up in its place is, too", true,
     OBJECT("t3", "1", "1", CONDITION("Ready", "True")), PROGRESS_READY},
    {"ready once the request before it was taken up is not", true,
     OBJECT("t0", "1", "1", CONDITION("Ready", "True")), PROGRESS_WORKING},
    {"ready where nothing was ever taken up is not", true,
     "{\"metadata\":{\"generation\":1},\"status\":{\"observedGeneration\":1,\"conditions\":"
     "[" CONDITION("Ready", "True") "]}}",
     PROGRESS_WORKING},
    {"unknown is still under way", false, OBJECT("", "1", "1", CONDITION("Ready", "Unknown")),
     PROGRESS_WORKING},
    {"false is failed", false, OBJECT("", "1", "1", CONDITION("Ready", "False")), PROGRESS_FAILED},
    {"false while it is retried is under way", false,
     OBJECT("", "1", "1", CONDITION("Ready", "False") "," CONDITION("Reconciling", "True")),
     PROGRESS_WORKING},
    {"false and stalled is failed", false,
     OBJECT("", "1", "1",
            CONDITION("Ready", "False") "," CONDITION("Reconciling",
                                                      "True") "," CONDITION("Stalled", "True")),
     PROGRESS_FAILED},
    {"without the Ready condition it is under way", false, OBJECT("", "1", "1", ""),
     PROGRESS_WORKING},
};

static void progress_follows_the_conditions(void **state)
{
    (void)state;
    struct progress_request request = {
        .token = "t2", .asked_before = (char[]){"t1"}, .handled_before = (char[]){"t0"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_JSON cJSON *object = NULL;
        struct error error = {0};
        const char *message = NULL;
        assert_true(json_parse(cases[i].object, strlen(cases[i].object), NULL, &object, &error));
        if (progress_judge(object, cases[i].requested ? &request : NULL, &message) !=
                cases[i].expected ||
            !message) {
            fail_msg("not so: %s", cases[i].sentence);
        }
    }
}

static void a_request_knows_what_was_asked_and_handled_before(void **state)
{
    (void)state;
    static const char text[] =
        "{\"metadata\":{\"annotations\":{\"gitmoor.io/reconcile-requested-at\":\"t1\"}},"
        "\"status\":{\"lastHandledReconcileAt\":\"t0\"}}";
    AUTO_JSON cJSON *before = NULL;
    struct progress_request request;
    assert_true(json_parse(text, strlen(text), NULL, &before, NULL));
    progress_request_init(&request, before);
    assert_string_equal(request.asked_before, "t1");
    assert_string_equal(request.handled_before, "t0");
    assert_int_equal(strlen(request.token), strlen("2026-11-24T19:00:00.000000Z"));
    progress_request_release(&request);
    progress_request_init(&request, NULL);
    assert_null(request.asked_before);
    assert_null(request.handled_before);
    progress_request_release(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_follows_the_conditions),
        cmocka_unit_test(a_request_knows_what_was_asked_and_handled_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
