#include "cli/landed.h"

#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define CONDITION(type, status, message)                                                           \
    "{\"type\":\"" type "\",\"status\":\"" status "\",\"message\":\"" message "\"}"
#define READY(status) CONDITION("Ready", status, "what ready says")
#define HEALTHY(status) CONDITION("Healthy", status, "what health says")
#define RETRIED "," CONDITION("Reconciling", "True", "")

#define SOURCE(spec, revision, handled, conditions)                                                \
    "{\"kind\":\"GitRepository\",\"metadata\":{\"name\":\"shop\",\"generation\":1},\"spec\":"      \
    "{" spec "},\"status\":{\"observedGeneration\":1,\"revision\":\"" revision                     \
    "\",\"lastHandledReconcileAt\":\"" handled "\",\"conditions\":[" conditions "]}}"

#define APPLICATION(spec, status, conditions)                                                      \
    "{\"metadata\":{\"generation\":1},\"spec\":{" spec                                             \
    "},\"status\":{\"observedGeneration\":1," status "\"conditions\":[" conditions "]}}"

struct landed_case {
    const char *sentence;
    const char *object;
    const char *wanted;  /* of a source */
    const char *message; /* a part of it; NULL: nothing is said */
    enum progress expected;
};

/* Asked for: "t1", which handles what came before it: "t0". */
static const struct landed_case sources[] = {
    {"the wanted commit is there, whatever else is the matter",
     SOURCE("\"suspend\":true", "main@sha1:aaaa", "t0", READY("False")), "aaaa", NULL,
     PROGRESS_READY},
    {"the newest is what was fetched upon the request",
     SOURCE("", "main@sha1:aaaa", "t1", READY("True")), NULL, NULL, PROGRESS_READY},
    {"what was fetched before is not the newest", SOURCE("", "main@sha1:aaaa", "t0", READY("True")),
     NULL, "GitRepository shop: waiting", PROGRESS_WORKING},
    {"another commit than the wanted one is told",
     SOURCE("", "main@sha1:bbbb", "t1", READY("True")), "aaaa",
     "is at main@sha1:bbbb: aaaa is not there yet", PROGRESS_WORKING},
    {"a suspended one never comes by anything",
     SOURCE("\"suspend\":true", "main@sha1:bbbb", "t0", READY("True")), "aaaa", "shop is suspended",
     PROGRESS_FAILED},
    {"a fetch that is tried again is waited for, and why is told",
     SOURCE("", "main@sha1:bbbb", "t1", READY("False") RETRIED), NULL,
     "GitRepository shop: what ready says", PROGRESS_WORKING},
    {"one that is not has failed", SOURCE("", "main@sha1:bbbb", "t1", READY("False")), "aaaa",
     "GitRepository shop: what ready says", PROGRESS_FAILED},
};

#define OBSERVED "\"observedRevision\":\"main@sha1:aaaa\","
#define OLDER                                                                                      \
    "\"observedRevision\":\"main@sha1:bbbb\",\"lastAttemptedRevision\":\"main@sha1:bbbb\","

