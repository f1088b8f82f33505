/* Desired against live: what must be known first, what may be done, and what is done next.
 * reconcile_step looks at everything anew each time; nothing depends on the order in which events
 * came. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/adoption.h"
#include "differ/application.h"
#include "differ/approval.h"
#include "differ/claims.h"
#include "differ/depends.h"
#include "differ/dispatch.h"
#include "differ/hooks.h"
#include "differ/kinds.h"
#include "differ/permit.h"
#include "differ/recognise.h"
#include "differ/whole.h"

#include <string.h>

#define DISCOVERY_MINIMUM_MS 2000
#define DISCOVERY_MAXIMUM_MS 60000

/* ---- What must be known before planning ---- */

/* Whether the kind's live objects are known. A kind that is not served has none. */
static bool kind_is_known(struct application *application, const struct kube_resource *served)
{
    if (!served || !served->watchable || permit_is_left_out(application->differ, served)) {
        return true;
    }
    struct live_kind *kind = live_need(application->differ->live, served);
    if (kind->failing && !kube_discovery_find(application->differ->discovery, kind->resource.group,
                                              kind->resource.version, kind->resource.kind)) {
        live_move(kind, served); /* its version is served no more */
    }
    if (kind->synced) {
        return true;
    }
    if (kind->failing) {
        AUTO_FREE char *message = mem_format("the live objects of kind %s cannot be watched: %s",
                                             kind->resource.kind, kind->trouble);
        outcome_set(application, OUTCOME_WAITING, message);
    }
    return false;
}

static bool declared_kinds_are_known(struct application *application)
{
    const struct kube_discovery *discovery = application->differ->discovery;
    const struct object_ref *before = NULL;
    bool known = true;
    const struct desired_object *object;
    for (size_t i = 0; (object = desired_at(application->desired, i)); i++) {
        const struct object_ref *ref = &object->ref;
        if (before && text_equal(before->kind, ref->kind) &&
            text_equal(before->group, ref->group)) {
            continue; /* sorted by kind */
        }
        before = ref;
        known &= kind_is_known(application,
                               kube_discovery_find(discovery, ref->group, ref->version, ref->kind));
    }
    return known;
}

/* The kinds applied by earlier revisions: their objects may have to be pruned. */
bool reconcile_knows_former_kinds(struct application *application)
{
    const struct kube_discovery *discovery = application->differ->discovery;
    bool known = true;
    for (const cJSON *item = json_first(json_array(packed_tree(application->status), "kinds"));
         item; item = item->next) {
        const char *name = cJSON_IsString(item) ? item->valuestring : "";
        const char *dot = strchr(name, '.');
        if (!dot) {
            continue;
        }
        AUTO_FREE char *kind = mem_string_n(name, (size_t)(dot - name));
        known &= kind_is_known(application, kube_discovery_find(discovery, dot + 1, NULL, kind));
    }
    return known;
}

/* Something may be served by now that was not when discovery was read: asks for it again, and the
 * longer the more often it was in vain. */
static void want_discovery(struct application *application)
{
    int64_t now = clock_monotonic_ms();
    if (now >= application->discovery_at) {
        unsigned tries = application->discovery_tries < 5 ? application->discovery_tries : 5;
        int64_t wait = DISCOVERY_MINIMUM_MS << tries;
        application->discovery_tries++;
        application->discovery_at =
            now + (wait < DISCOVERY_MAXIMUM_MS ? wait : DISCOVERY_MAXIMUM_MS);
        kinds_reload(application->differ);
    }
    application_wake_after(application, application->discovery_at - now);
}

/* ---- The step ---- */

static void settle(struct application *application)
{
    if (application->spec.suspend && application->counts.in_sync < application->counts.desired) {
        return;
    }
    application->settled = true;
    application->failures = 0;
    application->begun = true;
    approval_end(application);
    adoption_forget(application);
    if (application->outcome != OUTCOME_APPLIED) {
        problems_clear(&application->problems);
        outcome_set(application, OUTCOME_APPLIED, NULL);
    }
}

/* Claims what is declared; whatever another application holds is a problem of this one, unless it
 * is about to tell whether it gives that up. */
