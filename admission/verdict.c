#include "admission/verdict.h"

#include "admission/message.h"
#include "common/base/clock.h"
#include "common/base/text.h"

#include <string.h>

const char *const verdict_default_controllers[] = {
    "system:kube-controller-manager",
    "system:serviceaccount:kube-system:*",
    NULL,
};

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

static const char *const rule_names[] = {
    [RULE_NONE] = "none",
    [RULE_FIELD_MANAGER] = "field-manager",
    [RULE_FIELDS] = "fields",
    [RULE_OWNER_REFERENCE] = "owner-reference",
    [RULE_CLAIM] = "claim",
    [RULE_SCALE] = "scale",
    [RULE_DELETE] = "delete",
    [RULE_NAMESPACE] = "namespace",
    [RULE_DEFINITION] = "definition",
    [RULE_REASON] = "reason",
};

const char *verdict_rule_name(enum verdict_rule rule)
{
    return rule_names[rule];
}

static const char *const outcome_names[] = {
    [VERDICT_ALLOW] = "allowed",
    [VERDICT_WARN] = "warned",
    [VERDICT_REFUSE] = "refused",
    [VERDICT_BREAK_GLASS] = "break-glass",
};

const char *verdict_outcome_name(enum verdict_outcome outcome)
{
    return outcome_names[outcome];
}

static bool is_applier(const struct request *request, const struct verdict_settings *settings)
{
    if (text_is_empty(settings->applier)) {
        return false;
    }
    return text_equal(request->user, settings->applier) ||
           request_has_extra(request, GITMOOR_APPLIER_EXTRA, settings->applier);
}

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

const char *verdict_reason(const struct request *request)
{
    return reason_on(request->operation == OPERATION_DELETE ? request->old : request->object);
}

/* A reason that somebody else has left would be taken for that of whoever breaks the glass next. It
 * may be removed by anybody. */
static bool writes_reason(const struct request *request)
{
    const char *reason = reason_on(request->object);
    return reason && !text_equal(reason, reason_on(request->old)) &&
           !request_user_in_group(request, GITMOOR_BREAK_GLASS_GROUP);
}

/* ---- The rules: each says which one is broken, or RULE_NONE ---- */

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
    return guarded && writes_reason(request) ? RULE_REASON : RULE_NONE;
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
    return writes_reason(request) ? RULE_REASON : RULE_NONE;
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

static enum verdict_rule judge(const struct request *request,
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

/* ---- What follows from a broken rule ---- */

/* Puts an application among the owners, first if it is stricter than those there. */
static void add_owner(struct verdict *verdict, const struct application *owner)
{
    size_t named =
        verdict->owner_count < VERDICT_OWNERS_NAMED ? verdict->owner_count : VERDICT_OWNERS_NAMED;
    for (size_t i = 0; i < named; i++) {
        if (verdict->owners[i] == owner) {
            return;
        }
    }
    if (named > 0 && owner->protection <= verdict->owners[0]->protection) {
        if (named < VERDICT_OWNERS_NAMED) {
            verdict->owners[named] = owner;
        }
    } else {
        size_t moved = named < VERDICT_OWNERS_NAMED ? named : VERDICT_OWNERS_NAMED - 1;
        memmove(verdict->owners + 1, verdict->owners, moved * sizeof *verdict->owners);
        verdict->owners[0] = owner;
    }
    verdict->owner_count++;
}

static bool is_any(const struct application *application, const char *name)
{
    (void)application, (void)name;
    return true;
}

/* A Scale has no label: its application is one of those that hold objects in its namespace; or, as
 * long as none is known to, any. */
static void find_scale_owners(const struct request *request,
                              const struct application_set *applications, struct verdict *ret)
{
    const char *namespace_ = request->namespace_;
    ret->owner_count = application_set_select(applications, application_holds, namespace_,
                                              ret->owners, VERDICT_OWNERS_NAMED);
    if (ret->owner_count == 0) {
        ret->owner_count =
            application_set_select(applications, is_any, NULL, ret->owners, VERDICT_OWNERS_NAMED);
    }
}

/* Nobody keeps the object as Git has it, and there is no Application whose spec could let go of it.
 * One that is new, and not known yet, has written it a moment ago. */
#define ABANDONED_AFTER_MS 60000

static bool is_abandoned(const struct request *request, const struct application_set *applications)
{
    int64_t last = loss_last_write(request->old);
    return applications->complete && last > 0 && clock_wall_ms() - last > ABANDONED_AFTER_MS;
}

/* Finds the applications concerned, and returns the strictest protection among them. One that is
 * not known is enforced. */
static enum protection find_owners(const struct request *request,
                                   const struct application_set *applications, struct verdict *ret)
{
    const char *label = object_label(request->old);
    if (!label) {
        label = object_label(request->object);
    }
    bool cascades = ret->rule == RULE_NAMESPACE || ret->rule == RULE_DEFINITION;
    if (cascades && !loss_is_ours(request->old)) {
        label = NULL; /* only its guests count */
    }
    if (strcmp(request->subresource, "scale") == 0) {
        find_scale_owners(request, applications, ret);
    }
    const struct application *owner = application_set_find(applications, label);
    if (owner) {
        add_owner(ret, owner);
    }
    /* A Scale does not say whose it is: with several candidates nobody is blamed. */
    bool sure = ret->owner_count == 1 || (ret->owner_count > 1 && cascades);
    ret->label = label ? label : sure ? ret->owners[0]->label : "";
    bool unknown = ret->owner_count == 0 || (label && !owner);
    ret->abandoned =
        label && !owner && ret->owner_count == 0 && is_abandoned(request, applications);
    if (ret->abandoned) {
        return PROTECTION_WARN;
    }
    return unknown ? PROTECTION_ENFORCE : ret->owners[0]->protection;
}

static const char *find_reason(const struct request *request,
                               const struct verdict_settings *settings)
{
    const char *reason = verdict_reason(request);
    if (!reason && settings->noted_reason && strcmp(request->subresource, "scale") == 0) {
        reason = settings->noted_reason(json_string_path(request->old, "metadata.uid"),
                                        settings->context);
    }
    return reason;
}

static enum verdict_outcome weigh(const struct request *request,
                                  const struct verdict_settings *settings,
                                  enum protection protection, struct verdict *ret)
{
    ret->break_glass = request_user_in_group(request, GITMOOR_BREAK_GLASS_GROUP);
    if (protection == PROTECTION_OFF) {
        return VERDICT_ALLOW;
    }
    /* Nobody needs our field manager to help in an emergency, and it would hide what was done. */
    if (ret->break_glass && ret->rule != RULE_FIELD_MANAGER) {
        ret->reason = find_reason(request, settings);
        if (ret->reason) {
            return VERDICT_BREAK_GLASS;
        }
    }
    return protection == PROTECTION_WARN ? VERDICT_WARN : VERDICT_REFUSE;
}

void verdict_decide(const struct request *request, const struct verdict_settings *settings,
                    const struct application_set *applications, struct arena *arena,
                    struct verdict *ret)
{
    *ret = (struct verdict){.outcome = VERDICT_ALLOW, .label = "", .fields = {.arena = arena}};
    if (request->operation == OPERATION_CONNECT || is_applier(request, settings)) {
        return;
    }
    ret->rule = judge(request, settings, applications, ret);
    if (ret->rule == RULE_NONE) {
        return;
    }
    enum protection protection = find_owners(request, applications, ret);
    ret->outcome = weigh(request, settings, protection, ret);
    message_describe(request, arena, ret);
    if (ret->outcome != VERDICT_ALLOW) {
        ret->message = message_compose(request, ret, arena);
    }
}
