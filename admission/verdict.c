#include "admission/verdict.h"

#include "admission/message.h"
#include "admission/rules.h"
#include "common/base/clock.h"
#include "common/base/text.h"

#include <string.h>

const char *const verdict_default_controllers[] = {
    "system:kube-controller-manager",
    "system:serviceaccount:kube-system:*",
    NULL,
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
    const char *reason = request_reason(request);
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
    ret->rule = rules_judge(request, settings, applications, ret);
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
