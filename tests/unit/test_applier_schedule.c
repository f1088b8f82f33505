/* Unit tests of applier/schedule.c and execute.c, against an API server of their own. */
#include "applier/schedule.h"

#include "applier_world.h"
#include "common/data/json.h"

#define RESULTS 64

struct outcome {
    char *id;
    enum result_outcome outcome;
    char *text;
};

static struct world world;
static struct identities *identities;
static struct schedule *schedule;
static struct outcome outcomes[RESULTS];
static unsigned outcome_count;
static const char *user_name = "system:serviceaccount:gitmoor-system:gitmoor-applier";

static void on_finished(const char *id, enum result_outcome outcome, char *text, size_t size,
                        void *context)
{
    (void)context;
    assert_int_equal(strlen(text), size);
    assert_true(outcome_count < RESULTS);
    outcomes[outcome_count++] =
        (struct outcome){.id = mem_string(id), .outcome = outcome, .text = text};
}

static void know(const char *name, const char *uid, const char *account)
{
    AUTO_JSON cJSON *object = json_new_object();
    cJSON *metadata = json_add_object(object, "metadata");
    json_add_string(metadata, "namespace", "team");
    json_add_string(metadata, "name", name);
    json_add_string(metadata, "uid", uid);
    json_add_string(json_add_object(object, "spec"), "serviceAccountName", account);
    struct kube_event event = {.type = KUBE_EVENT_PRESENT, .object = object, .epoch = 1};
    identities_take(identities, &event);
}

/* No plan ends by the clock before the test itself gives up, however loaded the machine is. */
#define PATIENCE_MS (10 * WORLD_PATIENCE_MS)
#define IMPATIENCE_MS 300 /* where the end of a wait is what is tested */

static void open_schedule_waiting(unsigned window_maximum, int64_t identity_timeout_ms)
{
    struct schedule_options options = {.base = world.base,
                                       .client = world.client,
                                       .identities = identities,
                                       .window_maximum = window_maximum,
                                       .request_timeout_ms = PATIENCE_MS,
                                       .identity_timeout_ms = identity_timeout_ms,
                                       .user_name = &user_name,
                                       .finished = on_finished};
    schedule = schedule_new(&options);
}

static void open_schedule(unsigned window_maximum)
{
    open_schedule_waiting(window_maximum, PATIENCE_MS);
}

static int set_up(void **state)
{
    (void)state;
    world_open(&world);
    struct identity_options options = {.default_service_account = "default"};
    identities = identities_new(&options, NULL);
    know("shop", "u-shop", "deployer");
    know("web", "u-web", NULL);
    open_schedule(64);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    schedule_free(schedule);
    identities_free(identities);
    world_close(&world);
    for (unsigned i = 0; i < outcome_count; i++) {
        free(outcomes[i].id);
        free(outcomes[i].text);
    }
    outcome_count = 0;
    return 0;
}

/* ---- Plans ---- */

struct draft {
    struct buf text;
    unsigned count;
};

static struct draft draft(const char *id, const char *application, const char *rest)
{
    struct draft plan = {0};
    buf_init(&plan.text, 1 << 20);
    buf_append_format(&plan.text,
                      "{\"id\":\"%s\",\"namespace\":\"team\",\"name\":\"%s\",\"uid\":\"u-%s\","
                      "\"revision\":\"r\",%s}\n",
                      id, application, application, rest);
    return plan;
}

/* An apply of the object `name` in a stage; after < 0: it depends on nothing. */
static void add(struct draft *plan, int stage, int after, const char *name)
{
    char dependency[32] = "";
    if (after >= 0) {
        snprintf(dependency, sizeof dependency, ",\"after\":%d", after);
    }
    buf_append_format(&plan->text,
                      "{\"op\":\"apply\",\"stage\":%d,\"path\":\"/api/v1/namespaces/s/configmaps/"
                      "%s\"%s}\n{\"name\":\"%s\"}\n",
                      stage, name, dependency, name);
    plan->count++;
}

static void add_delete(struct draft *plan, int stage, const char *name)
{
    buf_append_format(&plan->text,
                      "{\"op\":\"delete\",\"stage\":%d,\"path\":\"/api/v1/namespaces/s/configmaps/"
                      "%s\",\"uid\":\"x\"}\n",
                      stage, name);
    plan->count++;
}

