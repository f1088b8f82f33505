#include "differ/owners.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/fields.h"
#include "common/data/object.h"
#include "common/data/pointer.h"

#include <string.h>

#define TEXT_MAXIMUM ((size_t)2 << 20) /* etcd stores 1.5 MiB an object */
#define LEFT_MAXIMUM 64                /* pointers that are followed for one object */

/* Fields that keep their owner. An asterisk ends a prefix. */
static const struct kept {
    const char *group, *kind; /* NULL: any */
    const char *path[6];
} kept_paths[] = {
    {NULL, NULL, {"f:status"}},
    {NULL, NULL, {"f:metadata", "f:finalizers"}},
    {NULL, NULL, {"f:metadata", "f:annotations", "f:" GITMOOR_GROUP "/*"}},
    {NULL,
     NULL,
     {"f:spec", "f:template", "f:metadata", "f:annotations",
      "f:kubectl.kubernetes.io/restartedAt"}},
    {"", "Namespace", {"f:spec"}},
    {"", "PersistentVolume", {"f:spec", "f:claimRef"}},
    {"", "PersistentVolumeClaim", {"f:spec"}},
    {"", "Pod", {"f:spec"}},
    {"", "Secret", {"f:type"}},
    {"", "Service", {"f:spec", "f:clusterIP"}},
    {"", "Service", {"f:spec", "f:clusterIPs"}},
    {"", "Service", {"f:spec", "f:healthCheckNodePort"}},
    {"", "Service", {"f:spec", "f:ipFamilies"}},
    {"", "Service", {"f:spec", "f:ipFamilyPolicy"}},
    {"", "ServiceAccount", {"f:imagePullSecrets"}},
    {"", "ServiceAccount", {"f:secrets"}},
    {"batch", "Job", {"f:spec", "f:selector"}},
    {"batch", "Job", {"f:spec", "f:template"}},
    {GITMOOR_GROUP, "Application", {"f:spec", "f:breakGlass"}}, /* of an Application in Git */
};

/* A walk over one entry's set, which tells what stays from what goes. */
struct walk {
    const char *group, *kind;
    const cJSON *left[LEFT_MAXIMUM]; /* nodes of the live object */
    size_t left_count;
    bool keeps_paths; /* kept_paths count too */
};

/* ---- What stays ---- */

static bool step_is(const char *step, const char *pattern)
{
    size_t size = strlen(pattern);
    return pattern[size - 1] == '*' ? strncmp(step, pattern, size - 1) == 0
                                    : strcmp(step, pattern) == 0;
}

static bool is_kept_path(const struct walk *walk, const char *const *trail, unsigned depth)
{
    for (size_t i = 0; i < sizeof kept_paths / sizeof kept_paths[0]; i++) {
        const struct kept *kept = &kept_paths[i];
        if (kept->kind &&
            (!text_equal(kept->kind, walk->kind) || !text_equal(kept->group, walk->group))) {
            continue;
        }
        unsigned at = 0;
        while (at < depth && kept->path[at] && step_is(trail[at], kept->path[at])) {
            at++;
        }
        if (at == depth && !kept->path[at]) {
            return true;
        }
    }
    return false;
}

static bool stays(const char *const *trail, unsigned depth, const cJSON *node, void *context)
{
    const struct walk *walk = context;
    for (size_t i = 0; node && i < walk->left_count; i++) {
        if (walk->left[i] == node) {
            return true;
        }
    }
    return walk->keeps_paths && is_kept_path(walk, trail, depth);
}

/* ---- Entries ---- */

static bool is_ours(const cJSON *entry)
{
    return text_equal(json_string(entry, "manager"), GITMOOR_FIELD_MANAGER) &&
           text_equal(json_string(entry, "operation"), "Apply");
}

/* Entries of subresources are not taken: they are the work of controllers, and of `kubectl scale`,
 * whose word on an undeclared number of replicas counts. */
static bool is_taken(const cJSON *entry, const struct owners_rules *rules)
{
    const char *manager = text_or_empty(json_string(entry, "manager"));
    if (!text_is_empty(json_string(entry, "subresource")) || is_ours(entry)) {
        return false;
    }
    return text_equal(manager, GITMOOR_FIELD_MANAGER) || managers_match(rules->people, manager) ||
           (rules->taken && managers_match(rules->taken, manager)) ||
           (rules->allowed && !managers_match(rules->allowed, manager));
}

static bool is_any_taken(const cJSON *entries, const struct owners_rules *rules)
{
    const cJSON *entry = json_first(entries);
    while (entry && !is_taken(entry, rules)) {
        entry = entry->next;
    }
    return entry != NULL;
}

