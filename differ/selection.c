#include "differ/selection.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/drift.h"
#include "differ/fight.h"
#include "differ/permit.h"
#include "differ/wave.h"

static void note_new(struct selection *selection, const struct desired_object *object)
{
    if (text_equal(object->ref.kind, "Namespace") && !*object->ref.group) {
        map_set(&selection->new_namespaces, object->ref.name, (void *)"");
    }
    selection->new_roles |= text_equal(object->ref.group, "rbac.authorization.k8s.io") &&
                            text_has_suffix(object->ref.kind, "Role");
}

static void select_apply(struct selection *selection, struct desired_object *object,
                         const struct live_object *live, bool heals)
{
    /* A repair of changed fields takes them back by itself, and what was added besides is seen
     * afterwards: one request, as a rule. */
    bool owners =
        live && live->owners && (live->owners_first || drift_judge(object, live) == DRIFT_ADDED);
    selection->applies[selection->count] = object;
    selection->heals[selection->count] = heals;
    selection->owners[selection->count] = owners;
    selection->owner_count += owners;
    selection->count++;
    note_new(selection, object);
}

static bool may_repair(const struct application *application)
{
    return application->spec.self_heal && !application->spec.suspend && !application->frozen &&
           !break_glass_holds(application) && !waiting_holds_repairs(application);
}

/* A drifted object: repair it now, later, or not at all. */
static void select_drifted(struct application *application, struct selection *selection,
                           struct desired_object *object, const struct live_object *live)
{
    if (!may_repair(application) || object->denied || (live && live->deleting)) {
        application->counts.drifted++; /* what is being deleted is made anew once it is gone */
        return;
    }
    bool fought = object->repairs.fighting;
    int64_t wait = drift_note_repair(object, clock_monotonic_ms());
    if (wait == 0) {
        select_apply(selection, object, live, true);
        if (object->repairs.fighting && !fought) {
            fight_begin(application, object);
        }
        return;
    }
    application->counts.drifted++;
    application_wake_after(application, wait);
    selection->repairs_wait |= object->repairs.failures > 0;
}

/* Whether absence from `live` means anything: the kind must be watched and listed. */
static bool is_watched(const struct application *application, const struct desired_object *object)
{
    AUTO_FREE char *name = live_kind_name(object->ref.group, object->ref.kind);
    const struct live_kind *kind = live_kind_get(application->differ->live, name);
    return kind && kind->synced;
}

/* Something that this process has not applied, but a predecessor has: it is not what Git declares
 * because it has drifted, or only because the server writes it in another way. Where drift is not
 * to be repaired the server is asked which, by a dry-run. */
static bool is_asked_for(const struct application *application, const struct desired_object *object)
{
    AUTO_FREE char *name = live_kind_name(object->ref.group, object->ref.kind);
    const struct live_kind *kind = live_kind_get(application->differ->live, name);
    return !may_repair(application) && application->inherited &&
           text_equal(application->inherited, application->revision) && kind && kind->synced &&
           text_equal(kind->resource.version, object->ref.version);
}

static void select_later(const struct application *application, struct selection *selection,
                         struct desired_object *object)
{
    if (!selection->later) {
        selection->later = mem_new(application->desired->count, sizeof *selection->later);
    }
    selection->later[selection->later_count++] = object;
    note_new(selection, object);
}

static void select_new(struct application *application, struct selection *selection,
                       struct desired_object *object, const struct live_object *live)
{
    if (object->wave > application->wave) {
        select_later(application, selection, object);
    } else if (is_asked_for(application, object)) {
        if (!selection->asks) {
            selection->asks = mem_new(application->desired->count, sizeof *selection->asks);
        }
        selection->asks[selection->ask_count++] = object;
    } else {
        select_apply(selection, object, live, false);
    }
}

/* A predecessor had applied all of it, and it only stands in for a revision that is invalid: what
 * is not known to be in sync may have drifted, and is put back. */
static bool was_applied_before(const struct application *application)
{
    const struct rollback *rollback = application->rollback;
    return rollback && rollback->stands_in && application->inherited &&
           text_equal(application->inherited, application->revision);
}

static void select_one(struct application *application, bool repairs_only,
                       struct selection *selection, struct desired_object *object)
{
    const struct live_object *live = live_get(application->differ->live, object->key);
    if (drift_adopt(object, live)) {
        application->counts.in_sync++; /* as the applier was told */
        return;
    }
    if (live && live->owners_first && !live->owners) {
        selection->repairs_wait = true; /* for the watch to tell of its newest version */
        return;
    }
    switch (drift_judge(object, live)) {
    case DRIFT_NONE:
        application->counts.in_sync++;
        break;
    case DRIFT_NEW:
        if (repairs_only && was_applied_before(application)) {
            select_drifted(application, selection, object, live);
        } else if (!repairs_only && !application->spec.suspend) {
            select_new(application, selection, object, live);
        }
        break;
    case DRIFT_ADDED:
    case DRIFT_CHANGED:
        if (is_watched(application, object)) {
            select_drifted(application, selection, object, live);
        } else {
            application->counts.in_sync++; /* as the applier was told */
            selection->unwatched |= object->resource.watchable;
        }
        break;
    }
}

void selection_make(struct application *application, bool repairs_only, struct selection *ret)
{
    const struct desired_set *desired = application->desired;
    *ret = (struct selection){.set = desired};
    map_init(&ret->new_namespaces);
    ret->applies = mem_new(desired->count, sizeof(struct desired_object *));
    ret->heals = mem_new(desired->count, sizeof(bool));
    ret->owners = mem_new(desired->count, sizeof(bool));
    application->counts.desired = desired->count;
    application->counts.in_sync = application->counts.drifted = 0;
    application->wave = wave_under_way(application);
    for (size_t i = 0; i < desired->count; i++) {
        select_one(application, repairs_only, ret, &desired->objects[i]);
    }
    fight_look(application);
    problems_clear(&application->kept);
    if (!repairs_only && ret->later_count == 0) {
        selection_make_prune(application, &ret->prune);
    }
}

void selection_make_prune(struct application *application, struct prune_list *ret)
{
    if (application->spec.suspend) {
        return;
    }
    prune_select(application, ret);
    if (!application->spec.prune) {
        prune_keep_all(ret);
    }
    prune_leave_unclear(application, ret);
    permit_prune(application, ret);
}

void selection_make_waiting(const struct application *application, struct selection *ret)
{
    const struct desired_set *set = application->waiting->desired;
    *ret = (struct selection){.set = set, .revision = application->waiting->revision};
    map_init(&ret->new_namespaces);
    ret->applies = mem_new(set->count, sizeof(struct desired_object *));
    for (size_t i = 0; i < set->count; i++) {
        struct desired_object *object = &set->objects[i];
        const struct desired_object *former = desired_find(application->desired, object->key);
        if (!former || !digest_equal(&former->digest, &object->digest)) {
            ret->applies[ret->count++] = object;
            note_new(ret, object);
        }
    }
}

void selection_release(struct selection *selection)
{
    free(selection->applies);
    free(selection->heals);
    free(selection->owners);
    free(selection->asks);
    free(selection->later);
    prune_release(&selection->prune);
    prune_release(&selection->prune_later);
    map_release(&selection->new_namespaces, NULL);
}

bool selection_is_empty(const struct selection *selection)
{
    return selection->count == 0 && selection->ask_count == 0 && prune_is_empty(&selection->prune);
}

bool selection_only_heals(const struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        if (!selection->heals[i]) {
            return false;
        }
    }
    return selection->count > 0 && prune_is_empty(&selection->prune);
}
