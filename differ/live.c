#include "differ/live.h"

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/kube/watch.h"

#include <string.h>

struct live {
    struct kube_client *client;
    struct live_handlers handlers;
    struct map kinds;   /* name → struct live_kind * */
    struct map objects; /* key → struct live_object * */
    struct map groups;  /* label value → struct live_group * */
    uint64_t events;
};

char *live_kind_name(const char *group, const char *kind)
{
    return mem_format("%s.%s", kind, group);
}

/* ---- Groups ---- */

static void group_leave(struct live *live, struct live_object *object)
{
    struct live_group *group = object->group;
    if (!group) {
        return;
    }
    if (object->previous) {
        object->previous->next = object->next;
    } else {
        group->first = object->next;
    }
    if (object->next) {
        object->next->previous = object->previous;
    }
    object->group = NULL;
    object->previous = object->next = NULL;
    if (--group->count == 0) {
        map_remove(&live->groups, group->label);
        free(group->label);
        free(group);
    }
}

static void group_join(struct live *live, struct live_object *object, const char *label)
{
    if (object->group && text_equal(object->group->label, label)) {
        return;
    }
    group_leave(live, object);
    struct live_group *group = map_get(&live->groups, label);
    if (!group) {
        group = NEW(struct live_group);
        group->label = mem_string(label);
        map_set(&live->groups, label, group);
    }
    object->group = group;
    object->next = group->first;
    if (group->first) {
        group->first->previous = object;
    }
    group->first = object;
    group->count++;
}

/* ---- Objects ---- */

static void hook_free(struct live_hook *hook)
{
    if (hook) {
        free(hook->run);
        free(hook->message);
        free(hook);
    }
}

static void object_free(void *value)
{
    struct live_object *object = value;
    hook_free(object->hook);
    free(object->key);
    free(object->uid);
    free(object->namespace_);
    free(object->name);
    free(object->health_message);
    free(object->owners);
    free(object->reason);
    free(object);
}

static struct live_object *object_new(struct live *live, const char *key,
                                      const struct object_ref *ref)
{
    struct live_object *object = NEW(struct live_object);
    object->key = mem_string(key);
    object->namespace_ = mem_string(ref->namespace_);
    object->name = mem_string(ref->name);
    map_set(&live->objects, key, object);
    return object;
}

static void object_remove(struct live *live, struct live_object *object)
{
    map_remove(&live->objects, object->key);
    AUTO_FREE char *label = mem_string(object->group->label);
    group_leave(live, object);
    live->handlers.changed(object, label, NULL, live->handlers.context);
    object_free(object);
}

static uint64_t parse_version(const char *resource_version)
{
    int64_t version = 0;
    text_parse_int(resource_version, &version);
    return (uint64_t)version;
}

static void forget_owners(struct live_object *object)
{
    free(object->owners);
    object->owners = NULL;
    object->owners_first = false;
}

static void judge_health(const struct live *live, struct live_object *object, const char *label,
                         const cJSON *tree)
{
    const struct live_handlers *handlers = &live->handlers;
    char message[HEALTH_MESSAGE_SIZE];
    object->health = handlers->judge ? handlers->judge(label, tree, message, handlers->context)
                                     : health_judge(tree, message);
    free(object->health_message);
    object->health_message = object->health == HEALTH_CURRENT ? NULL : mem_string(message);
}

static void set_hook(struct live_object *object, const char *run, enum hook_end end,
                     const char *message)
{
    hook_free(object->hook);
    object->hook = NULL;
    if (run) {
        object->hook = NEW(struct live_hook);
        *object->hook = (struct live_hook){mem_string(run), end, mem_string(message)};
    }
}

static void note_hook(struct live_object *object, const cJSON *tree, const cJSON *metadata)
{
    char message[HEALTH_MESSAGE_SIZE] = "";
    const char *run = json_string(json_object(metadata, "annotations"), HOOK_RUN_ANNOTATION);
    enum hook_end end =
        run ? hook_judge(tree, object->health, object->health_message, message) : HOOK_RUNS;
    set_hook(object, run, end, message);
}