static bool claim_all(struct application *application)
{
    struct problems found;
    problems_init(&found);
    const struct application *awaited = claims_take(application, &found);
    application->conflicted = found.total > 0 || awaited;
    if (found.total > 0) {
        problems_release(&application->problems);
        application->problems = found; /* with what it owns */
        outcome_set_from_problems(application, OUTCOME_INVALID, &application->problems);
    } else if (awaited) {
        AUTO_FREE char *message =
            mem_format("waiting for application %s to be rendered: it holds what %s declares here",
                       awaited->key, application->revision);
        whole_wait(application, message);
    }
    return !application->conflicted;
}

static bool goes_round(struct application *application)
{
    AUTO_BUF struct buf path;
    buf_init(&path, 8192);
    if (!depends_go_round(application, &path)) {
        return false;
    }
    AUTO_FREE char *message = mem_format(
        "spec.dependsOn goes round, so that none could ever be ready: %s. Take one of them out",
        path.data);
    outcome_set(application, OUTCOME_INVALID, message);
    return true;
}

/* Whether the revision may be applied; if not, only repairs are made. */
static bool may_apply(struct application *application)
{
    if (application->spec.windows.error) {
        outcome_set(application, OUTCOME_INVALID, application->spec.windows.error);
        return false;
    }
    if (application->denied.total > 0) {
        outcome_set_from_problems(application, OUTCOME_DENIED, &application->denied);
        return false;
    }
    if (application->spec.error) {
        outcome_set(application, OUTCOME_INVALID, application->spec.error);
        return false;
    }
    if (application->render_problems.total > 0) {
        outcome_set_from_problems(application, OUTCOME_INVALID, &application->render_problems);
        if (application->unknown_kinds.count > 0) {
            want_discovery(application);
        }
        return false;
    }
    return application->rendered && !goes_round(application) && claim_all(application) &&
           clock_monotonic_ms() >= application->retry_at;
}

/* Who should own which field is judged as a live object is told of. Where the fields that are to be
 * left alone have changed since, the kind is listed again first: nothing of it may be applied
 * before what we own of them is given up. False: it is. */
static bool owners_are_known(const struct application *application)
{
    const struct desired_set *desired = application->desired;
    bool known = true;
    for (size_t i = 0; i < desired->count; i++) {
        const struct desired_object *object = &desired->objects[i];
        const struct live_object *live =
            object->left_anew ? live_get(application->differ->live, object->key) : NULL;
        if (live && live->told <= desired->built && live->kind->listed <= desired->built) {
            live_list_again(live->kind);
            known = false;
        }
    }
    return known;
}

static bool is_known(struct application *application)
{
    bool declared = declared_kinds_are_known(application);
    return reconcile_knows_former_kinds(application) && declared && recognise_step(application) &&
           owners_are_known(application);
}

/* Whether what seems dangerous only seems so until all of the commit has been rendered. */
static bool is_too_early(struct application *application)
{
    const struct application *awaited = whole_awaited(application);
    if (awaited) {
        AUTO_FREE char *message =
            mem_format("waiting for application %s to be rendered: until then %s would delete so "
                       "much that it would be held",
                       awaited->key, application->revision);
        whole_wait(application, message);
    }
    return awaited;
}

/* Holds the revision if deleting these needs the word of a person. */
static bool hold_dangerous(struct application *application, const struct prune_list *prune)
{
    AUTO_BUF struct buf reason;
    buf_init(&reason, 8192);
    struct problems found;
    problems_init(&found);
    if (!approval_is_lacking(application, prune, &reason, &found)) {
        problems_release(&found);
        return false;
    }
    if (is_too_early(application)) {
        problems_release(&found);
        return true;
    }
    problems_release(&application->problems);
    application->problems = found;
    bool earlier = application->rollback && !application->rollback->stands_in;
    AUTO_FREE char *message =
        mem_format("%s: held. If that is meant, `gitmoor approve %s -n %s`, which annotates the "
                   "Application with " GITMOOR_APPROVED_ANNOTATION "=\"%s %s\"; otherwise %s",
                   reason.data, application->name, application->namespace_, application->revision,
                   application->approvals[APPROVAL_TO_DELETE]->list,
                   earlier ? "mend it with a newer commit, or `gitmoor rollback --cancel`"
                           : "revert the commit");
    outcome_set(application, OUTCOME_HELD, message);
    return true;
}

