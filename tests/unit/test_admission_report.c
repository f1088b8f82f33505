/* What the differ is told. */
#include "admission/report.h"
#include "common/base/memory.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct review refused(void)
{
    return (struct review){
        .request = {.operation = OPERATION_UPDATE, .user = "jane", .dry_run = true},
        .verdict = {.outcome = VERDICT_REFUSE,
                    .rule = RULE_FIELDS,
                    .key = "apps/Deployment/prod/web",
                    .label = "prod.shop"},
    };
}

static void test_a_report_says_who_did_what_to_which_fields_of_which_object(void **state)
{
    (void)state;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    struct review review = refused();
    review.verdict.fields.arena = &arena;
    paths_add(&review.verdict.fields, ".spec.replicas");
    AUTO_JSON cJSON *body = report_body(&review);
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    assert_true(json_write(body, &text));
    assert_string_equal(text.data,
                        "{\"application\":\"prod.shop\",\"dryRun\":true,\"fields\":"
                        "[\".spec.replicas\"],\"object\":\"apps/Deployment/prod/web\","
                        "\"operation\":\"UPDATE\",\"reason\":\"fields\",\"user\":\"jane\"}");
}

static void test_a_report_of_break_glass_tells_the_reason_given(void **state)
{
    (void)state;
    struct review review = refused();
    review.verdict.outcome = VERDICT_BREAK_GLASS;
    review.verdict.reason = "INC-7";
    AUTO_JSON cJSON *body = report_body(&review);
    assert_string_equal(json_string(body, "reason"), "INC-7");
}

static void test_texts_of_strangers_never_make_a_report_too_large_for_a_hint(void **state)
{
    (void)state;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_FREE char *endless = mem_new(1, 1000001);
    memset(endless, '"', 1000000);
    struct review review = refused();
    review.request.user = endless;
    review.verdict.reason = endless;
    review.verdict.fields.arena = &arena;
    for (unsigned i = 0; i < 100; i++) {
        endless[0] = (char)('a' + i % 26);
        paths_add(&review.verdict.fields, endless);
    }
    AUTO_JSON cJSON *body = report_body(&review);
    AUTO_BUF struct buf text;
    buf_init(&text, BUS_HINT_MAXIMUM);
    assert_true(json_write(body, &text));
    assert_int_equal(json_size(json_array(body, "fields")), 10);
}

static bool take_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                      void *context)
{
    (void)peer, (void)kind, (void)body, (void)size, (void)context;
    return true;
}

static void test_reports_to_a_differ_that_never_came_up_wait_in_a_bounded_number(void **state)
{
    (void)state;
    char directory[] = "/tmp/gitmoor-report-XXXXXX";
    assert_non_null(mkdtemp(directory));
    AUTO_FREE char *inbox = mem_format("ipc://%s/admission", directory);
    AUTO_FREE char *nobody = mem_format("ipc://%s/differ", directory);
    struct event_base *base = event_base_new();
    struct bus_options options = {.instance = "admission-0",
                                  .inbox = inbox,
                                  .blob_store_maximum = 1 << 20,
                                  .handlers = {.hint = take_hint}};
    struct error error = {0};
    struct bus *bus = bus_new(base, &options, &error);
    if (!bus) {
        fail_msg("%s", error.message);
    }
    struct bus_peer *differ = bus_peer_add(bus, BUS_ADMISSION_DIFFER, nobody, &error);
    assert_non_null(differ);
    struct review review = refused();
    for (unsigned i = 0; i < REPORTS_WAITING_MAXIMUM; i++) {
        assert_true(report_send(bus, differ, &review));
    }
    assert_false(report_send(bus, differ, &review));
    assert_int_equal(bus_link_state(bus, BUS_ADMISSION_DIFFER).waiting, REPORTS_WAITING_MAXIMUM);
    bus_free(bus);
    event_base_free(base);
    AUTO_FREE char *command = mem_format("rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_report_says_who_did_what_to_which_fields_of_which_object),
        cmocka_unit_test(test_a_report_of_break_glass_tells_the_reason_given),
        cmocka_unit_test(test_texts_of_strangers_never_make_a_report_too_large_for_a_hint),
        cmocka_unit_test(test_reports_to_a_differ_that_never_came_up_wait_in_a_bounded_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
