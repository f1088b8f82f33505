/* What an object says of being a hook, and how a live one has ended. */
#include "differ/hook.h"

#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
    cJSON *tree;
    struct error error;
    if (!json_parse(text, strlen(text), NULL, &tree, &error)) {
        fail_msg("%s: %s", text, error.message);
    }
    return tree;
}

#define METADATA(annotations) "{\"annotations\":{" annotations "}}"
#define OWN(value) METADATA("\"gitmoor.io/hook\":\"" value "\"")
#define HELM(value, more) METADATA("\"helm.sh/hook\":\"" value "\"" more)
#define ARGO(value, more) METADATA("\"argocd.argoproj.io/hook\":\"" value "\"" more)
#define WEIGHT(value) ",\"helm.sh/hook-weight\":\"" value "\""

static void annotations_say_when_a_hook_runs(void **state)
{
    (void)state;
    static const struct {
        const char *name, *metadata;
        bool is_hook;
        unsigned char before, after, failure;
        unsigned deletes;
        int wave;
    } rows[] = {
        {"no annotation at all", "{}", false, 0, 0, 0, 0, 0},
        {"before", OWN("before"), true, HOOK_ALWAYS, 0, 0, 0, 0},
        {"after", OWN("after"), true, 0, HOOK_ALWAYS, 0, 0, 0},
        {"failure", OWN("failure"), true, 0, 0, HOOK_ALWAYS, 0, 0},
        {"several", OWN("before, failure,after"), true, HOOK_ALWAYS, HOOK_ALWAYS, HOOK_ALWAYS, 0,
         0},
        {"with delete policies",
         METADATA("\"gitmoor.io/hook\":\"after\",\"gitmoor.io/hook-delete-policy\":"
                  "\"before-creation,succeeded, failed\""),
         true, 0, HOOK_ALWAYS, 0, 7, 0},
        {"ours goes before another tool's",
         METADATA("\"gitmoor.io/hook\":\"after\",\"helm.sh/hook\":\"pre-install\""), true, 0,
         HOOK_ALWAYS, 0, 0, 0},
        {"pre-install is for the first time", HELM("pre-install", ""), true, HOOK_FIRST, 0, 0, 0,
         0},
        {"pre-upgrade is for later", HELM("pre-upgrade", WEIGHT("-5")), true, HOOK_LATER, 0, 0, 0,
         -5},
        {"an object with both runs always", HELM("pre-install,pre-upgrade", WEIGHT("7")), true,
         HOOK_ALWAYS, 0, 0, 0, 7},
        {"after an installation, before an upgrade", HELM("post-install, pre-upgrade", ""), true,
         HOOK_LATER, HOOK_FIRST, 0, 0, 0},
        {"a weight that is no number is 0", HELM("pre-install", WEIGHT("heavy")), true, HOOK_FIRST,
         0, 0, 0, 0},
        {"Helm's delete policies",
         HELM("post-install", ",\"helm.sh/hook-delete-policy\":\"hook-succeeded,hook-failed\""),
         true, 0, HOOK_FIRST, 0, HOOK_DELETE_SUCCEEDED | HOOK_DELETE_FAILED, 0},
        {"of moments that Gitmoor does not have it never runs",
         HELM("pre-delete,post-rollback", ""), true, 0, 0, 0, 0, 0},
        {"a definition of Helm 2 is applied", HELM("crd-install", ""), false, 0, 0, 0, 0, 0},
        {"Argo CD's", ARGO("PreSync,SyncFail", ",\"argocd.argoproj.io/sync-wave\":\"3\""), true,
         HOOK_ALWAYS, 0, HOOK_ALWAYS, 0, 3},
        {"PostSync",
         ARGO("PostSync", ",\"argocd.argoproj.io/hook-delete-policy\":\"BeforeHookCreation\""),
         true, 0, HOOK_ALWAYS, 0, HOOK_DELETE_BEFORE, 0},
        {"Sync is applied with the rest", ARGO("Sync", ""), false, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_JSON cJSON *metadata = parse(rows[i].metadata);
        bool is_hook;
        struct hook_spec spec;
        struct error error;
        if (!hook_read(metadata, &is_hook, &spec, &error)) {
            fail_msg("%s: %s", rows[i].name, error.message);
        }
        if (is_hook != rows[i].is_hook || spec.moments[HOOK_BEFORE] != rows[i].before ||
            spec.moments[HOOK_AFTER] != rows[i].after ||
            spec.moments[HOOK_FAILURE] != rows[i].failure || spec.deletes != rows[i].deletes ||
            spec.wave != rows[i].wave) {
            fail_msg("%s", rows[i].name);
        }
    }
}

static void what_is_not_understood_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *metadata, *word;
    } rows[] = {
        {OWN("befor"), "\"befor\" is no hook"},
        {OWN(" , "), "is empty"},
        {HELM("pre-instal", ""), "pre-instal"},
        {ARGO("presync", ""), "presync"},
        {METADATA(
             "\"gitmoor.io/hook\":\"after\",\"gitmoor.io/hook-delete-policy\":\"hook-failed\""),
         "none of before-creation, succeeded, failed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_JSON cJSON *metadata = parse(rows[i].metadata);
        bool is_hook;
        struct hook_spec spec;
        struct error error;
        assert_false(hook_read(metadata, &is_hook, &spec, &error));
        if (!strstr(error.message, rows[i].word)) {
            fail_msg("%s: %s", rows[i].metadata, error.message);
        }
    }
}

