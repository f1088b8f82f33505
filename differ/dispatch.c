#include "differ/dispatch.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/metrics.h"

#include <limits.h>

#define NO_REVISION "none" /* of a plan that only deletes, or writes a finalizer */
#define RESEND_MS 60000    /* DESIGN §2: an exchange each minute heals whatever was lost */

static struct metric plans = {
    .name = "gitmoor_differ_plans_total",
    .help = "Plans sent, by kind: apply, heal, hooks, or question (a dry-run that settles what "
            "drifted).",
    .type = METRIC_COUNTER,
    .label = "kind",
};

static struct metric dry_runs = {
    .name = "gitmoor_differ_drift_dry_runs_total",
    .help = "Objects that a dry-run was asked for, to tell drift from another way of writing.",
    .type = METRIC_COUNTER,
};

/* ---- Its operations ---- */

static bool is_binding(const struct object_ref *ref)
{
    return text_equal(ref->group, "rbac.authorization.k8s.io") &&
           text_has_suffix(ref->kind, "Binding");
}

/* Owners are written before anything is applied. */
#define OWNERS_STAGE 0
#define FIRST_STAGE 1
/* What stays is given up before anything is deleted: first the Namespaces, which what is in them
 * has kept from being deleted. */
#define GIVE_UP_STAGE (FIRST_STAGE + ORDER_STAGES * 2)
#define DELETE_STAGE (GIVE_UP_STAGE + ORDER_STAGES)
#define LAST_STAGE (DELETE_STAGE + ORDER_STAGES)

/* Two stages of the plan for each of order.h's: bindings after the roles they refer to, or the
 * server's escalation check refuses them (kustomize-controller 1.8.0). */
static unsigned plan_stage(const struct object_ref *ref)
{
    return FIRST_STAGE + order_stage_of(ref) * 2 + is_binding(ref);
}

#define BY_KIND UINT_MAX

static unsigned delete_stage(const struct object_ref *ref)
{
    return DELETE_STAGE + (ORDER_STAGES - 1 - order_stage_of(ref));
}

/* The stage whose writes its dry-run needs, or -1. */
static int depends_on(const struct application *application, const struct selection *selection,
                      const struct desired_object *object)
{
    unsigned stage = plan_stage(&object->ref);
    if (is_binding(&object->ref) && selection->new_roles) {
        return (int)stage - 1;
    }
    bool served = kube_discovery_find(application->differ->discovery, object->ref.group,
                                      object->ref.version, object->ref.kind);
    if (!served || map_has(&selection->new_namespaces, object->ref.namespace_)) {
        return stage > FIRST_STAGE ? FIRST_STAGE : -1;
    }
    return object->moves_entries ? OWNERS_STAGE : -1;
}

static struct plan_item *add_item(struct plan_under_way *way, const struct object_ref *ref)
{
    struct arena *arena = &way->arena;
    struct plan_item *item = &way->items[way->count++];
    item->ref = (struct object_ref){
        .group = arena_string(arena, ref->group),
        .version = arena_string(arena, ref->version),
        .kind = arena_string(arena, ref->kind),
        .namespace_ = arena_string(arena, ref->namespace_),
        .name = arena_string(arena, ref->name),
    };
    item->key = object_ref_key(&item->ref, arena);
    return item;
}

static void add_owners(const struct application *application, const struct selection *selection,
                       struct plan *plan, struct plan_under_way *way)
{
    for (size_t i = 0; selection->owner_count > 0 && i < selection->count; i++) {
        if (selection->owners[i]) {
            const struct desired_object *object = selection->applies[i];
            const struct live_object *live = live_get(application->differ->live, object->key);
            plan_owners(plan, OWNERS_STAGE, &object->resource, object->ref.namespace_,
                        object->ref.name, live->version, live->owners);
            struct plan_item *item = add_item(way, &object->ref);
            item->owners = true;
            item->version = live->version;
            item->file = arena_string(&way->arena, object->file);
            item->line = object->line;
        }
    }
}

static struct plan_item *add_apply_item(struct plan_under_way *way,
                                        const struct desired_object *object)
{
    struct plan_item *item = add_item(way, &object->ref);
    item->digest = object->digest;
    item->keeps = object->keeps;
    item->file = arena_string(&way->arena, object->file);
    item->line = object->line;
    return item;
}