static void add_recreate(struct draft *plan, int stage, const char *name)
{
    buf_append_format(
        &plan->text,
        "{\"op\":\"recreate\",\"stage\":%d,\"path\":\"/api/v1/namespaces/s/configmaps/%s\","
        "\"uid\":\"x\"}\n{\"metadata\":{\"name\":\"%s\"}}\n",
        stage, name, name);
    plan->count++;
}

static void add_release(struct draft *plan, int stage, const char *name, const char *uid)
{
    buf_append_format(
        &plan->text,
        "{\"op\":\"release\",\"stage\":%d,\"path\":\"/api/v1/namespaces/s/configmaps/%s\","
        "\"uid\":\"%s\"}\n",
        stage, name, uid);
    plan->count++;
}

static void submit(struct draft *plan)
{
    struct plan *parsed = NULL;
    struct error error;
    size_t size = plan->text.size;
    char *text = buf_detach(&plan->text);
    buf_release(&plan->text);
    if (!plan_parse(text, size, &parsed, &error)) {
        fail_msg("%s", error.message);
    }
    schedule_submit(schedule, parsed, text, size);
}

static bool is_idle(void *context)
{
    (void)context;
    return schedule_count(schedule) == 0;
}

static void run_to_end(void)
{
    world_run_until(&world, is_idle, NULL);
    assert_int_equal(schedule_bytes(schedule), 0);
    assert_int_equal(schedule_pace(schedule)->in_flight, 0);
}

static const struct outcome *outcome_of(const char *id)
{
    for (unsigned i = 0; i < outcome_count; i++) {
        if (strcmp(outcomes[i].id, id) == 0) {
            return &outcomes[i];
        }
    }
    fail_msg("%s has no result", id);
    return NULL;
}

/* How often the text occurs in a result. */
static unsigned occurrences(const char *id, const char *part)
{
    unsigned count = 0;
    for (const char *at = outcome_of(id)->text; (at = strstr(at, part)); at += strlen(part)) {
        count++;
    }
    return count;
}

/* The requests, in order: "dry a", "apply a", "delete a", "dry-delete a"; "probe configmaps" where
 * the creation of one that is to be made anew is tried. */
static const char *deeds(void)
{
    static char text[65536];
    size_t used = 0;
    for (unsigned i = 0; i < world.count; i++) {
        const struct world_request *request = &world.requests[i];
        const char *name = strrchr(request->path, '/') + 1;
        bool is_delete = strcmp(request->method, "DELETE") == 0;
        bool dry = strstr(is_delete ? request->body : request->path, "dryRun");
        bool probe = strcmp(request->method, "POST") == 0;
        assert_true(!probe || dry);
        const char *what = probe       ? "probe"
                           : is_delete ? (dry ? "dry-delete" : "delete")
                           : dry       ? "dry"
                                       : "apply";
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %.*s", i ? ", " : "", what,
                                 (int)strcspn(name, "?"), name);
    }
    return text;
}

/* ---- Cases ---- */

static void everything_is_dry_run_before_the_first_write(void **state)
{
    (void)state;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add(&plan, 0, -1, "a");
    add(&plan, 2, -1, "b");
    add(&plan, 2, -1, "c");
    add_delete(&plan, 3, "d");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_int_equal(world.count, 8);
    /* Connections are several, so within a wave the order is the server's. */
    for (unsigned i = 0; i < 8; i++) {
        bool dry =
            strstr(world.requests[i].path, "dryRun") || strstr(world.requests[i].body, "dryRun");
        assert_int_equal(dry, i < 4);
    }
    assert_non_null(strstr(deeds(), ", apply a, "));
    assert_true(text_has_suffix(deeds(), ", delete d"));
    assert_int_equal(occurrences("p", "\"phase\":\"preflight\""), 4);
    assert_int_equal(occurrences("p", "\"phase\":\"apply\""), 4);
    assert_int_equal(occurrences("p", "\"fingerprint\""), 3); /* of the writes */
    assert_int_equal(occurrences("p", "\"requests\":8"), 1);
}

