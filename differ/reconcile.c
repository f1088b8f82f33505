/* Desired against live: what is to be written and deleted becomes a plan, its result becomes
 * knowledge. reconcile_step looks at everything anew each time; nothing depends on the order in
 * which events came. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/application.h"
#include "differ/drift.h"
#include "differ/prune.h"

#include <stdio.h>
#include <string.h>

#define RETRY_MINIMUM_MS 2000
#define RETRY_MAXIMUM_MS 60000
#define RESEND_MS 60000 /* DESIGN §2: an exchange each minute heals whatever was lost */

static struct metric plans = {
    .name = "gitmoor_differ_plans_total",
    .help = "Plans sent, by kind: apply or heal.",
    .type = METRIC_COUNTER,
    .label = "kind",
};
static struct metric repairs = {
    .name = "gitmoor_differ_drift_repairs_total",
    .help = "Objects whose drift was repaired.",
    .type = METRIC_COUNTER,
};
static const double plan_bounds[] = {0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 0};
static struct metric plan_seconds = {
    .name = "gitmoor_differ_plan_seconds",
    .help = "Time from sending a plan to its result, by kind.",
    .type = METRIC_HISTOGRAM,
    .label = "kind",
    .bounds = plan_bounds,
};

/* What one look at everything found to do. */
struct selection {
    struct desired_object **applies;
    bool *heals; /* applies[i] repairs drift */
    size_t count;
    struct prune_list prune;
    struct map new_namespaces; /* that the plan creates: name → "" */
    bool new_roles;            /* it creates or changes roles */
};

/* ---- Outcome ---- */

static void set_outcome(struct application *application, enum application_outcome outcome,
                        const char *message)
{
    bool changed =
        application->outcome != outcome || !text_equal(application->outcome_message, message);
    application->outcome = outcome;
    if (changed) {
        free(application->outcome_message);
        application->outcome_message = mem_string(message);
    }
    bool bad = outcome == OUTCOME_INVALID || outcome == OUTCOME_FAILED || outcome == OUTCOME_HELD;
    if (changed && bad) {
        static const char *const reasons[] = {
            [OUTCOME_INVALID] = "Invalid",
            [OUTCOME_FAILED] = "ApplyFailed",
            [OUTCOME_HELD] = "Held",
        };
        log_warn("application is not applied", "application", application->key, "reason",
                 reasons[outcome], "message", message);
        status_event(application, "Warning", reasons[outcome], "Reconcile", message);
    }
}

static void set_outcome_from_problems(struct application *application,
                                      enum application_outcome outcome,
                                      const struct problems *problems)
{
    AUTO_BUF struct buf message;
    buf_init(&message, 16384);
    problems_describe(problems, &message);
    set_outcome(application, outcome, message.data);
}

static void back_off(struct application *application)
{
    int64_t wait = RETRY_MINIMUM_MS << (application->failures < 5 ? application->failures : 5);
    wait = wait < RETRY_MAXIMUM_MS ? wait : RETRY_MAXIMUM_MS;
    application->failures++;
    application->retry_at = clock_monotonic_ms() + wait;
}

/* ---- What must be known before planning ---- */

/* Whether the kind's live objects are known. A kind that is not served has none. */
static bool kind_is_known(struct application *application, const struct kube_resource *served)
{
    if (!served || !served->watchable) {
        return true;
    }
    struct live_kind *kind = live_need(application->differ->live, served);
    if (kind->synced) {
        return true;
    }
    if (kind->failing) {
        AUTO_FREE char *message = mem_format("the live objects of kind %s cannot be watched: %s",
                                             kind->resource.kind, kind->trouble);
        set_outcome(application, OUTCOME_WAITING, message);
    }
    return false;
}