/* The revision is main@sha1:aaaa. */
static const struct landed_case applications[] = {
    {"observed, ready and healthy is live",
     APPLICATION("", OBSERVED, READY("True") "," HEALTHY("True")), NULL, NULL, PROGRESS_READY},
    {"so is what was attempted, of a differ that does not tell what it has observed",
     APPLICATION("", "\"lastAttemptedRevision\":\"main@sha1:aaaa\",",
                 READY("True") "," HEALTHY("True")),
     NULL, NULL, PROGRESS_READY},
    {"ready of another commit is not", APPLICATION("", OLDER, READY("True") "," HEALTHY("True")),
     NULL, "waiting for main@sha1:aaaa", PROGRESS_WORKING},
    {"what failed at another commit may not at this one, and is told",
     APPLICATION("", OLDER, READY("False")), NULL,
     "waiting for main@sha1:aaaa; until then: what ready says", PROGRESS_WORKING},
    {"not ready yet", APPLICATION("", OBSERVED, READY("Unknown")), NULL, "what ready says",
     PROGRESS_WORKING},
    {"what is tried again is not ready yet", APPLICATION("", OBSERVED, READY("False") RETRIED),
     NULL, "what ready says", PROGRESS_WORKING},
    {"what is not has failed", APPLICATION("", OBSERVED, READY("False")), NULL, "what ready says",
     PROGRESS_FAILED},
    {"what is refused may yet pass",
     APPLICATION(
         "", OBSERVED,
         "{\"type\":\"Ready\",\"status\":\"False\",\"reason\":\"Invalid\",\"message\":\"why\"}"),
     NULL, "why", PROGRESS_WORKING},
    {"ready that does not wait for health is not live before it is healthy",
     APPLICATION("", OBSERVED, READY("True") "," HEALTHY("Unknown")), NULL,
     "not healthy yet: what health says", PROGRESS_WORKING},
    {"nor ever, where it is not", APPLICATION("", OBSERVED, READY("True") "," HEALTHY("False")),
     NULL, "not healthy: what health says", PROGRESS_FAILED},
    {"a suspended one never comes by anything",
     APPLICATION("\"suspend\":true", OBSERVED, READY("True") "," HEALTHY("True")), NULL,
     "it is suspended", PROGRESS_FAILED},
    {"nor one that is being deleted",
     "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}", NULL, "being deleted",
     PROGRESS_FAILED},
    {"one that nobody has taken up yet is waited for", "{\"metadata\":{\"generation\":1}}", NULL,
     "waiting for main@sha1:aaaa; until then: waiting for the last change of its spec",
     PROGRESS_WORKING},
};

static void check(const struct landed_case *row, bool is_source)
{
    AUTO_JSON cJSON *object = NULL;
    AUTO_BUF struct buf message;
    const struct progress_request request = {.token = "t1", .handled_before = (char[]){"t0"}};
    buf_init(&message, 4096);
    assert_true(json_parse(row->object, strlen(row->object), NULL, &object, NULL));
    enum progress progress = is_source ? landed_in_source(object, row->wanted, &request, &message)
                                       : landed_in_application(object, "main@sha1:aaaa", &message);
    if (progress != row->expected ||
        (row->message ? !strstr(message.data, row->message) : message.size > 0)) {
        fail_msg("not so: %s (\"%s\")", row->sentence, message.data);
    }
}

static void a_source_has_a_commit_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        check(&sources[i], true);
    }
}

static void a_commit_is_live_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof applications / sizeof applications[0]; i++) {
        check(&applications[i], false);
    }
}

static void the_history_tells_what_was_live_before(void **state)
{
    (void)state;
    static const char text[] = "{\"status\":{\"history\":[{\"revision\":\"main@sha1:bbbb\"},"
                               "{\"revision\":\"main@sha1:aaaa\"}]}}";
    AUTO_JSON cJSON *object = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &object, NULL));
    assert_true(landed_before(object, "aaaa"));
    assert_false(landed_before(object, "cccc"));
    assert_false(landed_before(NULL, "aaaa"));
}

static void what_the_server_refuses_is_told_from_other_failures(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        bool expected;
    } rows[] = {
        {OBSERVED "\"conditions\":[{\"type\":\"Ready\",\"reason\":\"Invalid\"}]", true},
        {OBSERVED "\"conditions\":[{\"type\":\"Ready\",\"reason\":\"ApplyFailed\"}]", false},
        {OLDER "\"conditions\":[{\"type\":\"Ready\",\"reason\":\"Invalid\"}]", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_JSON cJSON *object = NULL;
        AUTO_BUF struct buf text;
        buf_init(&text, 4096);
        buf_append_format(&text, "{\"status\":{%s}}", rows[i].status);
        assert_true(json_parse(text.data, text.size, NULL, &object, NULL));
        assert_int_equal(landed_is_refused(object, "main@sha1:aaaa"), rows[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_a_commit_or_not),
        cmocka_unit_test(a_commit_is_live_or_not),
        cmocka_unit_test(what_the_server_refuses_is_told_from_other_failures),
        cmocka_unit_test(the_history_tells_what_was_live_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