/* A commit that would delete everything, or every Namespace, waits for a word of a person: the
 * whole of it, so what its last wave deletes counts before the first. */
static bool is_held(struct application *application, const struct selection *selection)
{
    struct prune_list list = {0};
    const struct prune_list *prune = &selection->prune;
    if (selection->later_count > 0) {
        selection_make_prune(application, &list);
        prune = &list;
    }
    bool held = hold_dangerous(application, prune);
    prune_release(&list);
    return held;
}

static bool is_blocked(struct application *application, const struct selection *selection)
{
    AUTO_BUF struct buf reason;
    buf_init(&reason, 8192);
    bool writes = !selection_is_empty(selection) && !selection_only_heals(selection);
    bool earlier = application->rollback != NULL; /* it was in force when they were ready */
    if (earlier || (!writes && !hooks_are_due(application)) ||
        depends_are_ready(application, &reason)) {
        return false;
    }
    outcome_set(application, OUTCOME_BLOCKED, reason.data);
    return true;
}

static void wait_for_wave(struct application *application, const struct selection *selection)
{
    AUTO_FREE char *message =
        mem_format("wave %d of %s is applied; %zu objects of later waves wait until it is healthy",
                   application->wave, application->revision, selection->later_count);
    outcome_set(application, OUTCOME_WAVE, message);
}

static bool may_have_moved(const struct application *application)
{
    AUTO_BUF struct buf why;
    buf_init(&why, 8192);
    return whole_awaited(application) || whole_doubts(application, &why);
}

/* What leaves the application may have moved to one that has not been rendered yet. */
static void put_prune_off(const struct application *application, struct selection *selection)
{
    if (!prune_is_empty(&selection->prune) && may_have_moved(application)) {
        selection->prune_later_count = selection->prune.count + selection->prune.kept_count;
        selection->prune_later = selection->prune;
        selection->prune = (struct prune_list){0};
    }
}

static void note_swept(struct application *application, const struct selection *selection)
{
    if (!application->spec.suspend && selection->later_count == 0 &&
        prune_is_empty(&selection->prune)) {
        whole_note_swept(application);
    }
}

/* What a person has to decide. */
static void hold_prune(struct application *application, const struct selection *selection,
                       const char *why)
{
    problems_clear(&application->problems);
    prune_tell(&selection->prune_later, &application->problems, "is not deleted yet");
    AUTO_FREE char *message = mem_format(
        "%s is applied, but %zu objects that it declares no more are not deleted: %s, and may "
        "declare them. Mend that; or, if they are to go, `gitmoor approve %s -n %s`, which "
        "annotates the Application with gitmoor.io/approved-revision=%s",
        application->revision, selection->prune_later_count, why, application->name,
        application->namespace_, application->revision);
    application->awaits = true;
    outcome_set(application, OUTCOME_HELD, message);
}

static void wait_to_prune(struct application *application, const struct selection *selection)
{
    const struct application *awaited = whole_awaited(application);
    AUTO_BUF struct buf why;
    buf_init(&why, 8192);
    if (!awaited && whole_doubts(application, &why)) {
        hold_prune(application, selection, why.data);
        return;
    }
    AUTO_FREE char *message = mem_format(
        "%s is applied; %zu objects that it declares no more are deleted once application %s has "
        "been rendered, unless that declares them",
        application->revision, selection->prune_later_count, awaited ? awaited->key : "");
    whole_wait(application, message);
}