static bool declared_kinds_are_known(struct application *application)
{
    const struct kube_discovery *discovery = application->differ->discovery;
    const struct object_ref *before = NULL;
    bool known = true;
    for (size_t i = 0; i < application->desired->count; i++) {
        const struct object_ref *ref = &application->desired->objects[i].ref;
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
static bool former_kinds_are_known(struct application *application)
{
    const struct kube_discovery *discovery = application->differ->discovery;
    bool known = true;
    for (const cJSON *item = json_first(json_array(application->status, "kinds")); item;
         item = item->next) {
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

/* Claims what is declared; whatever another application has claimed is a problem of the one that
 * came second. */
static bool claim_all(struct application *application)
{
    struct differ *differ = application->differ;
    struct problems found;
    problems_init(&found);
    for (size_t i = 0; i < application->desired->count; i++) {
        struct desired_object *object = &application->desired->objects[i];
        struct application *owner = map_get(&differ->claims, object->key);
        if (!owner) {
            map_set(&differ->claims, object->key, application);
        } else if (owner != application) {
            AUTO_ARENA struct arena arena;
            arena_init(&arena);
            problems_add(
                &found, object_ref_describe(&object->ref, &arena), object->file, object->line,
                "application %s declares it too: remove it from one of the two", owner->key);
        }
    }
    bool free_of_conflict = found.total == 0;
    if (!free_of_conflict) {
        problems_release(&application->problems);
        application->problems = found;
        set_outcome_from_problems(application, OUTCOME_INVALID, &found);
        if (clock_monotonic_ms() >= application->retry_at) {
            back_off(application);
        }
    } else {
        problems_release(&found);
    }
    return free_of_conflict;
}

/* ---- Selection ---- */

static void selection_release(struct selection *selection)
{
    free(selection->applies);
    free(selection->heals);
    prune_release(&selection->prune);
    map_release(&selection->new_namespaces, NULL);
}

static void select_apply(struct selection *selection, struct desired_object *object, bool heals)
{
    selection->applies[selection->count] = object;
    selection->heals[selection->count] = heals;
    selection->count++;
    if (text_equal(object->ref.kind, "Namespace") && !*object->ref.group) {
        map_set(&selection->new_namespaces, object->ref.name, (void *)"");
    }
    selection->new_roles |= text_equal(object->ref.group, "rbac.authorization.k8s.io") &&
                            text_has_suffix(object->ref.kind, "Role");
}

/* Whether absence from `live` means anything: the kind must be watched and listed. */
static bool is_watched(const struct application *application, const struct desired_object *object)
{
    AUTO_FREE char *name = live_kind_name(object->ref.group, object->ref.kind);
    const struct live_kind *kind = live_kind_get(application->differ->live, name);
    return kind && kind->synced;
}

/* A drifted object: repair it now, later, or not at all. */
static void select_drifted(struct application *application, struct selection *selection,
                           struct desired_object *object)
{
    if (!application->spec.self_heal || application->spec.suspend) {
        application->counts.drifted++;
        return;
    }
    int64_t wait = drift_note_repair(object, clock_monotonic_ms());
    if (wait > 0) {
        application->counts.drifted++;
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        free(application->fight);
        application->fight = mem_string(object_ref_describe(&object->ref, &arena));
        application_wake_after(application, wait);
        return;
    }
    select_apply(selection, object, true);
}

/* `repairs_only`: the revision must not be applied (yet), but what was in sync is kept so. */
static void select_applies(struct application *application, bool repairs_only,
                           struct selection *selection)
{
    struct desired_set *desired = application->desired;
    struct live *live = application->differ->live;
    application->counts = (struct application_counts){.desired = desired->count};
    free(application->fight);
    application->fight = NULL;
    selection->applies = mem_new(desired->count, sizeof(struct desired_object *));
    selection->heals = mem_new(desired->count, sizeof(bool));
    for (size_t i = 0; i < desired->count; i++) {
        struct desired_object *object = &desired->objects[i];
        const struct live_object *found = live_get(live, object->key);
        if (drift_adopt(object, found)) {
            application->counts.in_sync++; /* as the applier was told */
            continue;
        }
        switch (drift_judge(object, found)) {
        case DRIFT_NONE:
            application->counts.in_sync++;
            break;
        case DRIFT_NEW:
            if (!repairs_only && !application->spec.suspend) {
                select_apply(selection, object, false);
            }
            break;
        case DRIFT_CHANGED:
            if (is_watched(application, object)) {
                select_drifted(application, selection, object);
            } else {
                application->counts.in_sync++; /* as the applier was told */
            }
            break;
        }
    }
}

/* ---- The plan ---- */

static bool is_binding(const struct object_ref *ref)
{
    return text_equal(ref->group, "rbac.authorization.k8s.io") &&
           text_has_suffix(ref->kind, "Binding");
}

/* Two stages of the plan for each of order.h's: bindings after the roles they refer to, or the
 * server's escalation check refuses them (kustomize-controller 1.8.0). */
static unsigned plan_stage(const struct object_ref *ref)
{
    return order_stage_of(ref) * 2 + is_binding(ref);
}

static unsigned delete_stage(const struct object_ref *ref)
{
    return ORDER_STAGES * 2 + (ORDER_STAGES - 1 - order_stage_of(ref));
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
        return stage > 0 ? 0 : -1;
    }
    return -1;
}

static void add_item(struct plan_under_way *way, const struct object_ref *ref,
                     const struct kube_resource *resource)
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
    item->resource = (struct kube_resource){
        .group = item->ref.group,
        .version = item->ref.version,
        .kind = item->ref.kind,
        .plural = arena_string(arena, resource->plural),
        .namespaced = resource->namespaced,
    };
    item->key = object_ref_key(&item->ref, arena);
}

static void add_applies(struct application *application, const struct selection *selection,
                        struct plan *plan, struct plan_under_way *way)
{
    for (size_t i = 0; i < selection->count; i++) {
        const struct desired_object *object = selection->applies[i];
        plan_apply(plan, plan_stage(&object->ref), depends_on(application, selection, object),
                   object);
        add_item(way, &object->ref, &object->resource);
        struct plan_item *item = &way->items[way->count - 1];
        item->digest = object->digest;
        item->file = arena_string(&way->arena, object->file);
        item->line = object->line;
        item->heals = selection->heals[i];
        const struct live_object *live = live_get(application->differ->live, object->key);
        item->version = live ? live->version : 0;
    }
}

static void add_deletes(const struct selection *selection, struct plan *plan,
                        struct plan_under_way *way)
{
    for (size_t i = 0; i < selection->prune.count; i++) {
        const struct live_object *live = selection->prune.objects[i];
        const struct kube_resource *resource = &live->kind->resource;
        const struct object_ref ref = {
            .group = resource->group,
            .version = resource->version,
            .kind = resource->kind,
            .namespace_ = live->namespace_,
            .name = live->name,
        };
        plan_delete(plan, delete_stage(&ref), resource, live->namespace_, live->name, live->uid);
        add_item(way, &ref, resource);
        way->items[way->count - 1].uid = arena_string(&way->arena, live->uid);
    }
}

static bool only_heals(const struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        if (!selection->heals[i]) {
            return false;
        }
    }
    return selection->prune.count == 0;
}

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
    AUTO_JSON cJSON *body = json_new_object();
    json_add_string(body, "id", way->id);
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
    way->hint = bus_send(application->differ->applier, "plan", text.data, text.size, NULL);
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

static void make_plan(struct application *application, const struct selection *selection, bool heal)
{
    struct differ *differ = application->differ;
    struct plan_under_way *way = NEW(struct plan_under_way);
    arena_init(&way->arena);
    way->id = mem_format("%s-%lld-%llu", process_instance(differ->process),
                         (long long)clock_wall_ms(), (unsigned long long)++differ->plans);
    way->items = mem_new(selection->count + selection->prune.count, sizeof *way->items);
    way->revision = mem_string(application->revision);
    way->heal = heal;
    way->started = clock_monotonic_ms();
    way->resend_at = way->started + RESEND_MS;
    struct plan_head head = {
        .id = way->id,
        .namespace_ = application->namespace_,
        .name = application->name,
        .uid = application->uid,
        .revision = application->revision,
        .preflight = application->spec.preflight && !heal,
        .heal = heal,
    };
    struct plan plan;
    plan_begin(&plan, &head);
    add_applies(application, selection, &plan, way);
    add_deletes(selection, &plan, way);
    application->plan = way;
    struct error error;
    if (!send_plan(application, &plan, &error)) {
        reconcile_abandon(application);
        set_outcome(application, OUTCOME_FAILED, error.message);
        back_off(application);
    } else {
        metric_add(&plans, heal ? "heal" : "apply", 1);
        application_wake_after(application, RESEND_MS);
    }
    plan_release(&plan);
}

/* ---- The step ---- */

/* A plan of an older revision is in the way of a newer one. */
static void supersede(struct application *application)
{
    struct plan_under_way *way = application->plan;
    int64_t now = clock_monotonic_ms();
    if (now >= way->resend_at) {
        way->resend_at = now + RESEND_MS;
        reconcile_resend(application);
    }
    application_wake_after(application, way->resend_at - now);
    if (way->cancelled || text_equal(way->revision, application->revision)) {
        return;
    }
    way->cancelled = true;
    AUTO_JSON cJSON *body = json_new_object();
    json_add_string(body, "id", way->id);
    AUTO_BUF struct buf text;
    buf_init(&text, BUS_HINT_MAXIMUM);
    json_write(body, &text);
    bus_send(application->differ->applier, "cancel", text.data, text.size, NULL);
}

static void settle(struct application *application)
{
    if (application->spec.suspend && application->counts.in_sync < application->counts.desired) {
        return;
    }
    application->settled = true;
    application->failures = 0;
    if (application->outcome != OUTCOME_APPLIED) {
        problems_clear(&application->problems);
        set_outcome(application, OUTCOME_APPLIED, NULL);
    }
}

/* Whether the revision may be applied; if not, only repairs are made. */
static bool may_apply(struct application *application)
{
    if (application->render_problems.total > 0) {
        set_outcome_from_problems(application, OUTCOME_INVALID, &application->render_problems);
        if (application->unknown_kind && clock_monotonic_ms() >= application->retry_at) {
            differ_reload_discovery(application->differ);
            back_off(application);
        }
        return false;
    }
    return claim_all(application) && clock_monotonic_ms() >= application->retry_at;
}

static bool is_known(struct application *application)
{
    bool declared = declared_kinds_are_known(application);
    return former_kinds_are_known(application) && declared;
}

/* A commit that would delete everything, or every Namespace, waits for a word of a person. */
static bool is_held(struct application *application, const struct selection *selection)
{
    AUTO_BUF struct buf reason;
    buf_init(&reason, 8192);
    if (text_equal(application->approved_revision, application->revision) ||
        !prune_is_dangerous(&selection->prune, application->desired, &reason)) {
        return false;
    }
    AUTO_FREE char *message =
        mem_format("%s: held. If that is meant, annotate the Application with "
                   "gitmoor.io/approved-revision=%s; otherwise revert the commit",
                   reason.data, application->revision);
    set_outcome(application, OUTCOME_HELD, message);
    return true;
}

static void plan_or_settle(struct application *application, bool repairs_only,
                           struct selection *selection)
{
    if (selection->count == 0 && selection->prune.count == 0) {
        if (!repairs_only) {
            settle(application);
        }
        return;
    }
    bool heal = only_heals(selection);
    if (!heal && is_held(application, selection)) {
        return;
    }
    if (heal || status_save_inventory(application)) {
        application->settled = false;
        make_plan(application, selection, heal);
    }
}

void reconcile_step(struct application *application)
{
    struct differ *differ = application->differ;
    if (application->plan) {
        supersede(application);
        return;
    }
    if (application->saving || !differ->started || !differ->applier) {
        return;
    }
    if (!application->desired) {
        if (application->render_problems.total > 0) {
            may_apply(application);
        }
        return;
    }
    if (!is_known(application)) {
        return;
    }
    bool repairs_only = !may_apply(application);
    struct selection selection = {0};
    map_init(&selection.new_namespaces);
    select_applies(application, repairs_only, &selection);
    if (!repairs_only && application->spec.prune && !application->spec.suspend) {
        prune_select(application, &selection.prune);
    }
    plan_or_settle(application, repairs_only, &selection);
    selection_release(&selection);
}

/* ---- Results ---- */

static void record_success(struct application *application, struct plan_item *item,
                           const struct plan_outcome *outcome)
{
    struct differ *differ = application->differ;
    if (item->uid) {
        live_record_deletion(differ->live, item->key, item->uid);
        application->pruned++;
        return;
    }
    int64_t version = 0;
    text_parse_int(outcome->resource_version, &version);
    AUTO_FREE char *name = live_kind_name(item->ref.group, item->ref.kind);
    struct live_kind *kind = live_kind_get(differ->live, name);
    bool comparable = !kind || text_equal(kind->resource.version, item->ref.version);
    struct desired_object *object = desired_find(application->desired, item->key);
    if (object && digest_equal(&object->digest, &item->digest)) {
        if (comparable) {
            object->synced = outcome->fingerprint;
        } else {
            object->adopt_version = (uint64_t)version;
        }
    }
    if (item->version != (uint64_t)version) {
        application->changed++;
        if (item->heals) {
            metric_add(&repairs, NULL, 1);
        }
    }
    if (kind && comparable) {
        live_record(differ->live, kind, &item->ref, application->label, outcome->uid,
                    outcome->resource_version, &outcome->fingerprint);
    }
    if (text_equal(item->ref.kind, "CustomResourceDefinition")) {
        differ_reload_discovery(differ);
    }
}

/* The server quotes values when it refuses an object's content; of a Secret they must not reach a
 * status or an Event (Argo CVE-2025-23216). */
static const char *shown_message(const struct plan_item *item, const struct plan_outcome *outcome)
{
    bool is_secret = !*item->ref.group && text_equal(item->ref.kind, "Secret");
    bool quotes = outcome->status != 403 && outcome->status != 404 && outcome->status != 409 &&
                  outcome->status != 0;
    return is_secret && quotes
               ? "the server refused its content; its words are kept back, since they may quote "
                 "the Secret: see kubectl apply --server-side --dry-run=server"
               : outcome->message;
}

static void on_outcome(const struct plan_outcome *outcome, void *context)
{
    struct application *application = context;
    struct plan_under_way *way = application->plan;
    if (outcome->index >= way->count) {
        return;
    }
    struct plan_item *item = &way->items[outcome->index];
    if (outcome->ok) {
        if (!outcome->preflight) {
            record_success(application, item, outcome);
        }
        return;
    }
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    problems_add(&application->problems, object_ref_describe(&item->ref, &arena), item->file,
                 item->line, "%s%s", item->uid ? "cannot be deleted: " : "",
                 shown_message(item, outcome));
}

static void drop_plan(struct application *application)
{
    struct plan_under_way *way = application->plan;
    if (!digest_is_zero(&way->blob)) {
        bus_blob_drop(application->differ->bus, &way->blob);
    }
    bus_unsend(application->differ->applier, way->hint);
    way_free(way);
    application->plan = NULL;
}

/* Says what a plan has changed; a heal is an Event of its own. */
static void announce(struct application *application, size_t changed)
{
    const struct plan_under_way *way = application->plan;
    if (!way->heal || changed == 0) {
        return;
    }
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_FREE char *note =
        way->count == 1 ? mem_format("repaired %s: it was changed outside Git",
                                     object_ref_describe(&way->items[0].ref, &arena))
                        : mem_format("repaired %zu objects that were changed outside Git", changed);
    status_event(application, "Normal", "DriftRepaired", "Heal", note);
    log_info("drift repaired", "application", application->key, "objects", note);
}

static bool take_result(struct application *application, const char *text, size_t size)
{
    struct plan_under_way *way = application->plan;
    size_t changed = application->changed;
    problems_clear(&application->problems);
    struct plan_result result = {.each = on_outcome, .context = application};
    struct error error;
    if (!plan_result_parse(text, size, &result, &error)) {
        log_error("a result of the applier cannot be read", "error", error.message);
        return false;
    }
    bool bad = false;
    if (text_equal(result.outcome, "invalid") || text_equal(result.outcome, "failed")) {
        bad = true;
        if (application->problems.total == 0) {
            problems_add(&application->problems, "", "", 0,
                         "the applier could not execute the plan");
        }
        set_outcome_from_problems(
            application, text_equal(result.outcome, "invalid") ? OUTCOME_INVALID : OUTCOME_FAILED,
            &application->problems);
    }
    announce(application, application->changed - changed);
    metric_observe(&plan_seconds, way->heal ? "heal" : "apply",
                   (double)(clock_monotonic_ms() - way->started) / 1000);
    if (bad) {
        back_off(application);
    } else if (!way->cancelled) {
        application->retry_at = 0;
    }
    return true;
}

bool reconcile_result(struct application *application, const char *text, size_t size)
{
    bool taken = take_result(application, text, size);
    drop_plan(application);
    if (!taken) {
        back_off(application);
    }
    application_wake(application);
    return taken;
}

void reconcile_resend(struct application *application)
{
    if (application->plan) {
        bus_unsend(application->differ->applier, application->plan->hint);
        send_hint(application);
    }
}

void reconcile_abandon(struct application *application)
{
    if (application->plan) {
        drop_plan(application);
    }
}
