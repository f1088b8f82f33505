#include "admission/rules.h"

#include "common/base/text.h"

#include <string.h>

#define SYSTEM_ACCOUNT "system:serviceaccount:kube-system:"

/* The parts of the control plane that delete as their duty, by user name. kube-controller-manager
 * without --use-service-account-credentials does all of it under one name. Others of kube-system
 * may carry labels along, but not delete. Source: pkg/controller of Kubernetes 1.35. */
static const struct {
    const char *user;
    bool only_dependents; /* the garbage collector deletes what has ownerReferences */
} deleters[] = {
    {SYSTEM_ACCOUNT "namespace-controller", false},
    {SYSTEM_ACCOUNT "generic-garbage-collector", true},
    {SYSTEM_ACCOUNT "ttl-after-finished-controller", false},
    {SYSTEM_ACCOUNT "pod-garbage-collector", false},
    {SYSTEM_ACCOUNT "taint-eviction-controller", false},
    {SYSTEM_ACCOUNT "node-controller", false},
    {SYSTEM_ACCOUNT "job-controller", false},
    {SYSTEM_ACCOUNT "cronjob-controller", false},
    {SYSTEM_ACCOUNT "replicaset-controller", false},
    {SYSTEM_ACCOUNT "replication-controller", false},
    {SYSTEM_ACCOUNT "statefulset-controller", false},
    {SYSTEM_ACCOUNT "daemon-set-controller", false},
    {SYSTEM_ACCOUNT "deployment-controller", false},
    {SYSTEM_ACCOUNT "persistent-volume-binder", false},
    {SYSTEM_ACCOUNT "token-cleaner", false},
    {SYSTEM_ACCOUNT "legacy-service-account-token-cleaner", false},
    {SYSTEM_ACCOUNT "certificate-controller", false},
    {"system:kube-controller-manager", false},
    {"system:kube-scheduler", false}, /* preemption */
};

static bool is_controller(const struct request *request, const struct verdict_settings *settings)
{
    for (const char *const *pattern = settings->controllers; pattern && *pattern; pattern++) {
        if (request_user_matches(request, *pattern)) {
            return true;
        }
    }
    return false;
}

static bool is_terminating(const cJSON *object)
{
    return !text_is_empty(json_string_path(object, "metadata.deletionTimestamp"));
}

static bool is_namespace(const struct request *request)
{
    return *request->group == '\0' && strcmp(request->resource, "namespaces") == 0;
}

static bool is_definition(const struct request *request)
{
    return strcmp(request->group, "apiextensions.k8s.io") == 0 &&
           strcmp(request->resource, "customresourcedefinitions") == 0;
}

/* ---- Each says which rule is broken, or RULE_NONE ---- */

static bool deletes_as_duty(const struct request *request)
{
    bool has_owner = json_first(json_get_path(request->old, "metadata.ownerReferences")) != NULL;
    for (size_t i = 0; i < sizeof deleters / sizeof *deleters; i++) {
        if (strcmp(request->user, deleters[i].user) == 0) {
            return has_owner || !deleters[i].only_dependents;
        }
    }
    return false;
}

/* The server deletes the objects of a definition with it and asks nobody about them. Whose they are
 * is what the Applications' statuses tell. */
static void find_users(const struct request *request, const struct application_set *applications,
                       struct arena *arena, struct verdict *ret)
{
    const char *kind = json_string_path(request->old, "spec.names.kind");
    const char *group = json_string_path(request->old, "spec.group");
    const char *name = arena_format(arena, "%s.%s", text_or_empty(kind), text_or_empty(group));
    ret->owner_count = application_set_select(applications, application_has_kind, name, ret->owners,
                                              VERDICT_OWNERS_NAMED);
}

static enum verdict_rule judge_delete(const struct request *request,
                                      const struct application_set *applications,
                                      struct verdict *ret)
{
    if (is_terminating(request->old)) {
        return RULE_NONE; /* it goes already; refusing would leave it so for ever */
    }
    bool ours = loss_is_ours(request->old);
    if (is_namespace(request)) {
        ret->owner_count = application_set_select(applications, application_holds, request->name,
                                                  ret->owners, VERDICT_OWNERS_NAMED);
        return ours || ret->owner_count > 0 ? RULE_NAMESPACE : RULE_NONE;
    }
    if (is_definition(request)) {
        find_users(request, applications, ret->fields.arena, ret);
        if (ret->owner_count > 0) {
            return RULE_DEFINITION;
        }
    }
    return ours && !deletes_as_duty(request) ? RULE_DELETE : RULE_NONE;
}

/* Controllers keep ownerReferences, finalizers and aggregated rules; Git may name them, but to
 * refuse a controller its bookkeeping would only make it try for ever. */
static bool is_bookkeeping(const struct request *request, const char *path)
{
    return text_has_prefix(path, ".metadata.ownerReferences") ||
           text_has_prefix(path, ".metadata.finalizers") ||
           (strcmp(request->resource, "clusterroles") == 0 && text_has_prefix(path, ".rules") &&
            json_get(request->old, "aggregationRule"));
}

static void drop_bookkeeping(const struct request *request, struct paths *paths)
{
    size_t kept = 0;
    for (size_t i = 0; i < paths->count; i++) {
        if (!is_bookkeeping(request, paths->items[i])) {
            paths->items[kept++] = paths->items[i];
        }
    }
    paths->count = kept;
}

