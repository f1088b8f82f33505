/* health.jsonl holds what kstatus itself says of 1,300 objects; tests/oracle/regenerate
 * makes it anew. */
#include "common/data/health.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
    cJSON *tree = NULL;
    struct error error = {0};
    if (!json_parse(text, strlen(text), NULL, &tree, &error)) {
        fail_msg("%s: %s", text, error.message);
    }
    return tree;
}

static bool agrees(const cJSON *expectation)
{
    char message[HEALTH_MESSAGE_SIZE];
    const char *status = health_status_name(health_judge(json_get(expectation, "object"), message));
    const char *wanted_status = json_string(expectation, "status");
    const char *wanted_message = json_string(expectation, "message");
    if (strcmp(status, wanted_status) == 0 &&
        (!wanted_message || strcmp(message, wanted_message) == 0)) {
        return true;
    }
    AUTO_BUF struct buf object;
    buf_init(&object, 1 << 20);
    json_write(json_get(expectation, "object"), &object);
    print_error("%s\n  kstatus: %s: %s\n  ours:    %s: %s\n", object.data, wanted_status,
                text_or_empty(wanted_message), status, message);
    return false;
}

static void objects_are_judged_as_kstatus_judges_them(void **state)
{
    (void)state;
    AUTO_BUF struct buf text;
    buf_init(&text, 16 << 20);
    struct error error = {0};
    if (!buf_read_file(&text, TEST_DATA "/health.jsonl", &error)) {
        fail_msg("%s", error.message);
    }
    unsigned objects = 0, differences = 0;
    char *rest = text.data;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        if (*line) {
            AUTO_JSON cJSON *expectation = parse(line);
            objects++;
            differences += !agrees(expectation);
        }
    }
    print_message("  %u objects, %u differences\n", objects, differences);
    assert_true(objects >= 1200);
    assert_int_equal(differences, 0);
}

static enum health_status judge_unscheduled_pod(int64_t created_ms, char *message)
{
    char created[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(created_ms, created);
    AUTO_FREE char *text = mem_format(
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"creationTimestamp\":\"%s\"},"
        "\"status\":{\"phase\":\"Pending\",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":"
        "\"False\",\"reason\":\"Unschedulable\"}]}}",
        created);
    AUTO_JSON cJSON *pod = parse(text);
    return health_judge(pod, message);
}

static void a_pod_is_given_fifteen_seconds_to_be_scheduled(void **state)
{
    (void)state;
    char message[HEALTH_MESSAGE_SIZE];
    assert_int_equal(judge_unscheduled_pod(clock_wall_ms(), message), HEALTH_IN_PROGRESS);
    assert_string_equal(message, "Pod has not been scheduled");
    assert_int_equal(judge_unscheduled_pod(clock_wall_ms() - 16000, message), HEALTH_FAILED);
    assert_string_equal(message, "Pod could not be scheduled");
}

static void what_is_no_object_is_unknown(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "null",
                                        "\"x\"",
                                        "1",
                                        "{\"kind\":5}",
                                        "{\"kind\":\"\"}",
                                        "{\"metadata\":{\"name\":\"x\"}}"};
    char message[HEALTH_MESSAGE_SIZE];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        AUTO_JSON cJSON *tree = parse(texts[i]);
        assert_int_equal(health_judge(tree, message), HEALTH_UNKNOWN);
        assert_string_equal(message, "not an object: it has no kind");
    }
    assert_int_equal(health_judge(NULL, message), HEALTH_UNKNOWN);
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    AUTO_FREE char *filling = mem_new(2000, 1);
    for (size_t i = 0; i + 2 < 2000; i += 2) {
        memcpy(filling + i, "\xc3\xa9", 2);
    }
    char message[HEALTH_MESSAGE_SIZE];
    for (int shift = 0; shift < 2; shift++) {
        AUTO_FREE char *text = mem_format(
            "{\"kind\":\"A\",\"status\":{\"conditions\":[{\"type\":\"Stalled\",\"status\":\"True\","
            "\"message\":\"%s%s\"}]}}",
            shift ? "x" : "", filling);
        AUTO_JSON cJSON *tree = parse(text);
        assert_int_equal(health_judge(tree, message), HEALTH_FAILED);
        assert_true(text_is_utf8(message, strlen(message)));
        assert_in_range(strlen(message), HEALTH_MESSAGE_SIZE - 3, HEALTH_MESSAGE_SIZE - 1);
    }
}

static void statuses_have_the_names_of_kstatus(void **state)
{
    (void)state;
    assert_string_equal(health_status_name(HEALTH_IN_PROGRESS), "InProgress");
    assert_string_equal(health_status_name(HEALTH_FAILED), "Failed");
    assert_string_equal(health_status_name(HEALTH_CURRENT), "Current");
    assert_string_equal(health_status_name(HEALTH_TERMINATING), "Terminating");
    assert_string_equal(health_status_name(HEALTH_NOT_FOUND), "NotFound");
    assert_string_equal(health_status_name(HEALTH_UNKNOWN), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_judged_as_kstatus_judges_them),
        cmocka_unit_test(a_pod_is_given_fifteen_seconds_to_be_scheduled),
        cmocka_unit_test(what_is_no_object_is_unknown),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(statuses_have_the_names_of_kstatus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