/* Applied, or made anew if the server has refused to change it and it is still there. */
static struct plan_item *add_object(const struct application *application, struct plan *plan,
                                    struct plan_under_way *way, unsigned stage, int after,
                                    const struct desired_object *object)
{
    const struct live_object *live = live_get(application->differ->live, object->key);
    struct plan_item *item = add_apply_item(way, object);
    item->recreates = object->recreate && live;
    if (item->recreates) {
        plan_recreate(plan, stage, after, object, live->uid);
    } else {
        plan_apply(plan, stage, after, object);
    }
    return item;
}

static void add_applies_of_stage(struct application *application, const struct selection *selection,
                                 unsigned stage, struct plan *plan, struct plan_under_way *way)
{
    for (size_t i = 0; i < selection->count; i++) {
        const struct desired_object *object = selection->applies[i];
        if (plan_stage(&object->ref) != stage) {
            continue;
        }
        struct plan_item *item = add_object(application, plan, way, stage,
                                            depends_on(application, selection, object), object);
        item->heals = selection->heals[i];
        const struct live_object *live = live_get(application->differ->live, object->key);
        item->version = live ? live->version : 0;
    }
}

/* By stages, as a plan must be: in order_compare's order, which the selection has, a RoleBinding
 * stands before a Service, whose stage is the one before. */
static void add_applies(struct application *application, const struct selection *selection,
                        struct plan *plan, struct plan_under_way *way)
{
    for (unsigned stage = FIRST_STAGE; stage < FIRST_STAGE + ORDER_STAGES * 2; stage++) {
        add_applies_of_stage(application, selection, stage, plan, way);
    }
}

static struct object_ref ref_of(const struct live_object *live)
{
    const struct kube_resource *resource = &live->kind->resource;
    return (struct object_ref){
        .group = resource->group,
        .version = resource->version,
        .kind = resource->kind,
        .namespace_ = live->namespace_,
        .name = live->name,
    };
}

static void add_deletion(const struct live_object *live, unsigned stage, bool after_its_own,
                         struct plan *plan, struct plan_under_way *way)
{
    const struct kube_resource *resource = &live->kind->resource;
    const struct object_ref ref = ref_of(live);
    stage = stage == BY_KIND ? delete_stage(&ref) : stage;
    if (after_its_own) {
        plan_delete_after_its_own(plan, stage, resource, live->namespace_, live->name, live->uid);
    } else {
        plan_delete(plan, stage, resource, live->namespace_, live->name, live->uid);
    }
    add_item(way, &ref)->uid = arena_string(&way->arena, live->uid);
}

static void add_finalizer(const struct application *application, const struct selection *selection,
                          struct plan *plan, struct plan_under_way *way)
{
    if (selection->finalizer != FINALIZER_LEAVE) {
        bool adds = selection->finalizer == FINALIZER_ADD;
        plan_finalizer(plan, LAST_STAGE, adds);
        const struct object_ref ref = {.group = GITMOOR_GROUP,
                                       .version = "v1alpha1",
                                       .kind = "Application",
                                       .namespace_ = application->namespace_,
                                       .name = application->name};
        struct plan_item *item = add_item(way, &ref);
        item->finalizer = true;
        item->adds = adds;
    }
}

static void add_given_up(const struct selection *selection, struct plan *plan,
                         struct plan_under_way *way)
{
    for (size_t i = 0; i < selection->prune.kept_count; i++) {
        const struct live_object *live = selection->prune.kept[i];
        const struct object_ref ref = ref_of(live);
        plan_give_up(plan, GIVE_UP_STAGE + order_stage_of(&ref), &live->kind->resource,
                     live->namespace_, live->name, live->uid);
        struct plan_item *item = add_item(way, &ref);
        item->uid = arena_string(&way->arena, live->uid);
        item->gives_up = true;
    }
}

static void add_deletes(const struct selection *selection, struct plan *plan,
                        struct plan_under_way *way)
{
    for (size_t i = 0; i < selection->prune.count; i++) {
        add_deletion(selection->prune.objects[i], BY_KIND, false, plan, way);
    }
}

/* ---- Hooks ---- */

#define CHECKED_NAME_MAXIMUM 50 /* of 63; with a suffix of 9 */

/* The hook as it is sent: for this run, or (NULL) to be checked. One that is there from an earlier
 * run is checked under another name, since it cannot become the new one. */
