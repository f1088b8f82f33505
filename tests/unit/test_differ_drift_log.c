/* drift_log: what a status says of drift stays bounded, and says what is over. */
#include "differ/drift_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct object_ref ref(const char *name)
{
    return (struct object_ref){
        .group = "", .version = "v1", .kind = "ConfigMap", .namespace_ = "n", .name = name};
}

static bool note_at(cJSON *log, const char *name, const char *manager, const char *time,
                    const char *reason, int64_t now)
{
    struct object_ref subject = ref(name);
    struct blame blame = {
        .fields = {".data.a"}, .count = 1, .total = 3, .manager = manager, .time = time};
    struct drift_note note = {
        .ref = &subject, .blame = manager ? &blame : NULL, .reason = reason, .now = now};
    return drift_log_note(log, &note);
}

static const cJSON *entry(const cJSON *log, size_t index)
{
    const cJSON *item = json_first(log);
    while (index-- > 0) {
        item = item->next;
    }
    return item;
}

static void an_entry_says_what_who_and_when(void **state)
{
    (void)state;
    AUTO_JSON cJSON *log = json_new_array();
    assert_true(note_at(log, "a", "kubectl-edit", "2026-01-01T00:00:00Z", "INC-1", 1000));
    const cJSON *one = entry(log, 0);
    assert_string_equal(json_string(one, "kind"), "ConfigMap");
    assert_string_equal(json_string(one, "namespace"), "n");
    assert_string_equal(json_string(one, "change"), "Changed");
    assert_string_equal(json_string(one, "manager"), "kubectl-edit");
    assert_string_equal(json_string(one, "time"), "2026-01-01T00:00:00Z");
    assert_string_equal(json_string(one, "reason"), "INC-1");
    assert_string_equal(json_string(one, "seenAt"), "1970-01-01T00:00:01Z");
    assert_string_equal(json_string(one, "state"), "Drifted");
    assert_int_equal(json_int(one, "moreFields", 0), 2);
    assert_int_equal(json_int(one, "count", 0), 1);
    assert_true(note_at(log, "b", NULL, NULL, NULL, 2000));
    assert_string_equal(json_string(entry(log, 0), "change"), "Deleted"); /* newest first */
    assert_null(json_get(entry(log, 0), "fields"));
}

static void the_same_drift_is_told_once(void **state)
{
    (void)state;
    AUTO_JSON cJSON *log = json_new_array();
    struct object_ref subject = ref("a");
    assert_true(note_at(log, "a", "x", "2026-01-01T00:00:00Z", NULL, 1000));
    assert_false(note_at(log, "a", "x", "2026-01-01T00:00:00Z", NULL, 2000));
    assert_int_equal(json_size(log), 1);
    /* Another write of the same is another drift, and one after a repair is too. */
    assert_true(note_at(log, "a", "x", "2026-01-01T00:00:05Z", NULL, 3000));
    drift_log_end(log, &subject, "Repaired", 4000);
    assert_string_equal(json_string(entry(log, 0), "state"), "Repaired");
    assert_string_equal(json_string(entry(log, 0), "endedAt"), "1970-01-01T00:00:04Z");
    assert_true(note_at(log, "a", "x", "2026-01-01T00:00:05Z", NULL, 5000));
    assert_int_equal(json_size(log), 1);
    assert_int_equal(json_int(entry(log, 0), "count", 0), 3);
    assert_null(json_get(entry(log, 0), "endedAt"));
}

static void an_end_is_told_once_and_only_of_what_had_begun(void **state)
{
    (void)state;
    AUTO_JSON cJSON *log = json_new_array();
    struct object_ref a = ref("a"), b = ref("b");
    drift_log_end(log, &a, "Repaired", 1000);
    assert_int_equal(json_size(log), 0);
    note_at(log, "a", "x", NULL, NULL, 1000);
    drift_log_end(log, &b, "Repaired", 2000);
    assert_string_equal(json_string(entry(log, 0), "state"), "Drifted");
    drift_log_end(log, &a, "Reverted", 2000);
    drift_log_end(log, &a, "Repaired", 3000);
    assert_string_equal(json_string(entry(log, 0), "state"), "Reverted");
}

static void the_list_is_bounded_and_loses_first_what_is_over(void **state)
{
    (void)state;
    AUTO_JSON cJSON *log = json_new_array();
    struct object_ref over = ref("n15");
    for (int i = 0; i < DRIFT_LOG_MAXIMUM; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%02d", i);
        note_at(log, name, "x", NULL, NULL, 1000);
    }
    drift_log_end(log, &over, "Repaired", 2000);
    note_at(log, "new", "x", NULL, NULL, 3000);
    assert_int_equal(json_size(log), DRIFT_LOG_MAXIMUM);
    assert_string_equal(json_string(entry(log, 0), "name"), "new");
    assert_string_equal(json_string(entry(log, DRIFT_LOG_MAXIMUM - 1), "name"), "n00");
    note_at(log, "newer", "x", NULL, NULL, 3000);
    assert_int_equal(json_size(log), DRIFT_LOG_MAXIMUM);
    assert_string_equal(json_string(entry(log, DRIFT_LOG_MAXIMUM - 1), "name"), "n01");
}

static bool is_b(const struct object_ref *subject, const void *context)
{
    (void)context;
    return strcmp(subject->name, "b") == 0;
}

static void what_has_left_git_drifts_no_more(void **state)
{
    (void)state;
    AUTO_JSON cJSON *log = json_new_array();
    note_at(log, "a", "x", NULL, NULL, 1000);
    note_at(log, "b", "x", NULL, NULL, 1000);
    drift_log_sweep(log, is_b, NULL, 2000);
    assert_string_equal(json_string(entry(log, 0), "state"), "Drifted");
    assert_string_equal(json_string(entry(log, 1), "state"), "Removed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_says_what_who_and_when),
        cmocka_unit_test(the_same_drift_is_told_once),
        cmocka_unit_test(an_end_is_told_once_and_only_of_what_had_begun),
        cmocka_unit_test(the_list_is_bounded_and_loses_first_what_is_over),
        cmocka_unit_test(what_has_left_git_drifts_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
