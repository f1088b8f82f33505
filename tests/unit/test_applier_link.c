/* Unit tests of applier/link.c: the differ's end of a real bus asks, an API server of our own
 * answers. */
#include "applier/link.h"

#include "applier_world.h"
#include "common/data/json.h"
#include "common/run/log.h"

#include <unistd.h>

static struct world world;
static struct identities *identities;
static struct schedule *schedule;
static struct link *link_;
static struct bus *applier_bus, *differ_bus;
static struct bus_peer *to_applier;
static char directory[64];
static const char *user_name = "system:serviceaccount:gitmoor-system:gitmoor-applier";

/* What the differ has got. */
static char *result_id;
static char *result_text;
static unsigned results;

static void keep_result(char *text)
{
    free(result_text);
    result_text = text;
    results++;
}

static void on_blob(char *data, size_t size, const struct error *error, void *context)
{
    (void)size;
    (void)context;
    if (!data) {
        fail_msg("%s", error->message);
    }
    keep_result(data);
}

static bool on_differ_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                           void *context)
{
    (void)context;
    AUTO_JSON cJSON *hint = NULL;
    struct digest digest;
    assert_string_equal(kind, "result");
    assert_true(json_parse(body, size, NULL, &hint, NULL));
    free(result_id);
    result_id = mem_string(json_string(hint, "id"));
    const char *text = json_string(hint, "text");
    if (text) {
        keep_result(mem_string(text));
    } else {
        assert_true(digest_from_hex(json_string(hint, "digest"), &digest));
        bus_blob_fetch(peer, &digest, (size_t)json_int(hint, "size", 0), WORLD_PATIENCE_MS, on_blob,
                       NULL);
    }
    return true;
}

static struct bus *open_bus(const char *instance, const char *name, struct bus_handlers handlers)
{
    char inbox[128];
    snprintf(inbox, sizeof inbox, "ipc://%s/%s", directory, name);
    struct bus_options options = {.instance = instance, .inbox = inbox, .handlers = handlers};
    struct error error;
    struct bus *bus = bus_new(world.base, &options, &error);
    if (!bus) {
        fail_msg("%s", error.message);
    }
    return bus;
}

static struct bus_peer *connect_to(struct bus *bus, const char *name)
{
    char inbox[128];
    snprintf(inbox, sizeof inbox, "ipc://%s/%s", directory, name);
    struct bus_peer *peer = bus_peer_add(bus, BUS_DIFFER_APPLIER, inbox, NULL);
    assert_non_null(peer);
    return peer;
}

static void know_shop(void)
{
    AUTO_JSON cJSON *object = json_new_object();
    cJSON *metadata = json_add_object(object, "metadata");
    json_add_string(metadata, "namespace", "team");
    json_add_string(metadata, "name", "shop");
    json_add_string(metadata, "uid", "u-shop");
    struct kube_event event = {.type = KUBE_EVENT_PRESENT, .object = object, .epoch = 1};
    identities_take(identities, &event);
}

static int set_up(void **state)
{
    (void)state;
    world_open(&world);
    snprintf(directory, sizeof directory, "/tmp/gitmoor-test-link-XXXXXX");
    assert_non_null(mkdtemp(directory));
    struct identity_options identity_options = {.default_service_account = "default"};
    identities = identities_new(&identity_options, NULL);
    know_shop();
    link_ = link_new(world.base);
    struct schedule_options schedule_options = {.base = world.base,
                                                .client = world.client,
                                                .identities = identities,
                                                .window_maximum = 64,
                                                .request_timeout_ms = 10 * WORLD_PATIENCE_MS,
                                                .identity_timeout_ms = 300,
                                                .user_name = &user_name,
                                                .finished = link_take_result,
                                                .context = link_};
    schedule = schedule_new(&schedule_options);
    applier_bus = open_bus("applier-0", "applier",
                           (struct bus_handlers){.hint = link_take_hint, .context = link_});
    differ_bus = open_bus("differ-0", "differ", (struct bus_handlers){.hint = on_differ_hint});
    link_attach(link_, applier_bus, schedule);
    link_set_ready(link_, true);
    connect_to(applier_bus, "differ");
    to_applier = connect_to(differ_bus, "applier");
    results = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    link_free(link_);
    schedule_free(schedule);
    identities_free(identities);
    bus_free(applier_bus);
    bus_free(differ_bus);
    world_close(&world);
    static const char *const names[] = {"applier", "applier.blobs", "differ", "differ.blobs", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        remove(path);
    }
    free(result_id);
    free(result_text);
    result_id = result_text = NULL;
    return 0;
}

static bool has_results(void *context)
{
    return results >= *(unsigned *)context;
}

static void wait_for_results(unsigned count)
{
    world_run_until(&world, has_results, &count);
}