static void every_request_impersonates(void **state)
{
    (void)state;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add(&plan, 0, -1, "a");
    add_delete(&plan, 3, "d");
    submit(&plan);
    struct draft other = draft("q", "web", "\"mode\":\"dryRun\"");
    add(&other, 0, -1, "w");
    submit(&other);
    run_to_end();
    assert_int_equal(world.count, 5);
    for (unsigned i = 0; i < world.count; i++) {
        bool is_web = strstr(world.requests[i].path, "/w?");
        assert_string_equal(world.requests[i].user, is_web ? "system:serviceaccount:team:default"
                                                           : "system:serviceaccount:team:deployer");
        assert_string_equal(world.requests[i].extra, user_name);
    }
}

static int refuse_b(struct world *server, const struct world_request *request, struct buf *body)
{
    if (strstr(request->path, "/b?") || strstr(request->path, "/c?")) {
        return world_answer_status(body, 422, "Invalid", "b is wrong");
    }
    return world_answer_applied(server, request, body);
}

static void a_preflight_that_fails_reports_all_errors_and_writes_nothing(void **state)
{
    (void)state;
    world.answer = refuse_b;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add(&plan, 0, -1, "a");
    add(&plan, 2, -1, "b");
    add(&plan, 2, -1, "c");
    add(&plan, 3, -1, "d");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_INVALID);
    assert_int_equal(world.count, 4);
    assert_null(strstr(deeds(), "apply"));
    assert_int_equal(occurrences("p", "\"ok\":false"), 2);
    assert_int_equal(occurrences("p", "\"message\":\"b is wrong\",\"ok\":false,\"phase\":"
                                      "\"preflight\",\"reason\":\"Invalid\",\"retryable\":false,"
                                      "\"status\":422"),
                     2);
}

static void without_preflight_a_failed_stage_ends_the_plan(void **state)
{
    (void)state;
    world.answer = refuse_b;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\",\"preflight\":false");
    add(&plan, 0, -1, "a");
    add(&plan, 2, -1, "b");
    add(&plan, 2, -1, "d");
    add(&plan, 3, -1, "e");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_FAILED);
    assert_int_equal(world.count, 3); /* d is tried, e is not */
    assert_null(strstr(deeds(), "apply e"));
    assert_int_equal(occurrences("p", "\"ok\":true"), 2);
}

static void what_depends_on_a_stage_is_dry_run_after_it(void **state)
{
    (void)state;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add(&plan, 0, -1, "namespace");
    add(&plan, 2, -1, "free");
    add(&plan, 2, 0, "inside");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    const char *text = deeds();
    assert_true(strstr(text, "dry free") < strstr(text, "apply namespace"));
    assert_true(strstr(text, "apply namespace") < strstr(text, "dry inside"));
    assert_true(strstr(text, "dry inside") < strstr(text, "apply free"));
    assert_true(strstr(text, "dry inside") < strstr(text, "apply inside"));
    assert_int_equal(world.count, 6);
}

static void a_later_preflight_that_fails_is_a_failed_plan_since_something_is_written(void **state)
{
    (void)state;
    world.answer = refuse_b;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add(&plan, 0, -1, "a");
    add(&plan, 2, 0, "b");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_FAILED);
    assert_string_equal(deeds(), "dry a, apply a, dry b");
}

static void a_dependency_on_a_stage_that_is_not_in_the_plan_is_met(void **state)
{
    (void)state;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add(&plan, 2, 0, "a");
    submit(&plan);
    run_to_end();
    assert_string_equal(deeds(), "dry a, apply a");
}

/* Whether it is gone is asked by a dry-run of its deletion. */
static int delete_at_once(struct world *server, const struct world_request *request,
                          struct buf *body)
{
    bool asks = strcmp(request->method, "DELETE") == 0 && strstr(request->body, "dryRun");
    return asks && strstr(deeds(), ", delete ") ? world_answer_status(body, 404, "NotFound", "gone")
                                                : world_answer_applied(server, request, body);
}

static void what_is_made_anew_is_proved_before_anything_and_before_its_deletion(void **state)
{
    (void)state;
    world.answer = delete_at_once;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add_recreate(&plan, 1, "a");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_string_equal(deeds(), "probe configmaps, dry-delete a, probe configmaps, delete a, "
                                 "dry-delete a, apply a");
    assert_int_equal(occurrences("p", "\"phase\":\"preflight\""), 1);
    assert_int_equal(occurrences("p", "\"phase\":\"apply\""), 1);
    assert_int_equal(occurrences("p", "\"fingerprint\""), 1);
}

