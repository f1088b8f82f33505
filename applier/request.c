#include "applier/request.h"

#include "applier/immutable.h"
#include "applier/probe.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

/* `force`, since what Git declares is Git's; unknown and duplicate fields are errors, since they
 * are mistakes that would otherwise pass silently. */
#define APPLY_QUERY "?fieldManager=" GITMOOR_FIELD_MANAGER "&force=true&fieldValidation=Strict"
#define PROBE_QUERY "?fieldManager=" GITMOOR_FIELD_MANAGER "&fieldValidation=Strict&dryRun=All"
#define OWNERS_QUERY "?fieldManager=" GITMOOR_FIELD_MANAGER

/* The request has its content type and body. */
static struct kube_call *start_patch(struct kube_client *client,
                                     const struct plan_operation *operation, const char *query,
                                     bool dry_run, struct kube_request *request,
                                     kube_response_fn done, void *context)
{
    AUTO_BUF struct buf path;
    buf_init(&path, PLAN_PATH_MAXIMUM + 256);
    buf_append_format(&path, "%s%s%s", operation->path, query, dry_run ? "&dryRun=All" : "");
    request->method = KUBE_PATCH;
    request->path = path.data;
    return kube_client_call(client, request, done, context);
}

static struct kube_call *start_apply(struct kube_client *client,
                                     const struct plan_operation *operation, bool dry_run,
                                     struct kube_request *request, kube_response_fn done,
                                     void *context)
{
    request->content_type = KUBE_APPLY_TYPE;
    request->body = operation->body;
    request->body_size = operation->body_size;
    request->body_is_static = true;
    return start_patch(client, operation, APPLY_QUERY, dry_run, request, done, context);
}

/* The version is written, not tested: so a newer object is a conflict, and the server does not try
 * again by itself. Nothing but the managedFields is in the patch, whatever the plan says. */
static struct kube_call *start_owners(struct kube_client *client,
                                      const struct plan_operation *operation, bool dry_run,
                                      struct kube_request *request, kube_response_fn done,
                                      void *context)
{
    AUTO_JSON cJSON *patch = json_new_array();
    cJSON *version = json_append(patch, json_new_object());
    json_add_string(version, "op", "replace");
    json_add_string(version, "path", "/metadata/resourceVersion");
    json_add_string(version, "value", operation->resource_version);
    cJSON *owners = json_append(patch, json_new_object()), *entries = NULL;
    json_add_string(owners, "op", "replace");
    json_add_string(owners, "path", "/metadata/managedFields");
    json_parse(operation->body, operation->body_size, NULL, &entries, NULL); /* as plan_parse did */
    json_add(owners, "value", entries);
    AUTO_BUF struct buf body;
    buf_init(&body, operation->body_size + 4096);
    json_write(patch, &body);
    request->content_type = KUBE_JSON_PATCH_TYPE;
    request->body = body.data;
    request->body_size = body.size;
    return start_patch(client, operation, OWNERS_QUERY, dry_run, request, done, context);
}

/* The options are the body, all of them: with a body, the server ignores the query. */
static struct kube_call *start_delete(struct kube_client *client,
                                      const struct plan_operation *operation, bool dry_run,
                                      struct kube_request *request, kube_response_fn done,
                                      void *context)
{
    AUTO_JSON cJSON *options = json_new_object();
    json_add_string(options, "apiVersion", "v1");
    json_add_string(options, "kind", "DeleteOptions");
    json_add_string(options, "propagationPolicy",
                    operation->foreground ? "Foreground" : "Background");
    json_add_string(json_add_object(options, "preconditions"), "uid", operation->uid);
    if (dry_run) {
        json_append(json_add_array(options, "dryRun"), json_new_string("All"));
    }
    AUTO_BUF struct buf body;
    buf_init(&body, 4096);
    json_write(options, &body);
    request->method = KUBE_DELETE;
    request->path = operation->path;
    request->body = body.data;
    request->body_size = body.size;
    return kube_client_call(client, request, done, context);
}

/* Applied as a manager of its own: so it is put there or taken away, and nothing else of the object
 * is touched, whatever it has become. The UID makes it that Application and no later one. */
#define FINALIZER_QUERY "?fieldManager=gitmoor-applier&force=true"