static void note_reason(struct live_object *object, const cJSON *metadata)
{
    const char *reason =
        json_string(json_object(metadata, "annotations"), GITMOOR_BREAK_GLASS_ANNOTATION);
    if (!text_equal(object->reason, reason)) {
        free(object->reason);
        object->reason = mem_string(reason);
    }
}

/* What an event may change, as it was before. */
struct before {
    struct digest fingerprint;
    enum health_status health;
    char *health_message;
    enum keep keep;
    bool comparable; /* known, and with nothing about it that is open */
};

static struct before take_before(struct live_object *object, const char *uid, const char *label,
                                 const cJSON *metadata)
{
    const char *reason =
        json_string(json_object(metadata, "annotations"), GITMOOR_BREAK_GLASS_ANNOTATION);
    bool deleting = json_string(metadata, "deletionTimestamp") != NULL;
    struct before before = {
        .fingerprint = object->fingerprint,
        .health = object->health,
        .health_message = object->health_message,
        .keep = object->keep,
        .comparable = object->group && !object->hook && !object->owners &&
                      text_equal(object->group->label, label) && text_equal(object->uid, uid) &&
                      text_equal(object->reason, reason) && object->deleting == deleting};
    object->health_message = NULL;
    return before;
}

static bool is_as_before(const struct live_object *object, struct before *before)
{
    bool same = before->comparable && !object->hook && object->health == before->health &&
                object->keep == before->keep &&
                text_equal(object->health_message, before->health_message) &&
                digest_equal(&object->fingerprint, &before->fingerprint);
    free(before->health_message);
    return same;
}

static void object_update(struct live_kind *kind, const struct kube_event *event,
                          const struct object_ref *ref, const char *key)
{
    struct live *live = kind->live;
    const cJSON *metadata = json_object(event->object, "metadata");
    const char *uid = text_or_empty(json_string(metadata, "uid"));
    uint64_t version = parse_version(event->resource_version);
    struct live_object *object = map_get(&live->objects, key);
    if (!object) {
        object = object_new(live, key, ref);
    }
    kind->epoch = object->epoch = kind->epoch_before + event->epoch;
    object->kind = kind;
    if (version < object->version) {
        return; /* the applier was answered with something newer */
    }
    const char *label = text_or_empty(object_label(event->object));
    struct before before = take_before(object, uid, label, metadata);
    if (!text_equal(object->uid, uid)) {
        free(object->uid);
        object->uid = mem_string(uid);
    }
    object->version = version;
    object->told = clock_monotonic_us();
    object->deleting = json_string(metadata, "deletionTimestamp") != NULL;
    forget_owners(object);
    object_fingerprint(event->object, &object->fingerprint);
    note_reason(object, metadata);
    object->keep = keep_read(metadata);
    judge_health(live, object, label, event->object);
    note_hook(object, event->object, metadata);
    object->unchanged = is_as_before(object, &before);
    group_join(live, object, label);
    live->handlers.changed(object, label, event->object, live->handlers.context);
}

/* ---- Kinds ---- */

static void on_event(const struct kube_event *event, void *context)
{
    struct live_kind *kind = context;
    struct live *live = kind->live;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    struct object_ref ref;
    live->events++;
    if (!object_ref_from_json(event->object, &arena, &ref, NULL) || text_is_empty(ref.name)) {
        return;
    }
    const char *key = object_ref_key(&ref, &arena);
    if (event->type == KUBE_EVENT_PRESENT) {
        object_update(kind, event, &ref, key);
        return;
    }
    struct live_object *object = map_get(&live->objects, key);
    /* An older event is of a predecessor: the applier has made the object anew since. */
    if (object && parse_version(event->resource_version) >= object->version) {
        object_remove(live, object);
    }
}

