/* drift_matches_text: live objects against desired ones, as after a restart; drift_judge; and the
 * backoff of a fight. */
#include "common/base/memory.h"
#include "common/data/object.h"
#include "differ/drift.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ENTRY(fields)                                                                              \
    "\"managedFields\":[{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"apiVersion\":\"v1\","   \
    "\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{" fields "}}]"
#define DESIRED                                                                                    \
    "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"1\"},\"kind\":\"ConfigMap\",\"metadata\":{"          \
    "\"labels\":"                                                                                  \
    "{\"l\":\"v\"},\"name\":\"c\",\"namespace\":\"n\"}}"
#define OWNED "\"f:data\":{\"f:a\":{}},\"f:metadata\":{\"f:labels\":{\"f:l\":{}}}"
#define LIVE(data, labels, entry)                                                                  \
    "{\"apiVersion\":\"v1\",\"data\":{" data                                                       \
    "},\"kind\":\"ConfigMap\",\"metadata\":{\"labels\":{" labels                                   \
    "},\"name\":\"c\",\"namespace\":\"n\",\"uid\":\"u\"," entry "}}"

static const struct row {
    const char *name, *live;
    bool matches;
} rows[] = {
    {"the same", LIVE("\"a\":\"1\"", "\"l\":\"v\"", ENTRY(OWNED)), true},
    {"with a field of another manager",
     LIVE("\"a\":\"1\",\"b\":\"2\"", "\"l\":\"v\"", ENTRY(OWNED)), true},
    {"with another value", LIVE("\"a\":\"2\"", "\"l\":\"v\"", ENTRY(OWNED)), false},
    {"with a label lost", LIVE("\"a\":\"1\"", "", ENTRY(OWNED)), false},
    {"put back by somebody else, who owns it now",
     LIVE("\"a\":\"1\"", "\"l\":\"v\"", ENTRY("\"f:metadata\":{\"f:labels\":{\"f:l\":{}}}")),
     false},
    {"owning a field that has left Git",
     LIVE("\"a\":\"1\",\"old\":\"x\"", "\"l\":\"v\"",
          ENTRY("\"f:data\":{\"f:a\":{},\"f:old\":{}},\"f:metadata\":{\"f:labels\":{\"f:l\":{}}}")),
     false},
    {"never applied by us", LIVE("\"a\":\"1\"", "\"l\":\"v\"", "\"managedFields\":[]"), false},
};

static struct desired_object desired(void)
{
    return (struct desired_object){.text = DESIRED, .size = strlen(DESIRED)};
}

static void a_live_object_is_compared_with_its_text(void **state)
{
    (void)state;
    struct desired_object object = desired();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_JSON cJSON *live = NULL;
        struct error error;
        if (!json_parse(rows[i].live, strlen(rows[i].live), NULL, &live, &error)) {
            fail_msg("%s: %s", rows[i].name, error.message);
        }
        if (drift_matches_text(&object, live) != rows[i].matches) {
            fail_msg("%s: expected %s", rows[i].name, rows[i].matches ? "a match" : "none");
        }
    }
}

static void drift_is_a_fingerprint_that_differs(void **state)
{
    (void)state;
    struct desired_object object = desired();
    struct live_object live = {0};
    assert_int_equal(drift_judge(&object, NULL), DRIFT_NEW);
    assert_int_equal(drift_judge(&object, &live), DRIFT_NEW);
    object.synced.bytes[0] = live.fingerprint.bytes[0] = 1;
    assert_int_equal(drift_judge(&object, &live), DRIFT_NONE);
    live.fingerprint.bytes[0] = 2;
    assert_int_equal(drift_judge(&object, &live), DRIFT_CHANGED);
    assert_int_equal(drift_judge(&object, NULL), DRIFT_CHANGED);
}

static void an_object_under_deletion_has_drifted(void **state)
{
    (void)state;
    struct desired_object object = desired();
    struct live_object live = {.deleting = true};
    object.synced.bytes[0] = live.fingerprint.bytes[0] = 1;
    assert_int_equal(drift_judge(&object, &live), DRIFT_CHANGED);
}