static int tell_managed(struct world *server, const struct world_request *request, struct buf *body)
{
    (void)server;
    bool looks = strstr(request->path, "dryRun");
    if (!looks && strstr(request->body, "\"value\":\"8\"")) {
        return world_answer_status(body, 409, "Conflict", "the object has been modified");
    }
    bool conflicts = strstr(request->path, "/raced") && !strstr(deeds(), ", apply raced");
    buf_append_format(body,
                      "{\"metadata\":{\"uid\":\"x\",\"resourceVersion\":\"%d\",\"labels\":{"
                      "\"gitmoor.io/managed-by\":\"%s\"}}}",
                      conflicts ? 8 : 9,
                      strstr(request->path, "/moved") ? "team.other" : "team.shop");
    return 200;
}

static void what_is_given_up_is_looked_at_and_written_before_the_next_stage(void **state)
{
    (void)state;
    world.answer = tell_managed;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add_release(&plan, 1, "a", "x");
    add_delete(&plan, 2, "d");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_string_equal(deeds(), "dry a, dry-delete d, dry a, apply a, delete d");
    assert_int_equal(occurrences("p", "\"ok\":true,\"phase\":\"apply\""), 2);
}

static void a_release_that_was_raced_looks_again(void **state)
{
    (void)state;
    world.answer = tell_managed;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\",\"preflight\":false");
    add_release(&plan, 1, "raced", "x");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_string_equal(deeds(), "dry raced, apply raced, dry raced, apply raced");
}

static void what_is_not_ours_any_more_is_not_written(void **state)
{
    (void)state;
    world.answer = tell_managed;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\",\"preflight\":false");
    add_release(&plan, 1, "moved", "x");
    add_release(&plan, 2, "new", "another");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_string_equal(deeds(), "dry moved, dry new");
}

static int refuse_new(struct world *server, const struct world_request *request, struct buf *body)
{
    if (strcmp(request->method, "POST") == 0) {
        return world_answer_status(body, 422, "Invalid", "no more of these");
    }
    return world_answer_applied(server, request, body);
}

static void what_would_be_refused_anew_is_not_deleted(void **state)
{
    (void)state;
    world.answer = refuse_new;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add(&plan, 0, -1, "b");
    add_recreate(&plan, 1, "a");
    submit(&plan);
    struct draft other = draft("q", "web", "\"mode\":\"apply\",\"preflight\":false");
    add_recreate(&other, 1, "c");
    submit(&other);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_INVALID);
    assert_int_equal(outcome_of("q")->outcome, RESULT_FAILED);
    assert_null(strstr(deeds(), "delete"));
    assert_null(strstr(deeds(), "apply"));
    assert_int_equal(occurrences("p", "It stays as it is"), 1);
    assert_int_equal(occurrences("p", "no more of these"), 1);
    assert_int_equal(occurrences("q", "\"phase\":\"apply\",\"reason\":\"Invalid\""), 1);
}

static int fill_quota(struct world *server, const struct world_request *request, struct buf *body)
{
    static const char full[] = "exceeded quota: q, requested: configmaps=1, used: configmaps=1, "
                               "limited: configmaps=1";
    bool applies = strcmp(request->method, "PATCH") == 0;
    for (unsigned i = 0; applies && i < server->count && &server->requests[i] != request; i++) {
        if (strcmp(server->requests[i].method, "PATCH") == 0) {
            return world_answer_applied(server, request, body); /* it has been asked once */
        }
    }
    return applies || strcmp(request->method, "POST") == 0
               ? world_answer_status(body, 403, "Forbidden", full)
               : delete_at_once(server, request, body);
}

static void a_quota_that_counts_does_not_hold_it_up(void **state)
{
    (void)state;
    world.answer = fill_quota;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\",\"preflight\":false");
    add_recreate(&plan, 1, "a");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_string_equal(deeds(), "probe configmaps, delete a, dry-delete a, apply a, apply a");
}

static void a_dry_run_plan_writes_nothing(void **state)
{
    (void)state;
    struct draft plan = draft("p", "shop", "\"mode\":\"dryRun\",\"preflight\":false");
    add(&plan, 0, -1, "a");
    add(&plan, 2, 0, "unknowable");
    add_delete(&plan, 3, "d");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_int_equal(world.count, 2);
    assert_null(strstr(deeds(), "apply"));
    assert_non_null(strstr(deeds(), "dry-delete d"));
}