/* Removes the objects of the kind that were not told of since the epoch began. */
static void sweep(struct live_kind *kind, uint64_t epoch)
{
    struct live *live = kind->live;
    AUTO_FREE struct live_object **gone = mem_new(live->objects.count, sizeof *gone);
    size_t count = 0;
    for (struct map_slot *slot = map_first(&live->objects); slot;
         slot = map_next(&live->objects, slot)) {
        struct live_object *object = slot->value;
        if (object->kind == kind && object->epoch < epoch) {
            gone[count++] = object;
        }
    }
    for (size_t i = 0; i < count; i++) {
        object_remove(live, gone[i]);
    }
}

/* Objects that the new list did not bring are gone. */
static void on_synced(uint64_t epoch, void *context)
{
    struct live_kind *kind = context;
    kind->epoch = kind->epoch_before + epoch;
    sweep(kind, kind->epoch);
    kind->synced = true;
    kind->live->handlers.kind_changed(kind, kind->live->handlers.context);
}

static void on_trouble(const struct error *error, void *context)
{
    struct live_kind *kind = context;
    free(kind->trouble);
    kind->trouble = error ? mem_string(error->message) : NULL;
    kind->failing = error != NULL;
    if (error && error->code == ERROR_NOT_FOUND) {
        sweep(kind, UINT64_MAX); /* the kind is not served: there is nothing of it */
    }
    kind->live->handlers.kind_changed(kind, kind->live->handlers.context);
}

void live_each_kind(struct live *live, void (*visit)(struct live_kind *kind, void *context),
                    void *context)
{
    for (struct map_slot *slot = map_first(&live->kinds); slot;
         slot = map_next(&live->kinds, slot)) {
        visit(slot->value, context);
    }
}

struct live_kind *live_kind_get(const struct live *live, const char *name)
{
    return map_get(&live->kinds, name);
}

static void start_watch(struct live_kind *kind)
{
    const struct kube_watch_options options = {
        .label_selector = GITMOOR_LABEL,
        .event = on_event,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = kind,
    };
    kind->listed = clock_monotonic_us();
    kind->epoch_before = kind->epoch;
    kind->watch = kube_watch_resource(kind->live->client, &kind->resource, &options);
}

static void set_resource(struct live_kind *kind, const struct kube_resource *resource)
{
    kind->resource = (struct kube_resource){
        .group = mem_string(resource->group),
        .version = mem_string(resource->version),
        .kind = mem_string(resource->kind),
        .plural = mem_string(resource->plural),
        .namespaced = resource->namespaced,
    };
}

static void release_resource(struct live_kind *kind)
{
    free((char *)kind->resource.group);
    free((char *)kind->resource.version);
    free((char *)kind->resource.kind);
    free((char *)kind->resource.plural);
}

struct live_kind *live_need(struct live *live, const struct kube_resource *resource)
{
    AUTO_FREE char *name = live_kind_name(resource->group, resource->kind);
    struct live_kind *kind = map_get(&live->kinds, name);
    if (kind) {
        return kind;
    }
    kind = NEW(struct live_kind);
    kind->live = live;
    kind->name = mem_string(name);
    set_resource(kind, resource);
    map_set(&live->kinds, name, kind);
    start_watch(kind);
    return kind;
}

void live_move(struct live_kind *kind, const struct kube_resource *resource)
{
    kube_watch_free(kind->watch);
    sweep(kind, UINT64_MAX);
    release_resource(kind);
    set_resource(kind, resource);
    free(kind->trouble);
    kind->trouble = NULL;
    kind->synced = kind->failing = false;
    start_watch(kind);
}

void live_take(struct live_kind *kind, const struct kube_event *event)
{
    struct kube_event told = *event;
    told.epoch = kind->epoch - kind->epoch_before;
    on_event(&told, kind);
}

void live_list_again(struct live_kind *kind)
{
    kube_watch_free(kind->watch);
    kind->synced = false;
    start_watch(kind);
}