/* Repairs it each `every` ms, or when it may, until a fight begins; returns how often. */
static int repairs_until_a_fight(struct desired_object *object, int64_t *now, int64_t every,
                                 int most)
{
    for (int i = 1; i <= most; i++) {
        assert_int_equal(drift_note_repair(object, *now), 0);
        if (object->repairs.fighting) {
            return i;
        }
        *now += every;
    }
    return 0;
}

static void a_fight_is_noticed_by_its_rate(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t every;
        int repairs; /* 0: it is none */
    } rates[] = {
        {"both at full speed", 20, 11},
        {"one each second", 1000, 11},
        {"one each ten seconds", 10000, 15},
        {"one each half minute", 30000, 0},
    };
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct desired_object object = desired();
        int64_t now = 1000000;
        int repairs = repairs_until_a_fight(&object, &now, rates[i].every, 100);
        if (repairs != rates[i].repairs) {
            fail_msg("%s: after %d repairs", rates[i].name, repairs);
        }
    }
}

static void a_fight_is_backed_off_from_and_over_when_a_repair_stands(void **state)
{
    (void)state;
    struct desired_object object = desired();
    int64_t now = 1000000, before = 0;
    assert_int_equal(drift_fight_left(&object, now), 0);
    repairs_until_a_fight(&object, &now, 10, 20);
    for (int i = 0; i < 12; i++) {
        int64_t wait = drift_note_repair(&object, now + 1);
        assert_true(wait > before || wait == 299999);
        assert_true(wait >= 1000 && wait <= 300000);
        before = wait;
        now += 1 + wait;
        assert_true(object.repairs.fighting);
        assert_int_equal(drift_note_repair(&object, now), 0);
    }
    assert_int_equal(before, 299999);
    int64_t left = drift_fight_left(&object, now);
    assert_int_equal(left, 303000);
    assert_int_equal(drift_fight_left(&object, now + left - 1), 1);
    assert_int_equal(drift_fight_left(&object, now + left), 0);
    assert_false(object.repairs.fighting);
    now += left;
    int again = repairs_until_a_fight(&object, &now, 10, 20);
    assert_true(again > 1 && again < 11); /* the next is noticed sooner, a single edit is none */
}

static void a_short_fight_is_soon_forgotten(void **state)
{
    (void)state;
    struct desired_object object = desired();
    int64_t now = 1000000;
    repairs_until_a_fight(&object, &now, 10, 20);
    int64_t wait = drift_note_repair(&object, now);
    assert_int_equal(wait, 2000);
    assert_int_equal(drift_note_repair(&object, now + wait), 0);
    assert_int_equal(drift_fight_left(&object, now + wait), 7000);
    assert_int_equal(drift_fight_left(&object, now + wait + 7000), 0);
}

static void races_do_not_count(void **state)
{
    (void)state;
    struct desired_object object = desired();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(drift_note_repair(&object, 1000000 + i), 0);
        drift_note_race(&object);
    }
    assert_false(object.repairs.fighting);
}

static void a_repair_that_fails_waits_longer_each_time_and_is_no_fight(void **state)
{
    (void)state;
    struct desired_object object = desired();
    int64_t now = 1000000, before = 0;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(drift_note_repair(&object, now), 0);
        drift_note_failure(&object, now);
        int64_t wait = drift_note_repair(&object, now);
        assert_true(wait >= before && wait >= 2000 && wait <= 60000);
        before = wait;
        now += wait;
    }
    assert_int_equal(before, 60000);
    assert_false(object.repairs.fighting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_live_object_is_compared_with_its_text),
        cmocka_unit_test(drift_is_a_fingerprint_that_differs),
        cmocka_unit_test(an_object_under_deletion_has_drifted),
        cmocka_unit_test(a_fight_is_noticed_by_its_rate),
        cmocka_unit_test(a_fight_is_backed_off_from_and_over_when_a_repair_stands),
        cmocka_unit_test(a_short_fight_is_soon_forgotten),
        cmocka_unit_test(races_do_not_count),
        cmocka_unit_test(a_repair_that_fails_waits_longer_each_time_and_is_no_fight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
