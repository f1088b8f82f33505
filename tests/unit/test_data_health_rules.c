/* Rules of the user's about health: their form and its errors, what they make of objects, and those
 * that are shipped, of which data/health_shipped.yaml has statuses of every kind. */
#include "common/data/health_rules.h"

#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- Helpers ---- */

static bool keep_tree(cJSON *tree, unsigned line, void *context, struct error *error)
{
    (void)line;
    (void)error;
    *(cJSON **)context = tree;
    return true;
}

static cJSON *read_yaml(const char *text)
{
    cJSON *tree = NULL;
    struct error error;
    if (!yaml_parse(text, strlen(text), "test", NULL, keep_tree, &tree, &error)) {
        fail_msg("%s", error.message);
    }
    return tree;
}

static struct health_rules *rules_of(const char *text)
{
    struct health_rules *rules = NULL;
    struct error error;
    if (!health_rules_parse(text, strlen(text), "rules.yaml", &rules, &error)) {
        fail_msg("%s", error.message);
    }
    return rules;
}

/* "Current: message" of the object in YAML. */
static char *judge(const struct health_rules *first, const struct health_rules *second,
                   const char *object)
{
    char message[HEALTH_MESSAGE_SIZE];
    const struct health_rules *const sets[] = {first, second};
    AUTO_JSON cJSON *tree = read_yaml(object);
    enum health_status status = health_judge_by(sets, 2, tree, message);
    return mem_format("%s: %s", health_status_name(status), message);
}

static void assert_judged(const struct health_rules *rules, const char *object, const char *wanted)
{
    AUTO_FREE char *is = judge(rules, NULL, object);
    if (strcmp(is, wanted) != 0) {
        fail_msg("%s\n  is:     %s\n  wanted: %s", object, is, wanted);
    }
}

/* ---- What is shipped ---- */

struct coverage {
    struct health_rules *rules;
    struct map current, other; /* group/kind of the cases that are Current, and that are not */
    size_t cases, wrong;
};

/* Whether what Argo CD makes of a case is another verdict than ours: the note of a difference that
 * is none would mislead. */
static bool differs(const char *argo, const char *status)
{
    static const struct {
        const char *argo, *status;
    } same[] = {{"Healthy", "Current"}, {"Progressing", "InProgress"}, {"Degraded", "Failed"}};
    size_t i = 0;
    while (i < sizeof same / sizeof *same && strcmp(same[i].argo, argo) != 0) {
        i++;
    }
    return i < sizeof same / sizeof *same ? !text_equal(same[i].status, status)
                                          : strcmp(argo, "Suspended") == 0;
}

static bool take_case(cJSON *tree, unsigned line, void *context, struct error *error)
{
    AUTO_JSON cJSON *owned = tree;
    struct coverage *coverage = context;
    char message[HEALTH_MESSAGE_SIZE];
    const cJSON *object = json_get(owned, "object");
    const struct health_rules *const sets[] = {coverage->rules};
    const char *status = health_status_name(health_judge_by(sets, 1, object, message));
    const char *wanted = json_string(owned, "want");
    const char *wanted_message = json_string(owned, "message");
    (void)error;
    if (!text_equal(status, wanted) || (wanted_message && strcmp(message, wanted_message) != 0)) {
        print_error("health_shipped.yaml:%u: %s\n  is:     %s: %s\n  wanted: %s: %s\n", line,
                    json_string(object, "kind"), status, message, wanted,
                    text_or_empty(wanted_message));
        coverage->wrong++;
    }
    const char *argo = json_string(owned, "argo");
    if (argo && !differs(argo, wanted)) {
        print_error("health_shipped.yaml:%u: %s of Argo CD's is no other verdict\n", line, argo);
        coverage->wrong++;
    }
    const char *api = json_string(object, "apiVersion");
    AUTO_FREE char *kind =
        mem_format("%.*s/%s", (int)strcspn(api, "/"), api, json_string(object, "kind"));
    map_set(text_equal(wanted, "Current") ? &coverage->current : &coverage->other, kind,
            (void *)"");
    coverage->cases++;
    return true;
}