static struct kube_call *start_finalizer(struct kube_client *client,
                                         const struct plan_operation *operation, bool dry_run,
                                         struct kube_request *request, kube_response_fn done,
                                         void *context)
{
    AUTO_JSON cJSON *object = json_new_object();
    json_add_string(object, "apiVersion", GITMOOR_API_VERSION);
    json_add_string(object, "kind", "Application");
    cJSON *metadata = json_add_object(object, "metadata");
    json_add_string(metadata, "uid", operation->uid);
    if (operation->adds) {
        json_append(json_add_array(metadata, "finalizers"), json_new_string(GITMOOR_FINALIZER));
    }
    AUTO_BUF struct buf body;
    buf_init(&body, 4096);
    json_write(object, &body);
    request->as = NULL;
    request->content_type = KUBE_APPLY_TYPE;
    request->body = body.data;
    request->body_size = body.size;
    return start_patch(client, operation, FINALIZER_QUERY, dry_run, request, done, context);
}

/* Changes nothing, and is answered with the object; or the patch that was made of that answer. */
static struct kube_call *start_release(struct kube_client *client,
                                       const struct plan_operation *operation, bool dry_run,
                                       struct kube_request *request, kube_response_fn done,
                                       void *context)
{
    bool looks = !operation->body;
    request->content_type = looks ? KUBE_MERGE_TYPE : KUBE_JSON_PATCH_TYPE;
    request->body = looks ? "{}" : operation->body;
    request->body_size = looks ? 2 : operation->body_size;
    return start_patch(client, operation, OWNERS_QUERY, dry_run || looks, request, done, context);
}

/* Always a dry-run. */
static struct kube_call *start_probe(struct kube_client *client,
                                     const struct plan_operation *operation,
                                     struct kube_request *request, kube_response_fn done,
                                     void *context)
{
    AUTO_BUF struct buf path, body;
    buf_init(&path, PLAN_PATH_MAXIMUM + 256);
    buf_init(&body, operation->body_size * 2 + 4096);
    probe_build(operation, &path, &body); /* the server refuses what is no object */
    buf_append_string(&path, PROBE_QUERY);
    request->method = KUBE_POST;
    request->path = path.data;
    request->body = body.data;
    request->body_size = body.size;
    return kube_client_call(client, request, done, context);
}

static bool read_applied(const struct kube_response *response, struct request_answer *ret)
{
    if (!json_parse(response->body, response->size, NULL, &ret->object, &ret->error)) {
        ret->error.code = ERROR_UNAVAILABLE;
        ret->error.retryable = true;
        return error_prefix(&ret->error, "the API server's answer is not JSON");
    }
    ret->success.uid = json_string_path(ret->object, "metadata.uid");
    ret->success.resource_version = json_string_path(ret->object, "metadata.resourceVersion");
    object_fingerprint(ret->object, &ret->success.fingerprint);
    return true;
}

#define MANAGERS_MAXIMUM 1024 /* bytes */

/* Whether an entry before this one is of the same manager. */
static bool is_named_before(const cJSON *entries, const cJSON *entry)
{
    const char *manager = json_string(entry, "manager");
    for (const cJSON *before = json_first(entries); before != entry; before = before->next) {
        bool counts = text_is_empty(json_string(before, "subresource"));
        if (counts && text_equal(json_string(before, "manager"), manager)) {
            return true;
        }
    }
    return false;
}

void request_find_managers(struct request_answer *answer)
{
    const cJSON *entries = json_get_path(answer->object, "metadata.managedFields");
    AUTO_BUF struct buf names;
    buf_init(&names, MANAGERS_MAXIMUM);
    for (const cJSON *entry = json_first(entries); entry; entry = entry->next) {
        const char *manager = json_string(entry, "manager");
        bool counts = !text_is_empty(manager) && !text_equal(manager, GITMOOR_FIELD_MANAGER) &&
                      text_is_empty(json_string(entry, "subresource"));
        if (counts && !is_named_before(entries, entry)) {
            buf_append_format(&names, "%s%s", names.size > 0 ? ", " : "", manager);
        }
    }
    answer->managers = names.size > 0 ? buf_detach(&names) : NULL;
    answer->success.managers = answer->managers;
}

