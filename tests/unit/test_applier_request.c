/* Unit tests of applier/request.c: what is sent, and what answers mean. */
#include "applier/request.h"

#include "applier_world.h"

static struct world world;

static const struct plan_operation apply = {.verb = PLAN_APPLY,
                                            .after = -1,
                                            .path = "/api/v1/namespaces/s/configmaps/a",
                                            .body = "{\"kind\":\"ConfigMap\"}",
                                            .body_size = 20};
static const struct plan_operation removal = {
    .verb = PLAN_DELETE, .after = -1, .path = "/api/v1/namespaces/s/configmaps/a", .uid = "u-1"};

static void on_done(const struct kube_response *response, void *context)
{
    (void)response;
    *(bool *)context = true;
}

static bool is_true(void *context)
{
    return *(bool *)context;
}

/* Sends one and returns it as the server has got it. */
static const struct world_request *send_one(const struct plan_operation *operation, bool dry_run)
{
    const struct kube_impersonation as = {.namespace_ = "team",
                                          .service_account = "deployer",
                                          .extra_key = "gitmoor.io/applier",
                                          .extra_value = "system:serviceaccount:g:applier"};
    bool done = false;
    request_start(world.client, operation, dry_run, &as, 5000, on_done, &done);
    world_run_until(&world, is_true, &done);
    return &world.requests[world.count - 1];
}

static void an_apply_is_a_forced_strict_patch_as_the_service_account(void **state)
{
    (void)state;
    const struct world_request *request = send_one(&apply, false);
    assert_string_equal(request->method, "PATCH");
    assert_string_equal(request->path, "/api/v1/namespaces/s/configmaps/"
                                       "a?fieldManager=gitmoor&force=true&fieldValidation=Strict");
    assert_string_equal(request->type, "application/apply-patch+yaml");
    assert_string_equal(request->body, "{\"kind\":\"ConfigMap\"}");
    assert_string_equal(request->user, "system:serviceaccount:team:deployer");
    assert_string_equal(request->extra, "system:serviceaccount:g:applier");
    assert_true(text_has_suffix(send_one(&apply, true)->path, "&dryRun=All"));
}

static void a_delete_names_the_uid_and_says_dry_run_in_its_body(void **state)
{
    (void)state;
    const struct world_request *request = send_one(&removal, false);
    assert_string_equal(request->method, "DELETE");
    assert_string_equal(request->path, "/api/v1/namespaces/s/configmaps/a");
    assert_string_equal(request->body,
                        "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"preconditions\":"
                        "{\"uid\":\"u-1\"},\"propagationPolicy\":\"Background\"}");
    assert_string_equal(request->user, "system:serviceaccount:team:deployer");
    assert_non_null(strstr(send_one(&removal, true)->body, "\"dryRun\":[\"All\"]"));
    struct plan_operation last = removal;
    last.foreground = true;
    assert_non_null(strstr(send_one(&last, false)->body, "\"propagationPolicy\":\"Foreground\""));
}

static void a_change_of_owners_writes_managed_fields_in_one_version_and_nothing_else(void **state)
{
    (void)state;
    static const struct plan_operation owners = {.verb = PLAN_OWNERS,
                                                 .path = "/api/v1/namespaces/s/configmaps/a",
                                                 .resource_version = "7",
                                                 .body =
                                                     "[{\"manager\":\"gitmoor\",\"fieldsV1\":{}}]",
                                                 .body_size = 37};
    const struct world_request *request = send_one(&owners, false);
    assert_string_equal(request->method, "PATCH");
    assert_string_equal(request->path, "/api/v1/namespaces/s/configmaps/a?fieldManager=gitmoor");
    assert_string_equal(request->type, "application/json-patch+json");
    assert_string_equal(
        request->body,
        "[{\"op\":\"replace\",\"path\":\"/metadata/resourceVersion\",\"value\":\"7\"},"
        "{\"op\":\"replace\",\"path\":\"/metadata/managedFields\",\"value\":"
        "[{\"fieldsV1\":{},\"manager\":\"gitmoor\"}]}]");
    assert_string_equal(request->user, "system:serviceaccount:team:deployer");
    assert_string_equal(request->extra, "system:serviceaccount:g:applier");
    assert_true(text_has_suffix(send_one(&owners, true)->path, "&dryRun=All"));
}

static void a_release_reads_by_a_dry_run_and_then_writes_the_patch(void **state)
{
    (void)state;
    struct plan_operation release = {
        .verb = PLAN_RELEASE, .path = "/api/v1/namespaces/s/configmaps/a", .uid = "u-1"};
    const struct world_request *look = send_one(&release, false);
    assert_string_equal(look->path,
                        "/api/v1/namespaces/s/configmaps/a?fieldManager=gitmoor&dryRun=All");
    assert_string_equal(look->type, "application/merge-patch+json");
    assert_string_equal(look->body, "{}");
    release.body = "[]";
    release.body_size = 2;
    const struct world_request *write = send_one(&release, false);
    assert_string_equal(write->path, "/api/v1/namespaces/s/configmaps/a?fieldManager=gitmoor");
    assert_string_equal(write->type, "application/json-patch+json");
    assert_string_equal(write->body, "[]");
    assert_string_equal(write->user, "system:serviceaccount:team:deployer");
    assert_string_equal(write->extra, "system:serviceaccount:g:applier");
}