/* Each kind that has a check must have a status that is Current and one that is not. */
static void assert_covered(const struct coverage *coverage)
{
    AUTO_BUF struct buf text;
    AUTO_JSON cJSON *tree = NULL;
    buf_init(&text, 1 << 20);
    assert_true(buf_read_file(&text, TEST_DATA "/../../../common/data/health_rules.yaml", NULL));
    assert_true(yaml_parse(text.data, text.size, "rules", NULL, keep_tree, &tree, NULL));
    size_t kinds = 0;
    for (const cJSON *check = json_first(json_array(tree, "checks")); check; check = check->next) {
        AUTO_FREE char *kind =
            mem_format("%s/%s", json_string(check, "group"), json_string(check, "kind"));
        if (strchr(kind, '*')) {
            continue;
        }
        kinds++;
        if (!map_has(&coverage->current, kind) || !map_has(&coverage->other, kind)) {
            fail_msg("%s: health_shipped.yaml needs a status that is Current and one that is not",
                     kind);
        }
    }
    assert_true(kinds > 50);
}

static void shipped_rules_judge_the_documented_statuses(void **state)
{
    (void)state;
    struct coverage coverage = {.rules = health_rules_shipped()};
    AUTO_BUF struct buf text;
    struct error error;
    assert_non_null(coverage.rules);
    map_init(&coverage.current);
    map_init(&coverage.other);
    buf_init(&text, 16 << 20);
    if (!buf_read_file(&text, TEST_DATA "/health_shipped.yaml", &error) ||
        !yaml_parse(text.data, text.size, "health_shipped.yaml", NULL, take_case, &coverage,
                    &error)) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(coverage.wrong, 0);
    assert_true(coverage.cases >= 300);
    assert_covered(&coverage);
    map_release(&coverage.current, NULL);
    map_release(&coverage.other, NULL);
    health_rules_free(coverage.rules);
}

/* ---- What rules mean ---- */

#define HEAD "apiVersion: example.org/v1\nkind: Database\nmetadata: {name: x, generation: 2}\n"

static const char meaning[] =
    "checks:\n"
    "- group: example.org\n"
    "  kind: Database\n"
    "  rules:\n"
    "  - {status: Failed, conditions: [{type: Ready, status: 'False', reasons: [Broken, Lost]}]}\n"
    "  - {status: Failed, fields: [{path: /status/phase, values: [Dead]}], message: /status/why}\n"
    "  - status: Current\n"
    "    conditions: [{type: Ready, status: 'True'}, {type: Degraded, set: false}]\n"
    "    fields:\n"
    "    - {path: /status/replicas, sameAs: /spec/replicas}\n"
    "    - {path: /status/nodes/*/state, values: [up, 1, true]}\n"
    "    - {path: /status/nodes/*/error, set: false}\n";

