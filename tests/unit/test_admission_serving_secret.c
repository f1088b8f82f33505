/* The life of the certificate's Secret, step by step, with a clock of the test's own. */
#include "admission/serving_secret.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/crypto/certificate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DAY_MS ((int64_t)86400000)
#define GRACE_MS 1000

static const char *const names[] = {"guard.moor.svc", "127.0.0.1", NULL};
static const struct serving_options options = {
    .namespace_ = "moor", .names = names, .days = 90, .grace_ms = GRACE_MS};

static enum serving_step decide(const cJSON *secret, const char *trusted, int64_t now)
{
    const char *why = NULL;
    enum serving_step step = serving_decide(secret, &options, trusted, now, &why);
    assert_non_null(why);
    return step;
}

static cJSON *advance(const cJSON *secret, enum serving_step step, int64_t now)
{
    struct error error = {0};
    cJSON *next = serving_advance(secret, step, &options, now, &error);
    if (!next) {
        fail_msg("%s", error.message);
    }
    return next;
}

static size_t authorities_in(const char *bundle)
{
    size_t count = 0;
    for (const char *at = bundle; (at = strstr(at, "BEGIN CERTIFICATE")); at++) {
        count++;
    }
    return count;
}

static void set(cJSON *secret, const char *parent, const char *name, const char *value)
{
    cJSON *holder = strcmp(parent, "data") == 0
                        ? json_ensure_object(secret, "data")
                        : json_ensure_object(json_ensure_object(secret, "metadata"), "annotations");
    json_set(holder, name, json_new_string(value));
}

static void test_the_first_certificate_is_made_at_once(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms();
    assert_int_equal(decide(NULL, NULL, now), SERVING_RENEW);
    AUTO_JSON cJSON *secret = advance(NULL, SERVING_RENEW, now);
    assert_string_equal(json_string(secret, "type"), "kubernetes.io/tls");
    assert_string_equal(json_string_path(secret, "metadata.namespace"), "moor");
    AUTO_FREE char *certificate = serving_value(secret, "tls.crt");
    AUTO_FREE char *key = serving_value(secret, "tls.key");
    AUTO_FREE char *authority = serving_value(secret, "ca.crt");
    assert_true(certificate_matches(certificate, key, authority, NULL));
    assert_null(json_get_path(secret, "data.ca\\.key"));
    assert_int_equal(decide(secret, NULL, now), SERVING_KEEP);
    AUTO_FREE char *bundle = serving_bundle(secret);
    assert_int_equal(authorities_in(bundle), 1);
}

static void test_a_certificate_is_replaced_when_a_third_of_its_time_is_left(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms();
    AUTO_JSON cJSON *secret = advance(NULL, SERVING_RENEW, now);
    assert_int_equal(decide(secret, NULL, now + 59 * DAY_MS), SERVING_KEEP);
    assert_int_equal(decide(secret, NULL, now + 61 * DAY_MS), SERVING_STAGE);
    assert_int_equal(decide(secret, NULL, now + 91 * DAY_MS), SERVING_RENEW); /* too late */
}

static void test_a_rotation_serves_only_what_the_bundle_vouches_for(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms();
    AUTO_JSON cJSON *first = advance(NULL, SERVING_RENEW, now);
    AUTO_FREE char *old_bundle = serving_bundle(first);
    AUTO_FREE char *old_certificate = serving_value(first, "tls.crt");

    AUTO_JSON cJSON *staged = advance(first, SERVING_STAGE, now);
    AUTO_FREE char *both = serving_bundle(staged);
    AUTO_FREE char *still = serving_value(staged, "tls.crt");
    assert_int_equal(authorities_in(both), 2);
    assert_string_equal(still, old_certificate);
    /* Not before the bundle stands, and not before the grace is over. */
    assert_int_equal(decide(staged, old_bundle, now + 10 * GRACE_MS), SERVING_KEEP);
    assert_int_equal(decide(staged, both, now + GRACE_MS / 2), SERVING_KEEP);
    assert_int_equal(decide(staged, both, now + GRACE_MS), SERVING_PROMOTE);

    AUTO_JSON cJSON *promoted = advance(staged, SERVING_PROMOTE, now);
    AUTO_FREE char *after = serving_bundle(promoted);
    AUTO_FREE char *certificate = serving_value(promoted, "tls.crt");
    AUTO_FREE char *key = serving_value(promoted, "tls.key");
    AUTO_FREE char *authority = serving_value(promoted, "ca.crt");
    assert_int_equal(authorities_in(after), 2); /* replicas that lag are trusted still */
    assert_string_not_equal(certificate, old_certificate);
    assert_true(certificate_matches(certificate, key, authority, NULL));
    assert_int_equal(decide(promoted, after, now + GRACE_MS / 2), SERVING_KEEP);
    assert_int_equal(decide(promoted, after, now + GRACE_MS), SERVING_RETIRE);

    AUTO_JSON cJSON *retired = advance(promoted, SERVING_RETIRE, now);
    AUTO_FREE char *end = serving_bundle(retired);
    assert_int_equal(authorities_in(end), 1);
    assert_int_equal(decide(retired, end, now + 10 * GRACE_MS), SERVING_KEEP);
}

