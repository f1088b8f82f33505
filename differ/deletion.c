#include "differ/deletion.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "differ/application.h"
#include "differ/builds.h"
#include "differ/claims.h"
#include "differ/dispatch.h"
#include "differ/hook_pod.h"
#include "differ/permit.h"
#include "differ/recognise.h"
#include "differ/repository.h"
#include "differ/whole.h"

#include <string.h>

#define NAMED_MAXIMUM 5 /* objects that a message names */

/* ---- What the object says ---- */

static bool has_finalizer(const cJSON *object)
{
    for (const cJSON *item = json_first(json_get_path(object, "metadata.finalizers")); item;
         item = item->next) {
        if (cJSON_IsString(item) && text_equal(item->valuestring, GITMOOR_FINALIZER)) {
            return true;
        }
    }
    return false;
}

/* Nothing of it is declared any more: others may take it over, the rest is pruned. */
static void begin(struct application *application)
{
    log_info("application is being deleted", "application", application->key);
    recognition_free(application->recognition);
    application->recognition = NULL;
    application->recognised = true;
    application->conflicted = false;
    hook_pod_free(application->hook_pod);
    application->hook_pod = NULL;
    claims_release(application, NULL);
    application->since = application_repository(application)->sequence;
    waiting_drop(application);
    desired_free(application->desired);
    application->desired = NULL;
    free(application->revision);
    application->revision = NULL;
    application->looking = false;
    builds_forget(application);
    application->counts = (struct application_counts){0};
    application->retry_at = 0;
    problems_clear(&application->problems);
    problems_clear(&application->render_problems);
    problems_clear(&application->denied);
    outcome_set(application, OUTCOME_NONE, NULL);
}

void deletion_take(struct application *application, const cJSON *object)
{
    bool deleting = json_string_path(object, "metadata.deletionTimestamp");
    application->has_finalizer = has_finalizer(object);
    if (deleting && !application->deleting) {
        application->deleting = true;
        begin(application);
    }
    if (deleting) {
        application->needs_render = false; /* nobody need wait for it */
        application->rendered = true;
    }
}

void deletion_note_finalizer(struct application *application, bool is_there)
{
    application->has_finalizer = is_there;
}

/* ---- What is in the way ---- */

struct guests {
    const struct application *application;
    const char *namespace_; /* or NULL */
    const char *kind;       /* "Kind.group", or NULL */
    const char *found;      /* "Application shop/web" */
    struct arena *arena;
};

static bool lists(const cJSON *object, const char *path, const char *word)
{
    for (const cJSON *item = json_first(json_get_path(object, path)); item && word;
         item = item->next) {
        if (cJSON_IsString(item) && text_equal(item->valuestring, word)) {
            return true;
        }
    }
    return false;
}

static void look_for_guest(const cJSON *object, void *context)
{
    struct guests *guests = context;
    const char *namespace_ = text_or_empty(json_string_path(object, "metadata.namespace"));
    const char *name = text_or_empty(json_string_path(object, "metadata.name"));
    bool own = text_equal(guests->application->namespace_, namespace_) &&
               text_equal(guests->application->name, name) &&
               text_equal(json_string(object, "kind"), "Application");
    bool lives_there = guests->namespace_ && text_equal(namespace_, guests->namespace_);
    if (!own && (lives_there || lists(object, "status.namespaces", guests->namespace_) ||
                 lists(object, "status.kinds", guests->kind))) {
        guests->found = arena_format(guests->arena, "%s %s/%s",
                                     text_or_empty(json_string(object, "kind")), namespace_, name);
    }
}

struct defined {
    const char *name; /* of a definition: "plants.example.org" */
    const char *kind; /* "Plant.example.org" */
    struct arena *arena;
};

static void look_for_kind(const struct kube_resource *resource, void *context)
{
    struct defined *defined = context;
    size_t size = strlen(resource->plural);
    if (strncmp(defined->name, resource->plural, size) == 0 && defined->name[size] == '.' &&
        text_equal(defined->name + size + 1, resource->group)) {
        defined->kind = arena_format(defined->arena, "%s.%s", resource->kind, resource->group);
    }
}

/* Who else would lose something by its deletion: NULL for nobody that is known. */
static const char *guest_of(const struct application *application, const struct live_object *live,
                            struct arena *arena)
{
    const struct kube_resource *resource = &live->kind->resource;
    struct guests guests = {.application = application, .arena = arena};
    if (!*resource->group && text_equal(resource->kind, "Namespace")) {
        guests.namespace_ = live->name;
    } else if (text_equal(resource->group, "apiextensions.k8s.io")) {
        struct defined defined = {.name = live->name, .arena = arena};
        kube_discovery_each(application->differ->discovery, look_for_kind, &defined);
        guests.kind = defined.kind;
    }
    if (guests.namespace_ || guests.kind) {
        kube_store_each(application->differ->application_objects, look_for_guest, &guests);
    }
    if (guests.namespace_) {
        kube_store_each(application->differ->repository_objects, look_for_guest, &guests);
    }
    return guests.found;
}

/* Leaves out of the list what others need, and what the tenancy settings keep. */
static void leave_guests(struct application *application, struct prune_list *list)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    size_t kept = 0;
    problems_clear(&application->kept);
    prune_leave_unclear(application, list);
    permit_prune(application, list);
    for (size_t i = 0; i < list->count; i++) {
        const struct live_object *live = list->objects[i];
        const char *guest = guest_of(application, live, &arena);
        if (!guest) {
            list->objects[kept++] = live;
            continue;
        }
        const struct object_ref ref = {
            .kind = live->kind->resource.kind, .namespace_ = live->namespace_, .name = live->name};
        problems_add(&application->kept, object_ref_describe(&ref, &arena), "", 0,
                     "left in place: %s has objects there", guest);
    }
    list->count = kept;
}