static void conditions_and_fields_decide_in_their_order(void **state)
{
    (void)state;
    static const struct {
        const char *name, *rest, *wanted;
    } cases[] = {
        {"no status", "", "InProgress: waiting for condition Ready"},
        {"a condition in progress, with its message",
         "status: {conditions: [{type: Ready, status: 'False', message: soon}]}",
         "InProgress: soon"},
        {"one without a message", "status: {conditions: [{type: Ready, status: Unknown}]}",
         "InProgress: Ready is Unknown"},
        {"a reason that has failed",
         "status: {conditions: [{type: Ready, status: 'False', reason: Lost}]}",
         "Failed: Ready is False: Lost"},
        {"a field that has failed, with a message of its own", "status: {phase: Dead, why: fire}",
         "Failed: fire"},
        {"a message that is not there", "status: {phase: Dead}", "Failed: /status/phase is Dead"},
        {"all is well",
         "spec: {replicas: 3}\nstatus: {replicas: 3, nodes: [{state: up}, {state: 1}, {state: "
         "true}], conditions: [{type: Ready, status: 'True', message: fine}]}",
         "Current: fine"},
        {"a count that differs",
         "spec: {replicas: 3}\nstatus: {replicas: 2, nodes: [{state: up}], conditions: [{type: "
         "Ready, status: 'True'}]}",
         "InProgress: /status/replicas is 2"},
        {"a count that neither has",
         "status: {nodes: [{state: up}], conditions: [{type: Ready, status: 'True'}]}",
         "InProgress: /status/replicas is not set"},
        {"one of several that differs",
         "spec: {replicas: 3}\nstatus: {replicas: 3, nodes: [{state: up}, {state: down}], "
         "conditions: [{type: Ready, status: 'True'}]}",
         "InProgress: /status/nodes/*/state is down"},
        {"none of several",
         "spec: {replicas: 3}\nstatus: {replicas: 3, nodes: [], conditions: [{type: Ready, "
         "status: 'True'}]}",
         "InProgress: /status/nodes/*/state is not set"},
        {"what must not be set",
         "spec: {replicas: 3}\nstatus: {replicas: 3, nodes: [{state: up, error: {code: 5}}], "
         "conditions: [{type: Ready, status: 'True'}]}",
         "InProgress: /status/nodes/*/error is set"},
        {"a condition that must not be there",
         "status: {conditions: [{type: Ready, status: 'True'}, {type: Degraded, status: 'False', "
         "message: bad}]}",
         "InProgress: bad"},
        {"a condition of the generation before",
         "status: {conditions: [{type: Ready, status: 'False', reason: Lost, observedGeneration: "
         "1}]}",
         "InProgress: waiting for condition Ready"},
        {"a generation that is not observed", "status: {observedGeneration: 1, phase: Dead}",
         "InProgress: Database generation is 2, but latest observed generation is 1"},
        {"conditions of a wrong shape", "status: {conditions: {Ready: true}}",
         "InProgress: waiting for condition Ready"},
        {"a status of a wrong shape", "status: 5", "InProgress: waiting for condition Ready"},
    };
    struct health_rules *rules = rules_of(meaning);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_FREE char *object = mem_format(HEAD "%s\n", cases[i].rest);
        AUTO_FREE char *is = judge(rules, NULL, object);
        if (strcmp(is, cases[i].wanted) != 0) {
            fail_msg("%s\n  is:     %s\n  wanted: %s", cases[i].name, is, cases[i].wanted);
        }
    }
    health_rules_free(rules);
}

static void one_place_of_many_is_enough_for_any(void **state)
{
    (void)state;
    struct health_rules *rules = rules_of(
        "checks:\n"
        "- group: example.org\n"
        "  kind: Route\n"
        "  rules:\n"
        "  - {status: Failed, conditions: [{at: /status/parents/*/conditions, match: Any, type: "
        "Ok, "
        "status: 'False'}]}\n"
        "  - {status: Current, conditions: [{at: /status/parents/*/conditions, type: Ok, status: "
        "'True'}]}\n");
#define ROUTE "{apiVersion: example.org/v1, kind: Route, status: {parents: "
    assert_judged(rules, ROUTE "[]}}", "InProgress: waiting for condition Ok");
    assert_judged(rules, ROUTE "[{conditions: [{type: Ok, status: 'True'}]}, {}]}}",
                  "InProgress: waiting for condition Ok");
    assert_judged(rules, ROUTE "[{conditions: [{type: Ok, status: 'True'}]}]}}",
                  "Current: Ok is True");
    assert_judged(rules,
                  ROUTE "{a: {conditions: [{type: Ok, status: 'True'}]}, b: {conditions: [{type: "
                        "Ok, status: 'False', reason: Bad}]}}}}",
                  "Failed: Ok is False: Bad");
    health_rules_free(rules);
}