static void do_or_settle(struct application *application, bool repairs_only,
                         const struct selection *selection)
{
    if (selection_is_empty(selection)) {
        if (selection->later_count > 0) {
            wait_for_wave(application, selection);
        } else if (selection->prune_later_count > 0) {
            wait_to_prune(application, selection);
        } else if (!repairs_only && !selection->repairs_wait) {
            settle(application);
        }
        return;
    }
    bool checked = text_equal(application->checked, application->revision);
    if (selection->later_count > 0 && application->spec.preflight && !checked) {
        dispatch_check(application, selection);
        return;
    }
    if (selection->ask_count > 0) {
        application->settled = false;
        dispatch_question(application, selection);
        return;
    }
    bool heal = selection_only_heals(selection);
    if (heal || status_save_inventory(application)) {
        application->settled = false;
        if (application->outcome == OUTCOME_BLOCKED || application->outcome == OUTCOME_WAVE ||
            application->outcome == OUTCOME_ADOPTION || application->outcome == OUTCOME_WINDOW ||
            application->outcome == OUTCOME_HOOK || application->outcome == OUTCOME_RENDERING ||
            application->outcome == OUTCOME_HELD) {
            outcome_set(application, OUTCOME_NONE, NULL);
        }
        dispatch_plan(application, selection, heal);
    }
}

static void act(struct application *application)
{
    application->awaits = false;
    bool repairs_only = !may_apply(application);
    struct selection selection;
    selection_make(application, repairs_only, &selection);
    bool writes = !selection_is_empty(&selection) && !selection_only_heals(&selection);
    if (!repairs_only && (writes || hooks_are_due(application)) && waiting_take_back(application)) {
        selection_release(&selection);
        return;
    }
    if (!repairs_only &&
        (is_held(application, &selection) || adoption_holds(application, &selection) ||
         is_blocked(application, &selection) || !hooks_let_apply(application, &selection))) {
        repairs_only = true;
        selection_release(&selection);
        if (application->plan || application->saving) {
            return; /* of a hook */
        }
        selection_make(application, repairs_only, &selection);
    }
    if (!repairs_only) {
        note_swept(application, &selection);
    }
    put_prune_off(application, &selection);
    if (selection.unwatched) {
        want_discovery(application);
    } else if (application->unknown_kinds.count == 0) {
        application->discovery_at = 0;
        application->discovery_tries = 0;
    }
    do_or_settle(application, repairs_only, &selection);
    selection_release(&selection);
}

/* ---- While a revision waits for a sync window ---- */

/* What is in force is kept as it is. False: something is under way for that. */
static bool keep_in_force(struct application *application)
{
    struct selection selection;
    if (!application->desired) {
        return true;
    }
    if (!is_known(application)) {
        return false;
    }
    selection_make(application, true, &selection);
    do_or_settle(application, true, &selection);
    application->settled = selection_is_empty(&selection) && !selection.repairs_wait;
    selection_release(&selection);
    return !application->plan;
}

/* True: the server has accepted it in a dry-run, as far as it can. */
static bool is_checked(struct application *application)
{
    const char *revision = application->waiting->revision;
    if (!application->spec.preflight || text_equal(application->checked, revision)) {
        return true;
    }
    if (application->spec.suspend || clock_monotonic_ms() < application->retry_at) {
        return false;
    }
    struct selection selection;
    selection_make_waiting(application, &selection);
    bool nothing = selection.count == 0; /* it only deletes */
    if (!nothing) {
        dispatch_check(application, &selection);
    }
    selection_release(&selection);
    return nothing;
}

static void keep_waiting(struct application *application)
{
    if (!application->waiting->counted || !keep_in_force(application) || !is_checked(application)) {
        return;
    }
    if (application->spec.windows.error) {
        outcome_set(application, OUTCOME_INVALID, application->spec.windows.error);
    } else if (!application->repair_failed) {
        if (application->outcome != OUTCOME_WINDOW) {
            problems_clear(&application->problems);
        }
        AUTO_FREE char *message = waiting_describe(application);
        outcome_set(application, OUTCOME_WINDOW, message);
    }
}

void reconcile_step(struct application *application)
{
    const struct differ *differ = application->differ;
    if (application->plan) {
        dispatch_look_after(application);
    } else if (application->saving || !differ->started || !members_may_work(differ->members) ||
               !members_owner(differ->members, "applier", application->label)) {
        return;
    } else if (deletion_step(application)) {
        return;
    } else if (application->waiting) {
        keep_waiting(application);
    } else if (!application->desired) {
        if (application->render_problems.total > 0 || application->denied.total > 0 ||
            application->spec.error) {
            may_apply(application); /* it may not, and says why */
        }
    } else if (is_known(application)) {
        act(application);
    }
}