static void a_plan_without_operations_is_applied(void **state)
{
    (void)state;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    submit(&plan);
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_int_equal(world.count, 0);
}

static int conflict_twice(struct world *server, const struct world_request *request,
                          struct buf *body)
{
    unsigned before = 0;
    for (unsigned i = 0; i < server->count; i++) {
        before += strcmp(server->requests[i].path, request->path) == 0;
    }
    if (before <= 2) {
        return world_answer_status(body, 409, "Conflict", "the object has been modified");
    }
    return world_answer_applied(server, request, body);
}

static int conflict_always(struct world *server, const struct world_request *request,
                           struct buf *body)
{
    (void)server;
    (void)request;
    return world_answer_status(body, 409, "Conflict", "the object has been modified");
}

static void a_conflict_is_tried_again_but_not_for_ever(void **state)
{
    (void)state;
    world.answer = conflict_twice;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\",\"preflight\":false");
    add(&plan, 0, -1, "a");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_int_equal(world.count, 3);
    assert_int_equal(occurrences("p", "\"ok\""), 1);
    world.answer = conflict_always;
    struct draft again = draft("q", "shop", "\"mode\":\"apply\",\"preflight\":false");
    add(&again, 0, -1, "b");
    submit(&again);
    run_to_end();
    assert_int_equal(outcome_of("q")->outcome, RESULT_FAILED);
    assert_int_equal(occurrences("q", "\"retryable\":true"), 1);
    assert_int_equal(world.count, 3 + 4);
}

static int not_yet_served(struct world *server, const struct world_request *request,
                          struct buf *body)
{
    unsigned before = 0;
    for (unsigned i = 0; i < server->count; i++) {
        before += strstr(server->requests[i].path, "/boat?") != NULL;
    }
    if (strstr(request->path, "/boat?") && before <= 3) {
        return world_answer_status(body, 404, "NotFound",
                                   "the server could not find the requested resource");
    }
    return world_answer_applied(server, request, body);
}

static void a_kind_of_the_same_plan_is_waited_for_until_it_is_served(void **state)
{
    (void)state;
    world.answer = not_yet_served;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add(&plan, 0, -1, "crd");
    add(&plan, 2, 0, "boat");
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_string_equal(deeds(),
                        "dry crd, apply crd, dry boat, dry boat, dry boat, dry boat, apply boat");
    struct draft other = draft("q", "shop", "\"mode\":\"apply\"");
    world.answer = refuse_b;
    add(&other, 2, -1, "b");
    submit(&other);
    run_to_end();
    assert_int_equal(outcome_of("q")->outcome,
                     RESULT_INVALID); /* what depends on nothing: at once */
}

static void an_application_that_comes_late_is_waited_for(void **state)
{
    (void)state;
    struct draft plan = draft("p", "late", "\"mode\":\"dryRun\"");
    add(&plan, 0, -1, "a");
    submit(&plan);
    world_settle(&world);
    assert_int_equal(world.count, 0);
    know("late", "u-late", NULL);
    schedule_identities_changed(schedule);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
}

static void an_application_that_does_not_come_is_refused_and_nothing_is_sent(void **state)
{
    (void)state;
    schedule_free(schedule);
    open_schedule_waiting(64, IMPATIENCE_MS);
    struct draft plan = draft("p", "nobody", "\"mode\":\"apply\"");
    add(&plan, 0, -1, "a");
    submit(&plan);
    know("impostor", "u-other", NULL);
    struct draft other = draft("q", "impostor", "\"mode\":\"apply\"");
    add(&other, 0, -1, "a");
    submit(&other);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_FAILED);
    assert_int_equal(occurrences("p", "\"retryable\":true"), 1);
    assert_int_equal(occurrences("q", "knows no Application team/impostor with UID u-impostor"), 1);
    assert_int_equal(world.count, 0);
}

static void a_service_account_that_is_none_is_refused_at_once(void **state)
{
    (void)state;
    know("shop", "u-shop", "a\r\nImpersonate-Group: system:masters");
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add(&plan, 0, -1, "a");
    submit(&plan);
    assert_int_equal(outcome_of("p")->outcome, RESULT_FAILED);
    assert_int_equal(occurrences("p", "\"retryable\":false"), 1);
    world_settle(&world);
    assert_int_equal(world.count, 0);
}

