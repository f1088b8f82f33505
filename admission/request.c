#include "admission/request.h"

#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

#define REVIEW_API_VERSION "admission.k8s.io/v1"

static const char *const operation_names[] = {
    [OPERATION_CREATE] = "CREATE",
    [OPERATION_UPDATE] = "UPDATE",
    [OPERATION_DELETE] = "DELETE",
    [OPERATION_CONNECT] = "CONNECT",
};

const char *operation_name(enum operation operation)
{
    return operation_names[operation];
}

static bool read_operation(const cJSON *request, struct request *ret, struct error *error)
{
    const char *text = json_string(request, "operation");
    for (size_t i = 0; i < sizeof operation_names / sizeof *operation_names; i++) {
        if (text_equal(text, operation_names[i])) {
            ret->operation = (enum operation)i;
            return true;
        }
    }
    return error_set(error, ERROR_INVALID,
                     "request.operation is %s: CREATE, UPDATE, DELETE or CONNECT is wanted",
                     text ? text : "missing");
}

static bool need_string(const cJSON *object, const char *name, const char *where, const char **ret,
                        struct error *error)
{
    *ret = json_string(object, name);
    if (text_is_empty(*ret)) {
        return error_set(error, ERROR_INVALID, "%s.%s is missing or not a string", where, name);
    }
    return true;
}

/* An object that the operation implies: it must be there, and be an object. */
static bool need_object(const cJSON *request, const char *name, const struct request *view,
                        const cJSON **ret, struct error *error)
{
    *ret = json_object(request, name);
    if (!*ret) {
        return error_set(error, ERROR_INVALID, "request.%s is missing, though the operation is %s",
                         name, operation_name(view->operation));
    }
    return true;
}

static bool read_objects(const cJSON *request, struct request *ret, struct error *error)
{
    switch (ret->operation) {
    case OPERATION_CREATE:
        return need_object(request, "object", ret, &ret->object, error);
    case OPERATION_UPDATE:
        return need_object(request, "object", ret, &ret->object, error) &&
               need_object(request, "oldObject", ret, &ret->old, error);
    case OPERATION_DELETE:
        return need_object(request, "oldObject", ret, &ret->old, error);
    case OPERATION_CONNECT:
        break;
    }
    return true;
}

/* request.name is empty for each object of a deletecollection, and for a name that the server makes
 * of generateName; request.namespace of a Namespace is its own name. So the object is asked first.
 */
static void read_names(const cJSON *request, struct request *ret)
{
    const cJSON *object = ret->old ? ret->old : ret->object;
    const char *name = json_string_path(object, "metadata.name");
    const char *namespace_ = json_string_path(object, "metadata.namespace");
    if (text_is_empty(name)) {
        name = json_string(request, "name");
    }
    if (text_is_empty(namespace_)) {
        namespace_ = json_string(request, "namespace");
    }
    bool is_namespace = text_is_empty(ret->group) && text_equal(ret->resource, "namespaces");
    ret->name = text_or_empty(name);
    ret->namespace_ = is_namespace ? "" : text_or_empty(namespace_);
}

bool request_from_json(const cJSON *review, struct request *ret, struct error *error)
{
    struct request request = {0};
    const char *version = json_string(review, "apiVersion");
    const char *kind = json_string(review, "kind");
    if (!text_equal(version, REVIEW_API_VERSION) || !text_equal(kind, "AdmissionReview")) {
        return error_set(error, ERROR_INVALID,
                         "apiVersion %s, kind %s: an AdmissionReview of " REVIEW_API_VERSION
                         " is wanted",
                         version ? version : "(none)", kind ? kind : "(none)");
    }
    const cJSON *node = json_object(review, "request");
    if (!node) {
        return error_set(error, ERROR_INVALID, "the AdmissionReview holds no request");
    }
    const cJSON *kind_node = json_object(node, "kind");
    const cJSON *resource = json_object(node, "resource");
    const cJSON *user = json_object(node, "userInfo");
    if (!need_string(node, "uid", "request", &request.uid, error) ||
        !read_operation(node, &request, error) ||
        !need_string(kind_node, "kind", "request.kind", &request.kind, error) ||
        !need_string(resource, "resource", "request.resource", &request.resource, error) ||
        !read_objects(node, &request, error)) {
        return false;
    }
    request.group = text_or_empty(json_string(resource, "group"));
    request.subresource = text_or_empty(json_string(node, "subResource"));
    request.user = text_or_empty(json_string(user, "username"));
    request.groups = json_array(user, "groups");
    request.extra = json_object(user, "extra");
    request.field_manager = text_or_empty(json_string_path(node, "options.fieldManager"));
    request.dry_run = json_bool(node, "dryRun", false);
    read_names(node, &request);
    *ret = request;
    return true;
}

bool request_user_matches(const struct request *request, const char *pattern)
{
    size_t size = strlen(pattern);
    if (size > 0 && pattern[size - 1] == '*') {
        return strncmp(request->user, pattern, size - 1) == 0;
    }
    return size > 0 && strcmp(request->user, pattern) == 0;
}

static bool contains(const cJSON *array, const char *value)
{
    for (const cJSON *item = json_first(array); item; item = item->next) {
        if (cJSON_IsString(item) && strcmp(item->valuestring, value) == 0) {
            return true;
        }
    }
    return false;
}

bool request_user_in_group(const struct request *request, const char *group)
{
    return contains(request->groups, group);
}

bool request_has_extra(const struct request *request, const char *key, const char *value)
{
    return contains(json_array(request->extra, key), value);
}

static bool is_blank(const char *text)
{
    return !text || text[strspn(text, " \t\r\n")] == '\0';
}

static const char *reason_on(const cJSON *object)
{
    const char *reason =
        json_string(json_get_path(object, "metadata.annotations"), GITMOOR_BREAK_GLASS_ANNOTATION);
    return is_blank(reason) ? NULL : reason;
}

const char *request_reason(const struct request *request)
{
    return reason_on(request->operation == OPERATION_DELETE ? request->old : request->object);
}

bool request_writes_reason(const struct request *request)
{
    const char *reason = reason_on(request->object);
    return reason && !text_equal(reason, reason_on(request->old)) &&
           !request_user_in_group(request, GITMOOR_BREAK_GLASS_GROUP);
}