static void send_hint(const char *kind, const char *body)
{
    struct error error;
    if (!bus_send(to_applier, kind, body, strlen(body), &error)) {
        fail_msg("%s", error.message);
    }
}

/* Runs the loop until the applier has acknowledged all hints, and so has handled them. */
static void wait_until_taken(void)
{
    assert_true(bus_drain(differ_bus, WORLD_PATIENCE_MS));
}

/* The text of a plan with `count` applies. */
static char *plan_text(const char *id, unsigned count)
{
    struct buf text;
    buf_init(&text, 8 << 20);
    buf_append_format(&text,
                      "{\"id\":\"%s\",\"namespace\":\"team\",\"name\":\"shop\",\"uid\":\"u-shop\","
                      "\"revision\":\"r\",\"mode\":\"apply\",\"preflight\":false}\n",
                      id);
    for (unsigned i = 0; i < count; i++) {
        buf_append_format(
            &text,
            "{\"op\":\"apply\",\"stage\":0,\"path\":\"/api/v1/namespaces/s/configmaps/"
            "a%u\"}\n{\"kind\":\"ConfigMap\"}\n",
            i);
    }
    return text.data;
}

static void send_plan(const char *id, const char *text)
{
    AUTO_JSON cJSON *hint = json_new_object();
    json_add_string(hint, "id", id);
    json_add_string(hint, "text", text);
    AUTO_BUF struct buf body;
    buf_init(&body, BUS_HINT_MAXIMUM);
    assert_true(json_write(hint, &body));
    send_hint("plan", body.data);
}

static void send_plan_as_blob(const char *id, const char *text)
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE], body[512];
    assert_true(bus_blob_put(differ_bus, text, strlen(text), true, &digest, NULL));
    digest_to_hex(&digest, hex);
    snprintf(body, sizeof body, "{\"id\":\"%s\",\"digest\":\"%s\",\"size\":%zu}", id, hex,
             strlen(text));
    send_hint("plan", body);
}

static void a_plan_in_a_hint_is_answered_in_a_hint(void **state)
{
    (void)state;
    AUTO_FREE char *text = plan_text("p-1", 3);
    send_plan("p-1", text);
    wait_for_results(1);
    assert_string_equal(result_id, "p-1");
    assert_true(
        text_has_prefix(result_text, "{\"id\":\"p-1\",\"outcome\":\"applied\",\"requests\":3}\n"));
    assert_int_equal(world.count, 3);
}

static void a_large_plan_and_its_result_travel_as_blobs(void **state)
{
    (void)state;
    AUTO_FREE char *text = plan_text("large", 1000);
    send_plan_as_blob("large", text);
    wait_for_results(1);
    assert_true(text_has_prefix(result_text, "{\"id\":\"large\",\"outcome\":\"applied\","));
    assert_true(strlen(result_text) > BUS_HINT_MAXIMUM);
    assert_int_equal(world.count, 1000);
}

static void a_plan_that_is_done_is_answered_again_and_not_carried_out_again(void **state)
{
    (void)state;
    AUTO_FREE char *text = plan_text("p-1", 1);
    send_plan("p-1", text);
    wait_for_results(1);
    AUTO_FREE char *first = mem_string(result_text);
    send_plan("p-1", text);
    wait_for_results(2);
    assert_string_equal(result_text, first);
    assert_int_equal(world.count, 1);
}

static bool one_is_held(void *context)
{
    (void)context;
    return world.held >= 1;
}

static void a_plan_under_way_that_comes_again_goes_on(void **state)
{
    (void)state;
    world.hold = true;
    AUTO_FREE char *text = plan_text("p-1", 1);
    send_plan("p-1", text);
    world_run_until(&world, one_is_held, NULL);
    send_plan("p-1", text);
    wait_until_taken();
    world.hold = false;
    world_release(&world, 1);
    wait_for_results(1);
    world_settle(&world);
    assert_int_equal(results, 1);
    assert_int_equal(world.count, 1);
}

static void a_malformed_plan_is_answered_with_why(void **state)
{
    (void)state;
    send_plan("p-1", "{\"id\":\"p-1\"}\n");
    wait_for_results(1);
    assert_non_null(strstr(result_text, "plan, line 1: \\\"namespace\\\" must be a string"));
    assert_non_null(strstr(result_text, "\"outcome\":\"failed\""));
    assert_non_null(strstr(result_text, "\"retryable\":false"));
    AUTO_FREE char *other = plan_text("p-other", 1);
    send_plan("p-2", other);
    wait_for_results(2);
    assert_string_equal(result_id, "p-2");
    assert_non_null(strstr(result_text, "its id is not that of the hint"));
    send_hint("plan", "{\"id\":\"p-3\",\"digest\":\"abc\",\"size\":3}");
    wait_for_results(3);
    assert_non_null(strstr(result_text, "holds neither text nor digest and size"));
    send_hint("plan",
              "{\"id\":\"p-4\",\"digest\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9c"
              "b410ff61f20015ad\",\"size\":99999999999}");
    wait_for_results(4);
    assert_string_equal(result_id, "p-4");
    assert_int_equal(world.count, 0);
}