static void places_of_an_earlier_generation_do_not_count_beside_others(void **state)
{
    (void)state;
    struct health_rules *rules = rules_of(
        "checks:\n"
        "- group: example.org\n"
        "  kind: Route\n"
        "  rules:\n"
        "  - {status: Failed, conditions: [{at: /status/parents/*/conditions, match: Any, type: "
        "Odd, set: false}]}\n"
        "  - {status: Current, conditions: [{at: /status/parents/*/conditions, type: Ok, status: "
        "'True'}]}\n");
#define PARENTS                                                                                    \
    "{apiVersion: example.org/v1, kind: Route, metadata: {generation: 2}, status: {parents: "
#define EARLIER "{conditions: [{type: Ok, status: 'False', observedGeneration: 1}]}"
#define LATEST "{conditions: [{type: Ok, status: 'True'}, {type: Odd, observedGeneration: 2}]}"
    assert_judged(rules, PARENTS "[" EARLIER ", " LATEST "]}}", "Current: Ok is True");
    assert_judged(rules, PARENTS "[" EARLIER "]}}", "Failed: there is no condition Odd");
    assert_judged(rules, PARENTS "[" LATEST ", {conditions: [{type: Odd}]}]}}",
                  "InProgress: waiting for condition Ok");
    health_rules_free(rules);
}

static void the_generation_may_be_elsewhere_or_not_looked_at(void **state)
{
    (void)state;
    struct health_rules *rules = rules_of(
        "checks:\n"
        "- {group: a, kind: A, observedGeneration: /status/seen, rules: [{status: Current, fields: "
        "[{path: /status/phase, set: true}]}]}\n"
        "- {group: b, kind: B, observedGeneration: '', rules: [{status: Current, fields: [{path: "
        "/status/phase, set: true}]}]}\n");
    assert_judged(rules,
                  "{apiVersion: a/v1, kind: A, metadata: {generation: 2}, status: {phase: x, seen: "
                  "1, observedGeneration: 2}}",
                  "InProgress: A generation is 2, but latest observed generation is 1");
    assert_judged(rules,
                  "{apiVersion: a/v1, kind: A, metadata: {generation: 2}, status: {phase: x, seen: "
                  "'2'}}",
                  "Current: /status/phase is x");
    assert_judged(rules,
                  "{apiVersion: b/v1, kind: B, metadata: {generation: 2}, status: {phase: x, "
                  "observedGeneration: 1}}",
                  "Current: /status/phase is x");
    health_rules_free(rules);
}