static bool is_any_moved(const cJSON *entries, const struct owners_rules *rules)
{
    const cJSON *entry = rules->api_version ? json_first(entries) : NULL;
    while (entry && text_equal(json_string(entry, "apiVersion"), rules->api_version)) {
        entry = entry->next;
    }
    return entry != NULL;
}

/* One entry is identified by manager, operation, subresource and version. */
static cJSON *find_twin(const cJSON *entries, const cJSON *entry)
{
    for (cJSON *twin = json_first(entries); twin; twin = twin->next) {
        if (text_equal(json_string(twin, "manager"), json_string(entry, "manager")) &&
            text_equal(json_string(twin, "operation"), json_string(entry, "operation")) &&
            text_equal(json_string(twin, "subresource"), json_string(entry, "subresource"))) {
            return twin;
        }
    }
    return NULL;
}

/* Two entries that only their versions told apart become one. */
static void move_entries(cJSON *entries, const char *api_version)
{
    cJSON *entry = json_first(entries), *next;
    for (; entry; entry = next) {
        next = entry->next;
        json_set(entry, "apiVersion", json_new_string(api_version));
        cJSON *twin = find_twin(entries, entry);
        if (twin != entry) {
            fields_merge(json_object(twin, "fieldsV1"), json_object(entry, "fieldsV1"));
            json_free(cJSON_DetachItemViaPointer(entries, entry));
        }
    }
}

static void walk_init(struct walk *walk, const cJSON *live, const struct object_ref *ref,
                      const struct owners_rules *rules)
{
    *walk = (struct walk){.group = ref->group, .kind = ref->kind};
    for (size_t i = 0; i < rules->left_count && walk->left_count < LEFT_MAXIMUM; i++) {
        const cJSON *node = pointer_get(live, rules->left[i]);
        if (node) {
            walk->left[walk->left_count++] = node;
        }
    }
}

/* Adds the entry as it is to be written, if anything of it stays, and to `taken` what goes. */
static void edit_entry(struct walk *walk, const cJSON *live, const cJSON *entry, cJSON *entries,
                       cJSON *taken)
{
    cJSON *staying = json_new_object();
    AUTO_JSON cJSON *going = json_new_object();
    walk->keeps_paths = true;
    fields_split(json_object(entry, "fieldsV1"), live, stays, walk, staying, going);
    fields_merge(taken, going);
    if (json_first(staying)) {
        cJSON *copy = json_append(entries, json_copy(entry));
        json_set(copy, "fieldsV1", staying);
    } else {
        json_free(staying);
    }
}

/* Our own set without what is given up; whether there is such. */
static bool give_up(struct walk *walk, const cJSON *live, const cJSON *ours, cJSON *ret_kept)
{
    AUTO_JSON cJSON *given = json_new_object();
    if (walk->left_count == 0) {
        fields_merge(ret_kept, ours);
        return false;
    }
    walk->keeps_paths = false;
    fields_split(ours, live, stays, walk, given, ret_kept);
    return json_first(given) != NULL;
}

char *owners_edit(const cJSON *live, const struct owners_rules *rules, bool *ret_first)
{
    const cJSON *before = json_array(json_object(live, "metadata"), "managedFields");
    const cJSON *ours = object_managed_fields(live);
    struct object_ref ref;
    struct walk walk;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    if (!ours || !object_ref_from_json(live, &arena, &ref, NULL)) {
        return NULL;
    }
    walk_init(&walk, live, &ref, rules);
    AUTO_JSON cJSON *set = json_new_object();
    bool gives_up = give_up(&walk, live, ours, set);
    bool moves = is_any_moved(before, rules);
    if (!gives_up && !moves && !is_any_taken(before, rules)) {
        return NULL; /* as nearly always */
    }
    AUTO_JSON cJSON *entries = json_new_array();
    AUTO_JSON cJSON *taken = json_new_object();
    cJSON *own = NULL;
    for (const cJSON *entry = json_first(before); entry; entry = entry->next) {
        if (is_taken(entry, rules)) {
            edit_entry(&walk, live, entry, entries, taken);
        } else {
            cJSON *copy = json_append(entries, json_copy(entry));
            own = json_object(entry, "fieldsV1") == ours ? copy : own;
        }
    }
    if (!gives_up && !moves && !json_first(taken)) {
        return NULL;
    }
    fields_merge(set, taken);
    json_set(own, "fieldsV1", set);
    set = NULL;
    if (moves) {
        move_entries(entries, rules->api_version);
    }
    AUTO_BUF struct buf text;
    buf_init(&text, TEXT_MAXIMUM);
    if (!json_write(entries, &text)) {
        return NULL; /* no API server would take it */
    }
    *ret_first = gives_up || moves;
    return buf_detach(&text);
}