/* With another name or kind the same uid is that of an owner that does not exist. */
static bool is_same_owner(const cJSON *left, const cJSON *right)
{
    static const char *const members[] = {"uid", "apiVersion", "kind", "name"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (!text_equal(json_string(left, members[i]), json_string(right, members[i]))) {
            return false;
        }
    }
    return true;
}

static bool refers_to(const cJSON *object, const cJSON *owner)
{
    for (const cJSON *item = json_first(json_get_path(object, "metadata.ownerReferences")); item;
         item = item->next) {
        if (is_same_owner(item, owner)) {
            return true;
        }
    }
    return false;
}

static void find_new_owners(const struct request *request, struct paths *ret)
{
    for (const cJSON *item = json_first(json_get_path(request->object, "metadata.ownerReferences"));
         item; item = item->next) {
        const char *uid = text_or_empty(json_string(item, "uid"));
        if (!refers_to(request->old, item)) {
            paths_add(ret, arena_format(ret->arena, ".metadata.ownerReferences[uid=\"%s\"]", uid));
        }
    }
    paths_settle(ret);
}

/* What takes others along when it is deleted is guarded without being managed. */
static enum verdict_rule judge_reason(const struct request *request)
{
    bool guarded = is_namespace(request) || is_definition(request);
    return guarded && request_writes_reason(request) ? RULE_REASON : RULE_NONE;
}

static enum verdict_rule judge_create(const struct request *request, bool controller)
{
    bool ours = loss_is_ours(request->object);
    if (ours || (object_label(request->object) && !controller)) {
        return RULE_CLAIM;
    }
    return judge_reason(request);
}

/* An update of an object that is not ours: a copy, or something that somebody wants to pass off as
 * ours. Our own label on it is no reason to keep people from it, but putting it there is. */
static enum verdict_rule judge_claim(const struct request *request, bool controller)
{
    const char *label = object_label(request->object);
    bool claimed = label && !text_equal(label, object_label(request->old)) && !controller;
    if (claimed || loss_is_ours(request->object)) {
        return RULE_CLAIM;
    }
    return judge_reason(request);
}

static enum verdict_rule judge_update(const struct request *request, bool controller,
                                      struct verdict *ret)
{
    if (is_terminating(request->old)) {
        return RULE_NONE; /* finalizers must come off */
    }
    if (loss_is_impersonated(request->old, request->object)) {
        return RULE_FIELD_MANAGER;
    }
    if (!loss_is_ours(request->old)) {
        return judge_claim(request, controller);
    }
    loss_compare(request->old, request->object, &ret->fields);
    if (!text_equal(object_label(request->old), object_label(request->object))) {
        paths_add(&ret->fields, ".metadata.labels[\"" GITMOOR_LABEL "\"]");
        paths_settle(&ret->fields);
    }
    if (controller) {
        drop_bookkeeping(request, &ret->fields);
    }
    if (ret->fields.count > 0) {
        return RULE_FIELDS;
    }
    /* The server takes no managedFields from a request for the status. */
    if (!controller && strcmp(request->subresource, "status") != 0 &&
        loss_is_reshaped(request->old, request->object)) {
        return RULE_FIELD_MANAGER;
    }
    if (!controller) {
        find_new_owners(request, &ret->fields);
    }
    if (ret->fields.count > 0) {
        return RULE_OWNER_REFERENCE;
    }
    return request_writes_reason(request) ? RULE_REASON : RULE_NONE;
}

/* A Scale has no label. In the mutating phase its old object carries the entries of those who own
 * the replicas; the new one does not yet, so that the values tell. */
static enum verdict_rule judge_scale(const struct request *request, struct verdict *ret)
{
    static const char *const replicas[] = {"f:spec", "f:replicas", NULL};
    const cJSON *before = json_get_path(request->old, "spec.replicas");
    const cJSON *after = json_get_path(request->object, "spec.replicas");
    if (!loss_owns(request->old, replicas) || json_equal(before, after)) {
        return RULE_NONE;
    }
    paths_add(&ret->fields, ".spec.replicas");
    return RULE_SCALE;
}

enum verdict_rule rules_judge(const struct request *request,
                              const struct verdict_settings *settings,
                              const struct application_set *applications, struct verdict *ret)
{
    if (strcmp(request->field_manager, GITMOOR_FIELD_MANAGER) == 0) {
        return RULE_FIELD_MANAGER;
    }
    bool controller = is_controller(request, settings);
    /* Of the subresources, those that can be updated carry the whole object, save for the scale.
     * What is created by one (eviction, binding, token, …) is of another kind, and changes nothing
     * that Git declares. */
    bool itself = *request->subresource == '\0';
    switch (request->operation) {
    case OPERATION_CREATE:
        return itself ? judge_create(request, controller) : RULE_NONE;
    case OPERATION_UPDATE:
        return strcmp(request->subresource, "scale") == 0 ? judge_scale(request, ret)
                                                          : judge_update(request, controller, ret);
    case OPERATION_DELETE:
        return itself ? judge_delete(request, applications, ret) : RULE_NONE;
    case OPERATION_CONNECT:
        break;
    }
    return RULE_NONE;
}