/* Somebody else may have put it there too. */
static bool read_finalizer(const struct plan_operation *operation,
                           const struct kube_response *response, struct request_answer *ret)
{
    if (!read_applied(response, ret)) {
        return false;
    }
    for (const cJSON *item = json_first(json_get_path(ret->object, "metadata.finalizers"));
         item && !operation->adds; item = item->next) {
        if (cJSON_IsString(item) && text_equal(item->valuestring, GITMOOR_FINALIZER)) {
            return error_set(&ret->error, ERROR_CONFLICT,
                             "the finalizer " GITMOOR_FINALIZER " was put there by somebody else "
                             "too: take it away by kubectl edit");
        }
    }
    return true;
}

struct kube_call *request_start(struct kube_client *client, const struct plan_operation *operation,
                                bool dry_run, const struct kube_impersonation *as,
                                int64_t timeout_ms, kube_response_fn done, void *context)
{
    struct kube_request request = {.as = as, .timeout_ms = timeout_ms};
    switch (operation->verb) {
    case PLAN_DELETE:
        return start_delete(client, operation, dry_run, &request, done, context);
    case PLAN_OWNERS:
        return start_owners(client, operation, dry_run, &request, done, context);
    case PLAN_FINALIZER:
        return start_finalizer(client, operation, dry_run, &request, done, context);
    case PLAN_RECREATE:
        return start_probe(client, operation, &request, done, context);
    case PLAN_RELEASE:
        return start_release(client, operation, dry_run, &request, done, context);
    case PLAN_APPLY:
        break;
    }
    return start_apply(client, operation, dry_run, &request, done, context);
}

/* A delete that fails may have nothing left to do. */
static bool is_deleted_anyway(const struct kube_response *response, struct result_success *success)
{
    if (response->status == 404) {
        success->gone = true;
        return true;
    }
    if (response->status != 409) {
        return false;
    }
    /* The texts are those of apiserver's precondition checks (storage, and registry/rest for
     * dry-runs) and of the namespace strategy; Status has no other mark that tells them from a
     * conflict of writers. */
    if (strstr(response->error.message, "Precondition failed: UID") ||
        strstr(response->error.message, "the UID in the precondition")) {
        success->replaced = true;
        return true;
    }
    return strstr(response->error.message, "ensuring all content is removed") != NULL;
}

/* An object that does not fit its schema (a field that does not exist, a wrong type) makes the
 * server answer 500, without a reason, where it means 422: "failed to create typed patch object
 * (…): .dat: field not declared in schema". What went wrong inside has the reason InternalError. */
static void correct_error(const struct plan_operation *operation,
                          const struct kube_response *response, struct error *error)
{
    if (response->status == 409) {
        error->retryable = true; /* a race with another writer */
    }
    if (operation->verb == PLAN_APPLY && response->status == 500 &&
        text_is_empty(response->reason) &&
        strstr(error->message, "failed to create typed patch object")) {
        error->code = ERROR_INVALID;
        error->retryable = false;
    }
}

static bool read_probe(const struct kube_response *response, struct request_answer *ret)
{
    if (response->ok ||
        (response->status == 403 && probe_lacks_room_only(response->error.message))) {
        return true;
    }
    ret->error = response->error;
    return error_prefix(
        &ret->error, "a field of it is immutable, so it is to be deleted and made anew. It stays "
                     "as it is, since the server would not take the new one (which was tried in "
                     "a dry-run, under another name)");
}

bool request_read_answer(const struct plan_operation *operation,
                         const struct kube_response *response, struct request_answer *ret)
{
    *ret = (struct request_answer){0};
    if (operation->verb == PLAN_RECREATE) {
        return read_probe(response, ret);
    }
    if (operation->verb == PLAN_DELETE) {
        ret->success.uid = operation->uid;
        if (response->ok || is_deleted_anyway(response, &ret->success)) {
            return true;
        }
    } else if (operation->verb == PLAN_RELEASE && response->status == 404) {
        ret->success.uid = operation->uid;
        ret->success.gone = true;
        return true;
    } else if (response->ok) {
        return operation->verb == PLAN_FINALIZER ? read_finalizer(operation, response, ret)
                                                 : read_applied(response, ret);
    }
    ret->error = response->error;
    correct_error(operation, response, &ret->error);
    if (response->status == 422 && operation->verb == PLAN_APPLY) {
        ret->immutable = immutable_fields(response->body, response->size);
    }
    return false;
}

void request_answer_release(struct request_answer *answer)
{
    json_free(answer->object);
    free(answer->managers);
    free(answer->immutable);
    answer->managers = NULL;
    answer->immutable = NULL;
    answer->object = NULL;
}