static void what_is_gone_needs_no_release(void **state)
{
    (void)state;
    const struct plan_operation release = {.verb = PLAN_RELEASE, .path = "/x", .uid = "u-1"};
    const struct kube_response response = {
        .status = 404, .reason = "NotFound", .error = {.code = ERROR_NOT_FOUND}};
    struct request_answer answer;
    assert_true(request_read_answer(&release, &response, &answer));
    assert_true(answer.success.gone);
    request_answer_release(&answer);
}

static void an_applied_object_tells_uid_version_and_fingerprint(void **state)
{
    (void)state;
    AUTO_BUF struct buf body;
    buf_init(&body, 65536);
    struct world_request request = {.path = (char *)"abc"};
    world_answer_applied(&world, &request, &body);
    const struct kube_response response = {
        .status = 200, .ok = true, .body = body.data, .size = body.size, .reason = ""};
    struct request_answer answer;
    assert_true(request_read_answer(&apply, &response, &answer));
    assert_string_equal(answer.success.uid, "u-3");
    assert_string_equal(answer.success.resource_version, "7");
    assert_false(digest_is_zero(&answer.success.fingerprint));
    request_answer_release(&answer);
}

static void managers_are_told_once_each_without_us_and_without_subresources(void **state)
{
    (void)state;
    static const char object[] = "{\"metadata\":{\"managedFields\":["
                                 "{\"manager\":\"kubectl-client-side-apply\"},{\"manager\":"
                                 "\"gitmoor\"},{\"manager\":\"kubectl\"},"
                                 "{\"manager\":\"kubelet\",\"subresource\":\"status\"},{"
                                 "\"manager\":\"kubectl\"},{\"manager\":\"\"},"
                                 "{\"manager\":\"kubelet\"}]}}";
    const struct kube_response response = {
        .status = 200, .ok = true, .body = object, .size = sizeof object - 1, .reason = ""};
    struct request_answer answer;
    assert_true(request_read_answer(&apply, &response, &answer));
    request_find_managers(&answer);
    assert_string_equal(answer.managers, "kubectl-client-side-apply, kubectl, kubelet");
    request_answer_release(&answer);
}

static void an_answer_that_is_not_json_is_worth_another_try(void **state)
{
    (void)state;
    const struct kube_response response = {
        .status = 200, .ok = true, .body = "<html>", .size = 6, .reason = ""};
    struct request_answer answer;
    assert_false(request_read_answer(&apply, &response, &answer));
    assert_true(answer.error.retryable);
    request_answer_release(&answer);
}

static void what_refusals_mean(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const struct plan_operation *operation;
        int status;
        enum error_code code;
        const char *reason;
        const char *message;
        bool ok, gone, replaced, retryable;
    } cases[] = {
        {"apply to a Namespace that is not there", &apply, 404, ERROR_NOT_FOUND, "NotFound",
         "namespaces \"s\" not found", false, false, false, false},
        {"delete of what is gone", &removal, 404, ERROR_NOT_FOUND, "NotFound", "not found", true,
         true, false, false},
        {"delete of another object with the name", &removal, 409, ERROR_CONFLICT, "Conflict",
         "Precondition failed: UID in precondition: u-1, UID in object meta: u-2", true, false,
         true, false},
        {"the same in a dry-run", &removal, 409, ERROR_CONFLICT, "Conflict",
         "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (u-1) does "
         "not match the UID in record (u-2).",
         true, false, true, false},
        {"delete of a Namespace that is on its way out", &removal, 409, ERROR_CONFLICT, "Conflict",
         "The system is ensuring all content is removed from this namespace.", true, false, false,
         false},
        {"delete that met another writer", &removal, 409, ERROR_CONFLICT, "Conflict",
         "the object has been modified", false, false, false, true},
        {"delete that a webhook refuses", &removal, 403, ERROR_DENIED, "Forbidden",
         "admission webhook \"x\" denied the request", false, false, false, false},
        {"a field that does not exist", &apply, 500, ERROR_UNAVAILABLE, "",
         "failed to create typed patch object (s/a; /v1, Kind=ConfigMap): .dat: field not declared "
         "in schema",
         false, false, false, false},
        {"a failure inside the server", &apply, 500, ERROR_UNAVAILABLE, "InternalError",
         "failed calling webhook", false, false, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kube_response response = {.status = cases[i].status, .reason = cases[i].reason};
        error_set(&response.error, cases[i].code, "%s", cases[i].message);
        struct request_answer answer;
        bool ok = request_read_answer(cases[i].operation, &response, &answer);
        if (ok != cases[i].ok || answer.success.gone != cases[i].gone ||
            answer.success.replaced != cases[i].replaced ||
            (!ok && answer.error.retryable != cases[i].retryable)) {
            fail_msg("%s", cases[i].what);
        }
        request_answer_release(&answer);
    }
}

static int open_world(void **state)
{
    (void)state;
    world_open(&world);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_apply_is_a_forced_strict_patch_as_the_service_account),
        cmocka_unit_test(a_delete_names_the_uid_and_says_dry_run_in_its_body),
        cmocka_unit_test(a_change_of_owners_writes_managed_fields_in_one_version_and_nothing_else),
        cmocka_unit_test(a_release_reads_by_a_dry_run_and_then_writes_the_patch),
        cmocka_unit_test(what_is_gone_needs_no_release),
        cmocka_unit_test(an_applied_object_tells_uid_version_and_fingerprint),
        cmocka_unit_test(managers_are_told_once_each_without_us_and_without_subresources),
        cmocka_unit_test(an_answer_that_is_not_json_is_worth_another_try),
        cmocka_unit_test(what_refusals_mean),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