static void a_rule_is_for_its_kind_only_and_the_first_set_wins(void **state)
{
    (void)state;
    struct health_rules *own = rules_of(
        "checks:\n"
        "- {group: example.org, kind: Database, version: v2, rules: [{status: Current, fields: "
        "[{path: /kind, set: true}], message: /kind}]}\n"
        "- {group: batch, kind: Job, rules: [{status: Current, conditions: [{type: Complete, "
        "status: 'True'}]}]}\n");
    struct health_rules *wide = rules_of(
        "checks:\n"
        "- {group: example.org, kind: Database, rules: [{status: Failed, fields: [{path: /kind, "
        "set: true}]}]}\n"
        "- {group: '*.example.org', kind: '*', rules: [{status: Failed, fields: [{path: /kind, "
        "set: true}]}]}\n"
        "- {group: '', kind: Thing, rules: [], otherwise: Kstatus}\n");
    static const struct {
        const char *object, *wanted;
    } cases[] = {
        {"{apiVersion: example.org/v2, kind: Database}", "Current: Database"},
        {"{apiVersion: example.org/v1, kind: Database}", "Failed: /kind is Database"},
        {"{apiVersion: a.example.org/v1, kind: Anything}", "Failed: /kind is Anything"},
        {"{apiVersion: a.b.example.org/v1, kind: Anything}", "Failed: /kind is Anything"},
        {"{apiVersion: example.org/v1, kind: Anything}", "Current: Resource is current"},
        {"{apiVersion: badexample.org/v1, kind: Anything}", "Current: Resource is current"},
        {"{apiVersion: v1, kind: Thing, status: {conditions: [{type: Ready, status: 'False', "
         "message: late}]}}",
         "InProgress: late"},
        {"{apiVersion: batch/v1, kind: Job, status: {startTime: now}}",
         "InProgress: waiting for condition Complete"},
        {"{apiVersion: example.org/v2, kind: Database, metadata: {deletionTimestamp: now}}",
         "Terminating: Resource scheduled for deletion"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_FREE char *is = judge(own, wide, cases[i].object);
        assert_string_equal(is, cases[i].wanted);
    }
    AUTO_FREE char *nothing = health_rules_of_kind(own, "apps", "Deployment");
    AUTO_FREE char *something = health_rules_of_kind(wide, "a.example.org", "Deployment");
    assert_string_equal(nothing, "");
    assert_non_null(strstr(something, "\"kind\":\"*\""));
    health_rules_free(own);
    health_rules_free(wide);
}

/* ---- Errors ---- */

static void a_mistake_is_named_with_its_rule_and_field(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"", "rules.yaml:1: empty. No rules are written as {checks: []}"},
        {"checks: []\n---\nchecks: []",
         "rules.yaml:3: a second document: the health rules are one"},
        {"5", "rules.yaml:1: health rules must be a mapping that holds checks"},
        {"kind: Tenancy\nchecks: []",
         "rules.yaml:1: health rules have apiVersion gitmoor.io/v1alpha1 and kind HealthRules"},
        {"checks: []\nrules: []",
         "rules.yaml:2: unknown field; beside checks there may be apiVersion and kind"},
        {"checks: {}", "rules.yaml:1: checks: must be a list of at most 1000 items"},
        {"checks:\n- x", "rules.yaml:2: checks[0]: must be a mapping"},
        {"checks:\n- kind: A\n  rules: []",
         "rules.yaml:2: checks[0]: group is missing; \"\" is the group of Kubernetes' core"},
        {"checks:\n- group: a", "rules.yaml:2: checks[0]: kind is missing"},
        {"checks:\n- {group: a, kind: ''}", "rules.yaml:2: checks[0].kind: must not be empty"},
        {"checks:\n- {group: a*b, kind: A}",
         "rules.yaml:2: checks[0].group: \"a*b\": a * may only stand first, before a dot, for all "
         "groups that end so"},
        {"checks:\n- group: a\n  kind: A",
         "rules.yaml:2: checks[0]: rules is missing: without one nothing is ever Current"},
        {"checks:\n- group: a\n  kind: A\n  check: []",
         "rules.yaml:4: checks[0].check: unknown field; there are group, kind, version, "
         "observedGeneration, rules, otherwise"},
        {"checks:\n- {group: a, kind: A, rules: [], otherwise: Fine}",
         "rules.yaml:2: checks[0].otherwise: must be Current, InProgress, Failed or Kstatus, not "
         "\"Fine\""},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - status: Healthy",
         "rules.yaml:5: checks[0].rules[0].status: must be Current, InProgress or Failed, not "
         "\"Healthy\""},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - status: Current",
         "rules.yaml:5: checks[0].rules[0]: needs conditions or fields; for what holds otherwise "
         "there is the check's otherwise"},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - conditions: [{type: Ready}]",
         "rules.yaml:5: checks[0].rules[0]: status is missing: Current, InProgress or Failed"},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - status: Current\n    conditions:\n    - "
         "type: Ready\n      status: True",
         "rules.yaml:8: checks[0].rules[0].conditions[0].status: must be a string: write it in "
         "quotes"},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - status: Current\n    conditions:\n    - "
         "status: 'True'",
         "rules.yaml:7: checks[0].rules[0].conditions[0]: type is missing: that of a condition, "
         "such as Ready"},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - {status: Current, conditions: [{type: "
         "Ready, set: false, status: 'True'}]}",
         "rules.yaml:5: checks[0].rules[0].conditions[0]: set: false is for a condition that is "
         "not there; it has no status or reasons"},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - {status: Current, conditions: [{type: "
         "Ready, reasons: Broken}]}",
         "rules.yaml:5: checks[0].rules[0].conditions[0].reasons: must be a list of 1 to 16 "
         "values"},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - {status: Current, fields: [{values: [x]}]}",
         "rules.yaml:5: checks[0].rules[0].fields[0]: path is missing: a JSON pointer such as "
         "/status/phase"},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - {status: Current, fields: [{path: "
         "status.phase, values: [x]}]}",
         "rules.yaml:5: checks[0].rules[0].fields[0].path: JSON pointer \"status.phase\": it must "
         "be empty or begin with \"/\""},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - {status: Current, fields: [{path: "
         "/a/*/*/*, values: [x]}]}",
         "rules.yaml:5: checks[0].rules[0].fields[0].path: \"/a/*/*/*\": at most 2 * in one "
         "pointer"},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - {status: Current, fields: [{path: /a}]}",
         "rules.yaml:5: checks[0].rules[0].fields[0]: needs one of values, sameAs and set, to be "
         "compared with"},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - {status: Current, fields: [{path: /a, "
         "values: [{}]}]}",
         "rules.yaml:5: checks[0].rules[0].fields[0].values[0]: must be a string, a number, true "
         "or false"},
        {"checks:\n- group: a\n  kind: A\n  rules:\n  - {status: Current, fields: [{path: /a, "
         "match: Some, set: true}]}",
         "rules.yaml:5: checks[0].rules[0].fields[0].match: must be All or Any, not \"Some\""},
        {"checks:\n- &a {group: a, kind: A, rules: [], otherwise: Kstatus}\n- {group: '', kind: "
         "A, rules: [], otherwise: Kstatus}\n- {group: a, kind: A, rules: [], otherwise: Kstatus}",
         "rules.yaml:4: checks[2]: a second check for A of a; the first is [0]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct health_rules *rules = NULL;
        struct error error;
        assert_false(
            health_rules_parse(cases[i].text, strlen(cases[i].text), "rules.yaml", &rules, &error));
        assert_string_equal(error.message, cases[i].wanted);
        assert_null(rules);
    }
}

static void secrets_are_not_looked_into(void **state)
{
    (void)state;
    struct health_rules *rules = NULL;
    struct error error;
    static const char secret[] = "checks: [{group: '', kind: Secret, rules: []}]";
    assert_false(health_rules_parse(secret, strlen(secret), "rules.yaml", &rules, &error));
    assert_string_equal(error.message,
                        "rules.yaml:1: checks[0]: Secrets have no health rules: what "
                        "a rule finds is told in the status of the Application");
    rules = rules_of("checks: [{group: '', kind: '*', rules: [{status: Failed, fields: [{path: "
                     "/data/password, set: true}]}]}]");
    assert_judged(rules, "{apiVersion: v1, kind: Secret, data: {password: aHVudGVyMg==}}",
                  "Current: Resource is always ready");
    assert_judged(rules, "{apiVersion: v1, kind: Thing, data: {password: none}}",
                  "Failed: /data/password is none");
    health_rules_free(rules);
}

static void checks_of_an_application_are_named_by_their_field(void **state)
{
    (void)state;
    struct health_rules *rules = NULL;
    struct error error;
    AUTO_JSON cJSON *wrong = read_yaml("[{group: a, kind: A, rules: [{status: Bad}]}]");
    AUTO_JSON cJSON *right = read_yaml("[{group: a, kind: A, rules: [{status: Current, fields: "
                                       "[{path: /a, set: true}]}]}]");
    AUTO_JSON cJSON *none = read_yaml("[]");
    assert_false(health_rules_read(wrong, "spec.health.checks", &rules, &error));
    assert_string_equal(error.message, "spec.health.checks[0].rules[0].status: must be Current, "
                                       "InProgress or Failed, not \"Bad\"");
    assert_true(health_rules_read(none, "spec.health.checks", &rules, &error));
    assert_null(rules);
    assert_true(health_rules_read(NULL, "spec.health.checks", &rules, &error));
    assert_null(rules);
    assert_true(health_rules_read(right, "spec.health.checks", &rules, &error));
    assert_non_null(rules);
    health_rules_free(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_rules_judge_the_documented_statuses),
        cmocka_unit_test(conditions_and_fields_decide_in_their_order),
        cmocka_unit_test(one_place_of_many_is_enough_for_any),
        cmocka_unit_test(places_of_an_earlier_generation_do_not_count_beside_others),
        cmocka_unit_test(the_generation_may_be_elsewhere_or_not_looked_at),
        cmocka_unit_test(a_rule_is_for_its_kind_only_and_the_first_set_wins),
        cmocka_unit_test(a_mistake_is_named_with_its_rule_and_field),
        cmocka_unit_test(secrets_are_not_looked_into),
        cmocka_unit_test(checks_of_an_application_are_named_by_their_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