static void test_a_rotation_that_is_asked_for_is_done_once(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms();
    AUTO_JSON cJSON *secret = advance(NULL, SERVING_RENEW, now);
    set(secret, "annotations", "gitmoor.io/reconcile-requested-at", "noon");
    assert_int_equal(decide(secret, NULL, now), SERVING_STAGE);
    AUTO_JSON cJSON *staged = advance(secret, SERVING_STAGE, now);
    AUTO_JSON cJSON *promoted = advance(staged, SERVING_PROMOTE, now);
    AUTO_JSON cJSON *retired = advance(promoted, SERVING_RETIRE, now);
    assert_int_equal(decide(retired, NULL, now), SERVING_KEEP);
}

static void test_a_write_carries_the_version_it_was_made_from(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms();
    AUTO_JSON cJSON *secret = advance(NULL, SERVING_RENEW, now);
    json_add_string(json_object(secret, "metadata"), "resourceVersion", "41");
    AUTO_JSON cJSON *staged = advance(secret, SERVING_STAGE, now);
    assert_string_equal(json_string_path(staged, "metadata.resourceVersion"), "41");
}

static const struct {
    const char *name;
    const char *key;
    const char *value;
} damages[] = {
    {"no certificate", "tls.crt", ""},
    {"a certificate that is none", "tls.crt", "bm90aGluZw=="},
    {"a value that is not base64", "tls.crt", "***"},
    {"a value with a NUL", "tls.key", "YQBi"},
    {"no authority", "ca.crt", ""},
};

static void test_what_cannot_be_served_is_replaced(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms();
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        AUTO_JSON cJSON *secret = advance(NULL, SERVING_RENEW, now);
        set(secret, "data", damages[i].key, damages[i].value);
        if (decide(secret, NULL, now) != SERVING_RENEW) {
            fail_msg("%s: kept", damages[i].name);
        }
    }
    AUTO_JSON cJSON *one = advance(NULL, SERVING_RENEW, now);
    AUTO_JSON cJSON *other = advance(NULL, SERVING_RENEW, now);
    set(one, "data", "tls.key", json_string(json_object(other, "data"), "tls.key"));
    assert_int_equal(decide(one, NULL, now), SERVING_RENEW);
}

static void test_a_certificate_for_other_names_is_replaced(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms();
    AUTO_JSON cJSON *secret = advance(NULL, SERVING_RENEW, now);
    static const char *const others[] = {"10.0.0.1", NULL};
    struct serving_options moved = options;
    moved.names = others;
    const char *why = NULL;
    assert_int_equal(serving_decide(secret, &moved, NULL, now, &why), SERVING_RENEW);
    assert_non_null(strstr(why, "other names"));
}

static void test_a_damaged_next_one_is_made_again_and_never_promoted(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms();
    AUTO_JSON cJSON *secret = advance(NULL, SERVING_RENEW, now);
    set(secret, "annotations", "gitmoor.io/reconcile-requested-at", "noon");
    AUTO_JSON cJSON *staged = advance(secret, SERVING_STAGE, now);
    set(staged, "data", "next.key", "");
    AUTO_FREE char *bundle = serving_bundle(staged);
    assert_int_not_equal(decide(staged, bundle, now + 10 * GRACE_MS), SERVING_PROMOTE);
}

static void test_a_bundle_leaves_out_what_the_api_server_would_refuse(void **state)
{
    (void)state;
    AUTO_JSON cJSON *secret = advance(NULL, SERVING_RENEW, clock_wall_ms());
    set(secret, "data", "previous-ca.crt", "bm90aGluZw==");
    AUTO_FREE char *bundle = serving_bundle(secret);
    assert_int_equal(authorities_in(bundle), 1);
    assert_null(strstr(bundle, "nothing"));
    set(secret, "data", "ca.crt", "");
    assert_null(serving_bundle(secret));
}

static void test_a_time_in_the_future_does_not_stop_a_rotation(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms();
    AUTO_JSON cJSON *secret = advance(NULL, SERVING_RENEW, now);
    AUTO_JSON cJSON *staged = advance(secret, SERVING_STAGE, now);
    AUTO_FREE char *bundle = serving_bundle(staged);
    set(staged, "annotations", "gitmoor.io/rotation-since", "2999-01-01T00:00:00Z");
    assert_int_equal(decide(staged, bundle, now), SERVING_PROMOTE);
    set(staged, "annotations", "gitmoor.io/rotation-since", "yesterday");
    assert_int_equal(decide(staged, bundle, now), SERVING_PROMOTE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_certificate_is_made_at_once),
        cmocka_unit_test(test_a_certificate_is_replaced_when_a_third_of_its_time_is_left),
        cmocka_unit_test(test_a_rotation_serves_only_what_the_bundle_vouches_for),
        cmocka_unit_test(test_a_rotation_that_is_asked_for_is_done_once),
        cmocka_unit_test(test_a_write_carries_the_version_it_was_made_from),
        cmocka_unit_test(test_what_cannot_be_served_is_replaced),
        cmocka_unit_test(test_a_certificate_for_other_names_is_replaced),
        cmocka_unit_test(test_a_damaged_next_one_is_made_again_and_never_promoted),
        cmocka_unit_test(test_a_bundle_leaves_out_what_the_api_server_would_refuse),
        cmocka_unit_test(test_a_time_in_the_future_does_not_stop_a_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