static void copy_hook(const struct application *application, const struct desired_hook *hook,
                      const char *run, struct arena *arena, struct desired_object *ret)
{
    const struct live_object *live = live_get(application->differ->live, hook->object.key);
    bool is_replaced = hook->ends || hook->spec.deletes & HOOK_DELETE_BEFORE;
    AUTO_JSON cJSON *tree = NULL;
    *ret = hook->object;
    json_parse(ret->text, ret->size, NULL, &tree, NULL); /* as desired_build wrote it */
    cJSON *metadata = json_object(tree, "metadata");
    if (run) {
        json_set(json_ensure_object(metadata, "annotations"), HOOK_RUN_ANNOTATION,
                 json_new_string(run));
    } else if (live && is_replaced) {
        char hex[DIGEST_HEX_SIZE];
        digest_to_hex(&hook->object.digest, hex);
        ret->ref.name =
            arena_format(arena, "%.*s-%.8s", CHECKED_NAME_MAXIMUM, hook->object.ref.name, hex);
        json_set(metadata, "name", json_new_string(ret->ref.name));
    }
    AUTO_BUF struct buf text;
    buf_init(&text, json_default_limits.bytes);
    json_write(tree, &text);
    ret->text = arena_string_n(arena, text.data, text.size);
    ret->size = text.size;
}

/* The Namespace of the same commit that the hook is to be created in, and that is not there yet. */
static const struct desired_object *new_namespace(const struct application *application,
                                                  const struct desired_hook *hook)
{
    AUTO_FREE char *key = mem_format("/Namespace//%s", hook->object.ref.namespace_);
    const struct desired_object *object = desired_find(application->desired, key);
    return object && !live_get(application->differ->live, object->key) ? object : NULL;
}

static void add_namespaces(const struct application *application, const struct hook_work *work,
                           struct plan *plan, struct plan_under_way *way)
{
    for (size_t i = 0; i < work->apply_count; i++) {
        const struct desired_object *object = new_namespace(application, work->applies[i]);
        bool is_first = object != NULL;
        for (size_t j = 0; j < i && is_first; j++) {
            is_first = new_namespace(application, work->applies[j]) != object;
        }
        if (is_first) {
            plan_apply(plan, FIRST_STAGE, -1, object);
            add_apply_item(way, object);
        }
    }
}

static void add_hooks(const struct application *application, const struct hook_work *work,
                      struct plan *plan, struct plan_under_way *way)
{
    add_namespaces(application, work, plan, way);
    for (unsigned stage = FIRST_STAGE; stage < FIRST_STAGE + ORDER_STAGES * 2; stage++) {
        for (size_t i = 0; i < work->apply_count; i++) {
            if (plan_stage(&work->applies[i]->object.ref) == stage) {
                struct desired_object copy;
                bool is_placed = !new_namespace(application, work->applies[i]);
                copy_hook(application, work->applies[i], work->run, &way->arena, &copy);
                plan_apply(plan, stage, is_placed ? -1 : FIRST_STAGE, &copy);
                add_apply_item(way, &copy)->run = arena_string(&way->arena, work->run);
            }
        }
    }
}

/* What belongs to one goes first: else the Pods of a Job might still run when the next begins. */
static void delete_hooks(const struct hook_work *work, struct plan *plan,
                         struct plan_under_way *way)
{
    for (size_t i = 0; i < work->delete_count; i++) {
        add_deletion(work->deletes[i], OWNERS_STAGE, true, plan, way);
    }
}

/* ---- Sending ---- */

static void way_free(struct plan_under_way *way)
{
    arena_release(&way->arena);
    free(way->id);
    free(way->text);
    free(way->items);
    free(way->revision);
    free(way);
}

static bool send_hint(struct application *application)
{
    struct plan_under_way *way = application->plan;
    if (!way->applier) {
        way->applier = members_owner(application->differ->members, "applier", application->label);
    }
    if (!way->applier) {
        return false; /* none lives: resend_at comes */
    }
    AUTO_JSON cJSON *body = json_new_object();
    json_add_string(body, "id", way->id);
    json_add_string(body, "application", application->key);
    if (way->text) {
        json_add_string(body, "text", way->text);
    } else {
        char hex[DIGEST_HEX_SIZE];
        digest_to_hex(&way->blob, hex);
        json_add_string(body, "digest", hex);
        json_add_int(body, "size", (int64_t)way->blob_size);
    }
    AUTO_BUF struct buf text;
    buf_init(&text, BUS_HINT_MAXIMUM);
    if (!json_write(body, &text)) {
        return false;
    }
    way->hint = bus_send(way->applier, "plan", text.data, text.size, NULL);
    return way->hint != 0;
}