static void plans_of_one_application_run_one_after_the_other_and_the_newest_waits(void **state)
{
    (void)state;
    world.hold = true;
    static const char *const ids[] = {"p1", "p2", "p3"};
    for (size_t i = 0; i < 3; i++) {
        struct draft plan = draft(ids[i], "shop", "\"mode\":\"apply\",\"preflight\":false");
        add(&plan, 0, -1, ids[i]);
        submit(&plan);
    }
    world_run_until_held(&world, 1);
    assert_int_equal(world.held_most, 1);
    assert_int_equal(outcome_of("p2")->outcome, RESULT_CANCELLED);
    assert_int_equal(occurrences("p2", "a newer plan for the same Application has come"), 1);
    assert_int_equal(schedule_count(schedule), 2);
    assert_true(schedule_has(schedule, "p1"));
    assert_false(schedule_has(schedule, "p2"));
    world.hold = false;
    world_release(&world, 1);
    run_to_end();
    assert_string_equal(deeds(), "apply p1, apply p3");
    assert_int_equal(outcome_of("p3")->outcome, RESULT_APPLIED);
}

static void a_small_plan_is_not_delayed_by_a_large_one_and_repairs_go_first(void **state)
{
    (void)state;
    schedule_free(schedule);
    open_schedule(4);
    know("third", "u-third", NULL);
    world.hold = true;
    struct draft large = draft("large", "shop", "\"mode\":\"apply\",\"preflight\":false");
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "l%d", i);
        add(&large, 0, -1, name);
    }
    submit(&large);
    struct draft small = draft("small", "web", "\"mode\":\"apply\",\"preflight\":false");
    add(&small, 0, -1, "s0");
    add(&small, 0, -1, "s1");
    submit(&small);
    struct draft heal =
        draft("heal", "third", "\"mode\":\"apply\",\"preflight\":false,\"priority\":\"heal\"");
    add(&heal, 0, -1, "h0");
    add(&heal, 0, -1, "h1");
    submit(&heal);
    world_run_until_held(&world, 4); /* all of the large one, which was first */
    world_release(&world, 2);
    world_run_until_held(&world, 4);
    world_release(&world, 4);
    world_run_until_held(&world, 4);
    /* The two that were free went to the repair, the next four to both others in turns. */
    const char *text = deeds();
    assert_int_equal(world.count, 10);
    assert_true(strstr(text, "apply h0") < strstr(text, "apply s0"));
    assert_non_null(strstr(text, "apply s0"));
    assert_non_null(strstr(text, "apply s1"));
    assert_int_equal(outcome_of("heal")->outcome, RESULT_APPLIED);
    world.hold = false;
    world_release(&world, 4);
    run_to_end();
    assert_int_equal(world.held_most, 4);
    assert_int_equal(world.count, 44);
}

static void a_cancelled_plan_drops_what_was_not_started(void **state)
{
    (void)state;
    schedule_free(schedule);
    open_schedule(2);
    world.hold = true;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\",\"preflight\":false");
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "a%d", i);
        add(&plan, 0, -1, name);
    }
    submit(&plan);
    world_run_until_held(&world, 2);
    schedule_cancel(schedule, "p");
    schedule_cancel(schedule, "never heard of");
    assert_int_equal(outcome_count, 0); /* two are in flight */
    world.hold = false;
    world_release(&world, 2);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_CANCELLED);
    assert_int_equal(world.count, 2);
    assert_int_equal(occurrences("p", "\"ok\":true"), 2);
}

static void all_may_be_cancelled_whatever_they_wait_for(void **state)
{
    (void)state;
    world.hold = true;
    static const char *const plans[][2] = {{"p1", "shop"}, {"p2", "shop"}, {"p3", "nobody"}};
    for (size_t i = 0; i < 3; i++) {
        struct draft plan = draft(plans[i][0], plans[i][1], "\"mode\":\"apply\"");
        add(&plan, 0, -1, plans[i][0]);
        submit(&plan);
    }
    world_run_until_held(&world, 1);
    schedule_cancel_all(schedule);
    world.hold = false;
    world_release(&world, 1);
    run_to_end();
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(outcome_of(plans[i][0])->outcome, RESULT_CANCELLED);
    }
    assert_int_equal(world.count, 1);
}