static void kind_free(void *value)
{
    struct live_kind *kind = value;
    kube_watch_free(kind->watch);
    release_resource(kind);
    free(kind->trouble);
    free(kind->name);
    free(kind);
}

void live_keep_kinds(struct live *live, bool (*is_needed)(const char *name, const void *context),
                     const void *context)
{
    AUTO_FREE struct live_kind **kinds = mem_new(live->kinds.count, sizeof *kinds);
    size_t count = 0;
    for (struct map_slot *slot = map_first(&live->kinds); slot;
         slot = map_next(&live->kinds, slot)) {
        if (!is_needed(slot->key, context)) {
            kinds[count++] = slot->value;
        }
    }
    for (size_t i = 0; i < count; i++) {
        sweep(kinds[i], UINT64_MAX);
        map_remove(&live->kinds, kinds[i]->name);
        kind_free(kinds[i]);
    }
}

/* ---- The whole ---- */

struct live *live_new(struct kube_client *client, const struct live_handlers *handlers)
{
    struct live *live = NEW(struct live);
    live->client = client;
    live->handlers = *handlers;
    map_init(&live->kinds);
    map_init(&live->objects);
    map_init(&live->groups);
    return live;
}

static void group_free(void *value)
{
    struct live_group *group = value;
    free(group->label);
    free(group);
}

void live_free(struct live *live)
{
    if (!live) {
        return;
    }
    map_release(&live->kinds, kind_free);
    map_release(&live->objects, object_free);
    map_release(&live->groups, group_free);
    free(live);
}

struct live_object *live_get(const struct live *live, const char *key)
{
    return map_get(&live->objects, key);
}

const struct live_group *live_group_get(const struct live *live, const char *label)
{
    return map_get(&live->groups, label);
}

void live_record(struct live *live, struct live_kind *kind, const struct object_ref *ref,
                 const char *label, const char *uid, const char *resource_version,
                 const struct digest *fingerprint)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    const char *key = object_ref_key(ref, &arena);
    uint64_t version = parse_version(resource_version);
    struct live_object *object = map_get(&live->objects, key);
    if (!object) {
        object = object_new(live, key, ref);
        object->kind = kind;
        object->epoch = kind->epoch + 1; /* a list under way may be of before */
    } else if (version <= object->version) {
        return;
    }
    object->deleting &= text_equal(object->uid, uid);
    free(object->uid);
    object->uid = mem_string(uid);
    object->version = version;
    object->told = clock_monotonic_us();
    object->fingerprint = *fingerprint;
    forget_owners(object);
    object->health = HEALTH_IN_PROGRESS;
    free(object->health_message);
    object->health_message = mem_string("applied, not seen by the watch yet");
    group_join(live, object, label);
}

void live_record_run(struct live *live, const char *key, const char *run)
{
    struct live_object *object = map_get(&live->objects, key);
    if (object && !(object->hook && text_equal(object->hook->run, run))) {
        set_hook(object, run, HOOK_RUNS, "created, not seen by the watch yet");
    }
}

void live_record_keep(struct live *live, const char *key)
{
    struct live_object *object = map_get(&live->objects, key);
    if (object) {
        object->keep = KEEP_YES;
    }
}

void live_forget_owners(struct live *live, const char *key, uint64_t before)
{
    struct live_object *object = map_get(&live->objects, key);
    if (object && object->version < before) {
        free(object->owners);
        object->owners = NULL; /* what is to be given up still is */
    }
}

void live_record_deletion(struct live *live, const char *key, const char *uid)
{
    struct live_object *object = map_get(&live->objects, key);
    if (object && text_equal(object->uid, uid)) {
        object->deleting = true;
    }
}

struct live_stats live_stats(const struct live *live)
{
    return (struct live_stats){
        .events = live->events,
        .objects = live->objects.count,
        .kinds = live->kinds.count,
    };
}