/* Small plans stand in the hint; what does not fit is a blob. */
static bool send_plan(struct application *application, const struct plan *plan, struct error *error)
{
    struct plan_under_way *way = application->plan;
    if (plan->text.overflowed) {
        return error_set(error, ERROR_LIMIT,
                         "the plan is larger than %zu bytes: split the "
                         "application",
                         PLAN_MAXIMUM);
    }
    if (plan->text.size <= BUS_HINT_MAXIMUM * 3 / 4) {
        way->text = mem_string_n(plan->text.data, plan->text.size);
        if (send_hint(application)) {
            return true;
        }
        free(way->text);
        way->text = NULL;
    }
    way->blob_size = plan->text.size;
    if (!bus_blob_put(application->differ->bus, plan->text.data, plan->text.size, true, &way->blob,
                      error)) {
        return false;
    }
    return send_hint(application) ||
           error_set(error, ERROR_UNAVAILABLE, "too much waits for the applier already");
}

static struct plan_under_way *way_new_for(struct application *application, size_t operations,
                                          const char *revision, bool heal)
{
    struct differ *differ = application->differ;
    struct plan_under_way *way = NEW(struct plan_under_way);
    arena_init(&way->arena);
    way->id = mem_format("%s-%lld-%llu", process_instance(differ->process),
                         (long long)clock_wall_ms(), (unsigned long long)++differ->plans);
    way->items = mem_new(operations, sizeof *way->items);
    way->revision = mem_string(revision);
    way->heal = heal;
    way->started = clock_monotonic_ms();
    way->resend_at = way->started + RESEND_MS;
    return way;
}

static struct plan_under_way *way_new(struct application *application,
                                      const struct selection *selection, bool heal)
{
    const char *revision = selection->revision ? selection->revision : application->revision;
    size_t hooks = selection->set ? selection->set->hook_count : 0;
    struct plan_under_way *way = way_new_for(
        application,
        selection->owner_count + selection->count + selection->ask_count + selection->later_count +
            selection->prune.count + selection->prune.kept_count + hooks + 1,
        revision ? revision : NO_REVISION, heal);
    way->standing = selection->standing || selection->finalizer != FINALIZER_LEAVE;
    return way;
}

static const char *kind_of(const struct plan_under_way *way)
{
    return way->dry_run ? "question" : way->heal ? "heal" : way->hooks ? "hooks" : "apply";
}

static void begin(const struct application *application, const struct plan_under_way *way,
                  struct plan *plan)
{
    const struct plan_head head = {
        .id = way->id,
        .namespace_ = application->namespace_,
        .name = application->name,
        .uid = application->uid,
        .revision = way->revision,
        .dry_run = way->dry_run,
        .preflight = application->spec.preflight && !way->heal && !way->dry_run && !way->hooks &&
                     !way->standing,
        .heal = way->heal,
    };
    plan_begin(plan, &head);
}

/* Sends the plan of `way` and releases it. */
static void finish(struct application *application, struct plan_under_way *way, struct plan *plan)
{
    application->plan = way;
    struct error error;
    if (!send_plan(application, plan, &error)) {
        dispatch_forget(application);
        outcome_set(application, OUTCOME_FAILED, error.message);
        outcome_back_off(application);
    } else {
        metric_add(&plans, kind_of(way), 1);
        application_wake_after(application, RESEND_MS);
    }
    plan_release(plan);
}

void dispatch_plan(struct application *application, const struct selection *selection, bool heal)
{
    struct plan_under_way *way = way_new(application, selection, heal);
    struct plan plan;
    begin(application, way, &plan);
    add_owners(application, selection, &plan, way);
    add_applies(application, selection, &plan, way);
    add_given_up(selection, &plan, way);
    add_deletes(selection, &plan, way);
    add_finalizer(application, selection, &plan, way);
    finish(application, way, &plan);
}

void dispatch_question(struct application *application, const struct selection *selection)
{
    struct plan_under_way *way = way_new(application, selection, false);
    struct plan plan;
    way->dry_run = true;
    begin(application, way, &plan);
    for (size_t i = 0; i < selection->ask_count; i++) {
        plan_apply(&plan, 0, -1, selection->asks[i]);
        add_apply_item(way, selection->asks[i]);
    }
    metric_add(&dry_runs, NULL, (double)selection->ask_count);
    finish(application, way, &plan);
}