static int overloaded_at_first(struct world *server, const struct world_request *request,
                               struct buf *body)
{
    if (server->count <= 20) {
        return world_answer_status(body, 429, "TooManyRequests", "slow down");
    }
    return world_answer_applied(server, request, body);
}

static void an_overloaded_server_is_spared_and_everything_arrives(void **state)
{
    (void)state;
    world.answer = overloaded_at_first;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\",\"preflight\":false");
    for (int i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof name, "a%d", i);
        add(&plan, 0, -1, name);
    }
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_APPLIED);
    assert_int_equal(occurrences("p", "\"ok\":true"), 60);
    assert_true(schedule_pace(schedule)->congested >= 1);
    assert_true(schedule_pace(schedule)->window < 16);
}

static int gone(struct world *server, const struct world_request *request, struct buf *body)
{
    (void)server;
    (void)request;
    return world_answer_status(body, 503, "ServiceUnavailable", "starting");
}

static void a_server_that_does_not_answer_is_given_up_as_a_failure_to_be_retried(void **state)
{
    (void)state;
    schedule_free(schedule);
    struct schedule_options options = {.base = world.base,
                                       .client = world.client,
                                       .identities = identities,
                                       .window_maximum = 4,
                                       .request_timeout_ms = 500,
                                       .identity_timeout_ms = PATIENCE_MS,
                                       .user_name = &user_name,
                                       .finished = on_finished};
    schedule = schedule_new(&options);
    world.answer = gone;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "a%d", i);
        add(&plan, 0, -1, name);
    }
    submit(&plan);
    run_to_end();
    assert_int_equal(outcome_of("p")->outcome, RESULT_FAILED);
    assert_in_range(occurrences("p", "\"ok\":false"), 1, 4); /* not the two hundred, one by one */
    assert_int_equal(occurrences("p", "\"retryable\":false"), 0);
}

static void a_schedule_may_be_freed_with_requests_in_flight(void **state)
{
    (void)state;
    world.hold = true;
    struct draft plan = draft("p", "shop", "\"mode\":\"apply\"");
    add(&plan, 0, -1, "a");
    submit(&plan);
    struct draft other = draft("q", "nobody", "\"mode\":\"apply\"");
    submit(&other);
    world_run_until_held(&world, 1);
    schedule_free(schedule);
    schedule = NULL;
    world.hold = false;
    world_release(&world, 1);
    world_settle(&world);
    assert_int_equal(outcome_count, 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(everything_is_dry_run_before_the_first_write),
        CASE(every_request_impersonates),
        CASE(a_preflight_that_fails_reports_all_errors_and_writes_nothing),
        CASE(without_preflight_a_failed_stage_ends_the_plan),
        CASE(what_depends_on_a_stage_is_dry_run_after_it),
        CASE(a_later_preflight_that_fails_is_a_failed_plan_since_something_is_written),
        CASE(a_dependency_on_a_stage_that_is_not_in_the_plan_is_met),
        CASE(what_is_made_anew_is_proved_before_anything_and_before_its_deletion),
        CASE(what_would_be_refused_anew_is_not_deleted),
        CASE(what_is_given_up_is_looked_at_and_written_before_the_next_stage),
        CASE(a_release_that_was_raced_looks_again),
        CASE(what_is_not_ours_any_more_is_not_written),
        CASE(a_quota_that_counts_does_not_hold_it_up),
        CASE(a_dry_run_plan_writes_nothing),
        CASE(a_plan_without_operations_is_applied),
        CASE(a_conflict_is_tried_again_but_not_for_ever),
        CASE(a_kind_of_the_same_plan_is_waited_for_until_it_is_served),
        CASE(an_application_that_comes_late_is_waited_for),
        CASE(an_application_that_does_not_come_is_refused_and_nothing_is_sent),
        CASE(a_service_account_that_is_none_is_refused_at_once),
        CASE(plans_of_one_application_run_one_after_the_other_and_the_newest_waits),
        CASE(a_small_plan_is_not_delayed_by_a_large_one_and_repairs_go_first),
        CASE(a_cancelled_plan_drops_what_was_not_started),
        CASE(all_may_be_cancelled_whatever_they_wait_for),
        CASE(an_overloaded_server_is_spared_and_everything_arrives),
        CASE(a_server_that_does_not_answer_is_given_up_as_a_failure_to_be_retried),
        CASE(a_schedule_may_be_freed_with_requests_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