#define JOB(status) "{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"status\":{" status "}}"
#define POD(status) "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"status\":{" status "}}"
#define CONDITION(type, more) "\"conditions\":[{\"type\":\"" type "\",\"status\":\"True\"" more "}]"
#define ENDED(list, code)                                                                          \
    ",\"" list "\":[{\"name\":\"c\",\"state\":{\"terminated\":{\"exitCode\":" code                 \
    ",\"reason\":\"Error\",\"message\":\"no table\"}}}]"

static void a_live_hook_runs_or_has_ended(void **state)
{
    (void)state;
    static const struct {
        const char *name, *object;
        enum hook_end end;
        const char *message;
    } rows[] = {
        {"a Job that has just been made", JOB(""), HOOK_RUNS, "not started"},
        {"a Job that runs is Current for kstatus, and not at its end",
         JOB("\"startTime\":\"2026-01-01T00:00:00Z\",\"active\":1"), HOOK_RUNS, "in progress"},
        {"a Job at its end", JOB(CONDITION("Complete", "")), HOOK_SUCCEEDED, ""},
        {"a Job that has met its criteria only is not at its end",
         JOB(CONDITION("SuccessCriteriaMet", "")), HOOK_RUNS, ""},
        {"a Job that has failed",
         JOB(CONDITION("Failed", ",\"reason\":\"DeadlineExceeded\",\"message\":\"too long\"")),
         HOOK_FAILED, "DeadlineExceeded: too long"},
        {"a Pod that runs", POD("\"phase\":\"Running\""), HOOK_RUNS, "Running"},
        {"a Pod at its end", POD("\"phase\":\"Succeeded\""), HOOK_SUCCEEDED, ""},
        {"a Pod that has failed", POD("\"phase\":\"Failed\"" ENDED("containerStatuses", "3")),
         HOOK_FAILED, "container c: exit code 3 (Error): no table"},
        {"a Pod whose first container to fail is an init container",
         POD("\"phase\":\"Failed\"" ENDED("initContainerStatuses", "4")), HOOK_FAILED,
         "exit code 4"},
        {"a Pod that the node has thrown out",
         POD("\"phase\":\"Failed\",\"reason\":\"Evicted\",\"message\":\"no memory\""), HOOK_FAILED,
         "Evicted: no memory"},
        {"a Pod of which nothing is known", POD("\"phase\":\"Failed\""), HOOK_FAILED,
         "the Pod has failed"},
        {"another kind has done its work when it is there",
         "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}",
         HOOK_SUCCEEDED, ""},
        {"another kind that is not ready",
         "{\"apiVersion\":\"e.org/v1\",\"kind\":\"Db\",\"metadata\":{\"name\":\"a\"},\"status\":{"
         "\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"message\":\"wait\"}]}}",
         HOOK_RUNS, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_JSON cJSON *object = parse(rows[i].object);
        char message[HEALTH_MESSAGE_SIZE];
        char of_health[HEALTH_MESSAGE_SIZE];
        enum health_status health = health_judge(object, of_health);
        enum hook_end end = hook_judge(object, health, of_health, message);
        if (end != rows[i].end || !strstr(message, rows[i].message)) {
            fail_msg("%s: %d, %s", rows[i].name, end, message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(annotations_say_when_a_hook_runs),
        cmocka_unit_test(what_is_not_understood_is_named),
        cmocka_unit_test(a_live_hook_runs_or_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