static void add_check(struct application *application, const struct selection *selection,
                      struct desired_object *const *objects, size_t count, struct plan *plan,
                      struct plan_under_way *way)
{
    for (size_t i = 0; i < count; i++) {
        /* What needs a Namespace, a kind or a role of the same commit is checked once it is there.
         */
        if (depends_on(application, selection, objects[i]) < 0) {
            add_object(application, plan, way, 0, -1, objects[i]);
        }
    }
}

/* Hooks of this revision that have been run already are checked too: nothing is lost by it. */
static void check_hooks(const struct application *application, const struct selection *selection,
                        struct plan *plan, struct plan_under_way *way)
{
    bool is_earlier = application->rollback && !selection->revision; /* which runs no hooks */
    for (size_t i = 0; i < selection->set->hook_count && !is_earlier; i++) {
        const struct desired_hook *hook = &selection->set->hooks[i];
        if (depends_on(application, selection, &hook->object) >= 0) {
            continue;
        }
        struct desired_object copy;
        copy_hook(application, hook, NULL, &way->arena, &copy);
        plan_apply(plan, 0, -1, &copy);
        add_apply_item(way, &hook->object)->run = "";
    }
}

void dispatch_check(struct application *application, const struct selection *selection)
{
    struct plan_under_way *way = way_new(application, selection, false);
    struct plan plan;
    way->dry_run = way->checks = true;
    begin(application, way, &plan);
    add_check(application, selection, selection->applies, selection->count, &plan, way);
    add_check(application, selection, selection->later, selection->later_count, &plan, way);
    check_hooks(application, selection, &plan, way);
    finish(application, way, &plan);
}

void dispatch_hooks(struct application *application, const struct hook_work *work)
{
    struct plan_under_way *way = way_new_for(
        application, work->apply_count * 2 + work->delete_count, application->revision, false);
    struct plan plan;
    way->hooks = true;
    way->last_resort = work->is_last_resort;
    begin(application, way, &plan);
    delete_hooks(work, &plan, way);
    add_hooks(application, work, &plan, way);
    finish(application, way, &plan);
}

/* ---- Until its result is there ---- */

static void unsend(struct plan_under_way *way)
{
    if (way->applier) {
        bus_unsend(way->applier, way->hint);
    }
}

static void resend(struct application *application)
{
    unsend(application->plan);
    send_hint(application);
}

static void send_cancel(struct application *application)
{
    struct bus_peer *applier = application->plan->applier;
    AUTO_JSON cJSON *body = json_new_object();
    json_add_string(body, "id", application->plan->id);
    AUTO_BUF struct buf text;
    buf_init(&text, BUS_HINT_MAXIMUM);
    json_write(body, &text);
    if (applier) {
        bus_send(applier, "cancel", text.data, text.size, NULL);
    }
}

void dispatch_look_after(struct application *application)
{
    struct plan_under_way *way = application->plan;
    int64_t now = clock_monotonic_ms();
    if (now >= way->resend_at) {
        way->resend_at = now + RESEND_MS;
        resend(application);
    }
    application_wake_after(application, way->resend_at - now);
    bool of_waiting = way->checks && application->waiting;
    const char *revision = of_waiting ? application->waiting->revision : application->revision;
    bool wanted =
        way->standing || (text_equal(way->revision, revision) && !application->spec.suspend);
    if (!wanted && !way->cancelled) {
        way->cancelled = true;
        send_cancel(application);
    }
}

void dispatch_applier_restarted(struct application *application)
{
    if (application->plan && application->plan->cancelled) {
        dispatch_forget(application); /* it would begin anew with what nobody wants any more */
        application_wake(application);
    } else if (application->plan) {
        resend(application);
    }
}

void dispatch_peer_gone(struct application *application, const struct bus_peer *peer)
{
    struct plan_under_way *way = application->plan;
    if (way && way->applier == peer) {
        way->applier = NULL;
        dispatch_applier_restarted(application);
    }
}

void dispatch_cancel(struct application *application)
{
    if (application->plan) {
        send_cancel(application);
        dispatch_forget(application);
    }
}

void dispatch_forget(struct application *application)
{
    struct plan_under_way *way = application->plan;
    struct differ *differ = application->differ;
    if (!way) {
        return;
    }
    if (!digest_is_zero(&way->blob)) {
        bus_blob_drop(differ->bus, &way->blob);
    }
    if (way->result_fetching) {
        bus_blob_cancel(differ->bus, application);
    }
    unsend(way);
    way_free(way);
    application->plan = NULL;
}