static void a_plan_that_the_differ_no_longer_holds_is_to_be_made_anew(void **state)
{
    (void)state;
    send_hint("plan",
              "{\"id\":\"p-1\",\"digest\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9c"
              "b410ff61f20015ad\",\"size\":3}");
    wait_for_results(1);
    assert_non_null(strstr(result_text, "cannot fetch the plan"));
    assert_non_null(strstr(result_text, "\"retryable\":true"));
}

static void hints_that_make_no_sense_are_taken_and_dropped(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "{", "[]", "{}", "{\"id\":\"\"}", "{\"id\":7}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_true(link_take_hint(to_applier, "plan", bodies[i], strlen(bodies[i]), link_));
    }
    assert_true(link_take_hint(to_applier, "dance", "{\"id\":\"a\"}", 10, link_));
    assert_true(link_take_hint(to_applier, "cancel", "{\"id\":\"a\"}", 10, link_));
    assert_int_equal(schedule_count(schedule), 0);
}

static void until_it_is_ready_no_plan_is_taken(void **state)
{
    (void)state;
    AUTO_FREE char *text = plan_text("p-1", 1);
    link_set_ready(link_, false);
    send_plan("p-1", text);
    world_settle(&world);
    assert_int_equal(world.count, 0);
    link_set_ready(link_, true); /* the bus sends it again */
    wait_for_results(1);
    assert_int_equal(world.count, 1);
}

static bool only_the_second_try(struct bus_peer *differ, const char *application, void *context)
{
    unsigned *tries = context;
    assert_int_equal(bus_peer_link(differ), BUS_DIFFER_APPLIER);
    assert_string_equal(application, "team/shop");
    return ++*tries > 1;
}

static void a_differ_that_does_not_have_the_application_waits(void **state)
{
    (void)state;
    unsigned tries = 0;
    AUTO_FREE char *text = plan_text("p-1", 1);
    AUTO_JSON cJSON *hint = json_new_object();
    AUTO_BUF struct buf body;
    buf_init(&body, BUS_HINT_MAXIMUM);
    json_add_string(hint, "id", "p-1");
    json_add_string(hint, "application", "team/shop");
    json_add_string(hint, "text", text);
    assert_true(json_write(hint, &body));
    link_set_gate(link_, only_the_second_try, &tries);
    send_hint("plan", body.data);
    wait_for_results(1); /* the bus sends it again */
    assert_int_equal(tries, 2);
    assert_int_equal(world.count, 1);
}

static void a_plan_of_an_older_differ_names_no_application_and_is_taken(void **state)
{
    (void)state;
    unsigned tries = 0;
    AUTO_FREE char *text = plan_text("p-1", 1);
    link_set_gate(link_, only_the_second_try, &tries);
    send_plan("p-1", text);
    wait_for_results(1);
    assert_int_equal(tries, 0);
}

static void a_cancelled_plan_is_answered_as_such(void **state)
{
    (void)state;
    world.hold = true;
    AUTO_FREE char *text = plan_text("p-1", 100);
    send_plan("p-1", text);
    world_run_until(&world, one_is_held, NULL);
    send_hint("cancel", "{\"id\":\"p-1\"}");
    wait_until_taken();
    world.hold = false;
    world_release(&world, 100);
    wait_for_results(1);
    assert_non_null(strstr(result_text, "\"outcome\":\"cancelled\""));
    assert_true(world.count < 100);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_plan_in_a_hint_is_answered_in_a_hint),
        CASE(a_large_plan_and_its_result_travel_as_blobs),
        CASE(a_plan_that_is_done_is_answered_again_and_not_carried_out_again),
        CASE(a_plan_under_way_that_comes_again_goes_on),
        CASE(a_malformed_plan_is_answered_with_why),
        CASE(a_plan_that_the_differ_no_longer_holds_is_to_be_made_anew),
        CASE(hints_that_make_no_sense_are_taken_and_dropped),
        CASE(until_it_is_ready_no_plan_is_taken),
        CASE(a_differ_that_does_not_have_the_application_waits),
        CASE(a_plan_of_an_older_differ_names_no_application_and_is_taken),
        CASE(a_cancelled_plan_is_answered_as_such),
    };
    log_open("tester", "error", NULL); /* refusals are told, and are what is tested */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