/* ---- The steps ---- */

static void send_finalizer(struct application *application, bool add)
{
    struct selection selection = {.finalizer = add ? FINALIZER_ADD : FINALIZER_REMOVE};
    map_init(&selection.new_namespaces);
    dispatch_plan(application, &selection, false);
    selection_release(&selection);
}

/* Its controller may be among what is deleted, and must see to its finalizers first; so must
 * Gitmoor, of another Application. */
static bool is_custom(const struct live_object *live)
{
    const char *group = live->kind->resource.group;
    return strchr(group, '.') && !text_has_suffix(group, ".k8s.io");
}

/* Custom resources by themselves, if there are any. Answers whether there are. */
static bool keep_custom(struct prune_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (is_custom(list->objects[i])) {
            list->objects[kept++] = list->objects[i];
        }
    }
    if (kept > 0) {
        list->count = kept;
    }
    return kept > 0;
}

/* What was deleted and is not gone yet. */
static size_t count_going(const struct application *application, bool only_custom,
                          struct buf *names)
{
    const struct live_group *group = live_group_get(application->differ->live, application->label);
    size_t going = 0;
    for (const struct live_object *live = group ? group->first : NULL; live; live = live->next) {
        if (digest_is_zero(&live->fingerprint) || !live->deleting ||
            (only_custom && !is_custom(live)) ||
            claims_is_declared(application->differ, live->key)) {
            continue;
        }
        if (going++ < NAMED_MAXIMUM) {
            buf_append_format(names, "%s%s %s%s%s", going > 1 ? ", " : "",
                              live->kind->resource.kind, live->namespace_,
                              *live->namespace_ ? "/" : "", live->name);
        }
    }
    if (going > NAMED_MAXIMUM) {
        buf_append_format(names, " and %zu more", going - NAMED_MAXIMUM);
    }
    return going;
}

static void let_go(struct application *application)
{
    if (application->kept.total > 0) {
        AUTO_BUF struct buf text;
        buf_init(&text, 8192);
        problems_describe(&application->kept, &text);
        status_event(application, "Warning", "LeftInPlace", "Delete", text.data);
        log_warn("application is deleted, and some objects stay", "application", application->key,
                 "objects", text.data);
    }
    send_finalizer(application, false);
}

static void prune_everything(struct application *application)
{
    AUTO_BUF struct buf names;
    buf_init(&names, 8192);
    struct selection selection = {.finalizer = FINALIZER_LEAVE, .standing = true};
    map_init(&selection.new_namespaces);
    prune_select(application, &selection.prune);
    leave_guests(application, &selection.prune);
    if (selection.prune.kept_count > 0) {
        selection.prune.count = 0; /* when these are out of reach */
        dispatch_plan(application, &selection, false);
        selection_release(&selection);
        return;
    }
    bool custom = keep_custom(&selection.prune);
    size_t going = custom ? 0 : count_going(application, true, &names);
    if (going == 0 && selection.prune.count == 0) {
        going = count_going(application, false, &names);
    }
    if (going == 0 && selection.prune.count > 0) {
        dispatch_plan(application, &selection, false);
    } else if (going > 0) {
        AUTO_FREE char *message =
            mem_format("being deleted: %zu objects are not gone yet (%s); finalizers may hold them",
                       going, names.data);
        outcome_set(application, OUTCOME_DELETING, message);
    } else {
        let_go(application);
    }
    selection_release(&selection);
}

/* Nor may what it has be declared where nobody can read it. */
static bool doubts(struct application *application)
{
    struct prune_list list;
    AUTO_BUF struct buf why;
    buf_init(&why, 8192);
    prune_select(application, &list);
    bool doubted = !prune_is_empty(&list) && whole_doubts(application, &why);
    prune_release(&list);
    if (doubted) {
        AUTO_FREE char *message = mem_format(
            "being deleted: what it manages is not deleted, since %s, and may declare it. Mend "
            "that; or let the Application go without them by spec.deletionPolicy: Orphan",
            why.data);
        application->awaits = true;
        outcome_set(application, OUTCOME_DELETING, message);
    }
    return doubted;
}

/* What it has may have moved, in the newest commit, to one that has not been rendered yet. Where
 * that is a matter of time and nothing else, it is waited for. */
static bool awaits_others(struct application *application)
{
    const struct application *awaited = whole_awaited(application);
    application->awaits = false;
    if (awaited && (awaited->build.trouble || application_repository(application)->trouble)) {
        return false;
    }
    if (awaited) {
        AUTO_FREE char *message = mem_format(
            "being deleted: what it manages is deleted once application %s has been rendered, "
            "unless that declares it",
            awaited->key);
        whole_wait(application, message);
    }
    return awaited || doubts(application);
}

bool deletion_step(struct application *application)
{
    bool wants = application->spec.deletes && !application->spec.suspend;
    if (application->plan || clock_monotonic_ms() < application->retry_at) {
        /* Nothing is written before the finalizer stands. */
        return application->deleting || (application->spec.deletes && !application->has_finalizer);
    }
    if (!application->deleting) {
        bool differs = application->spec.deletes != application->has_finalizer;
        if (differs) {
            send_finalizer(application, application->spec.deletes);
        }
        return differs;
    }
    if (!application->has_finalizer) {
        return true; /* somebody else's holds it */
    }
    if (!wants) {
        problems_clear(&application->kept);
        let_go(application);
    } else if (reconcile_knows_former_kinds(application) && !awaits_others(application)) {
        prune_everything(application);
    }
    return true;
}
