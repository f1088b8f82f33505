#include "differ/blame.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/fields.h"
#include "common/data/object.h"

#include <string.h>

#define PATH_MAXIMUM ((size_t)4096)
#define DEPTH_MAXIMUM 100 /* objects nest less deeply */

struct search {
    struct arena *arena;
    struct blame *blame;
    const cJSON *entry; /* whose fields are looked through, or NULL */
    struct buf path;
};

/* Whether the path, or a container that it is in, is among those found. */
static bool is_covered(const struct blame *blame, const char *path)
{
    for (size_t i = 0; i < blame->count; i++) {
        size_t size = strlen(blame->fields[i]);
        if (strncmp(blame->fields[i], path, size) == 0 && strchr(".[", path[size])) {
            return true; /* '\0' too is found in ".[" */
        }
    }
    return false;
}

static void add_path(struct search *search, const char *path)
{
    struct blame *blame = search->blame;
    if (is_covered(blame, path)) {
        return;
    }
    if (blame->count < BLAME_FIELDS_MAXIMUM) {
        blame->fields[blame->count++] = arena_string(search->arena, path);
    }
    blame->total++;
}

static size_t enter(struct search *search, const char *step)
{
    size_t size = search->path.size;
    fields_append_step(&search->path, step);
    return size;
}

static void leave(struct search *search, size_t size)
{
    search->path.size = size;
    search->path.data[size] = '\0';
    search->path.overflowed = false;
}

/* ---- Declared, and owned by another ---- */

static void blame_entry(struct search *search)
{
    struct blame *blame = search->blame;
    const char *time = json_string(search->entry, "time");
    /* Times of one form and zone compare as texts. */
    if (!blame->manager || strcmp(text_or_empty(time), text_or_empty(blame->time)) > 0) {
        blame->manager = json_string(search->entry, "manager");
        blame->subresource = json_string(search->entry, "subresource");
        blame->time = time;
    }
}

static bool is_leaf(const cJSON *set)
{
    for (const cJSON *item = json_first(set); item; item = item->next) {
        if (fields_is_step(item->string)) {
            return false;
        }
    }
    return true;
}

/* A leaf of theirs at which Git declares something that we own no longer. */
static void find_taken(struct search *search, const cJSON *theirs, const cJSON *ours,
                       const cJSON *desired, unsigned depth)
{
    for (const cJSON *item = json_first(theirs); item && depth < DEPTH_MAXIMUM; item = item->next) {
        const cJSON *declared =
            fields_is_step(item->string) ? fields_resolve(desired, item->string) : NULL;
        const cJSON *kept = json_get(ours, item->string);
        if (!declared) {
            continue;
        }
        size_t size = enter(search, item->string);
        if (!is_leaf(item)) {
            find_taken(search, item, kept, declared, depth + 1);
        } else if (!kept) {
            add_path(search, search->path.data);
            blame_entry(search);
        }
        leave(search, size);
    }
}

static void find_others(struct search *search, const cJSON *desired, const cJSON *live,
                        const cJSON *ours)
{
    const cJSON *entries = json_array(json_object(live, "metadata"), "managedFields");
    for (const cJSON *entry = json_first(entries); entry; entry = entry->next) {
        const cJSON *theirs = json_object(entry, "fieldsV1");
        if (theirs && theirs != ours) {
            search->entry = entry;
            find_taken(search, theirs, ours, desired, 0);
        }
    }
    search->entry = NULL;
}

/* ---- Declared, and owned by nobody ---- */

static void find_lost(struct search *search, const cJSON *ours, const cJSON *desired,
                      unsigned depth);

/* Whether something was found in the list, or of the list, already: its steps name items by keys
 * that only the schema knows. */
static bool is_told(const struct search *search)
{
    if (is_covered(search->blame, search->path.data)) {
        return true;
    }
    for (size_t i = 0; i < search->blame->count; i++) {
        if (text_has_prefix(search->blame->fields[i], search->path.data)) {
            return true;
        }
    }
    return false;
}

/* Lists: an item is ours if a step of our set leads to it. A list that is owned as a whole has no
 * steps. */
static void find_lost_items(struct search *search, const cJSON *ours, const cJSON *desired,
                            unsigned depth)
{
    int64_t index = 0;
    bool told = is_told(search);
    for (const cJSON *item = json_first(desired); item; item = item->next, index++) {
        const cJSON *step = json_first(ours);
        while (step &&
               !(fields_is_step(step->string) && fields_resolve(desired, step->string) == item)) {
            step = step->next;
        }
        const char *name = json_string(item, "name");
        AUTO_FREE char *member = step   ? mem_string(step->string)
                                 : name ? mem_format("k:{\"name\":\"%s\"}", name)
                                        : mem_format("i:%lld", (long long)index);
        size_t size = enter(search, member);
        if (!step && (name || !told)) {
            add_path(search, search->path.data);
        } else if (step && cJSON_IsObject(item) && !is_leaf(step)) {
            find_lost(search, step, item, depth + 1);
        }
        leave(search, size);
    }
}

static void find_lost_member(struct search *search, const cJSON *ours, const cJSON *item,
                             unsigned depth)
{
    bool descends = !ours || !is_leaf(ours); /* what is ours as a whole has lost nothing */
    if (cJSON_IsObject(item) && json_first(item) && descends) {
        find_lost(search, ours, item, depth + 1);
    } else if (cJSON_IsArray(item) && json_first(item) && descends) {
        find_lost_items(search, ours, item, depth + 1);
    } else if (!ours) {
        add_path(search, search->path.data);
    }
}

static bool is_identity(const char *name, unsigned depth)
{
    return depth == 0 && (strcmp(name, "apiVersion") == 0 || strcmp(name, "kind") == 0);
}

static void find_lost(struct search *search, const cJSON *ours, const cJSON *desired,
                      unsigned depth)
{
    for (const cJSON *item = json_first(desired); item && depth < DEPTH_MAXIMUM;
         item = item->next) {
        if (is_identity(item->string, depth) || cJSON_IsNull(item)) {
            continue; /* identity is nobody's field; null is absence */
        }
        AUTO_FREE char *member = mem_format("f:%s", item->string);
        size_t size = enter(search, member);
        find_lost_member(search, json_get(ours, member), item, depth);
        leave(search, size);
    }
}

/* Of metadata only what can be owned. */
static cJSON *without_identity(const cJSON *desired)
{
    cJSON *copy = json_copy(desired);
    cJSON *metadata = json_object(copy, "metadata");
    json_remove(metadata, "name");
    json_remove(metadata, "namespace");
    json_remove(metadata, "generateName");
    json_remove(metadata, "creationTimestamp");
    if (metadata && !json_first(metadata)) {
        json_remove(copy, "metadata");
    }
    return copy;
}

/* ---- The whole ---- */

static bool add_changed(const char *path, void *context)
{
    add_path(context, path);
    return true;
}

void blame_find(const cJSON *desired, const cJSON *live, struct arena *arena, struct blame *ret)
{
    *ret = (struct blame){0};
    struct search search = {.arena = arena, .blame = ret};
    buf_init(&search.path, PATH_MAXIMUM);
    AUTO_JSON cJSON *declared = without_identity(desired);
    const cJSON *ours = object_managed_fields(live);
    find_others(&search, declared, live, ours);
    find_lost(&search, ours, declared, 0);
    if (ret->total == 0 && ours) {
        fields_changed(ours, declared, live, add_changed, &search);
    }
    buf_release(&search.path);
}

/* ---- What others added ---- */

static bool add_lost(const char *path, void *context)
{
    add_path(context, path);
    return true;
}

static bool stop_at_first(const char *path, void *context)
{
    (void)path;
    *(bool *)context = true;
    return false;
}

static bool is_same_entry(const cJSON *left, const cJSON *right)
{
    return text_equal(json_string(left, "manager"), json_string(right, "manager")) &&
           text_equal(json_string(left, "operation"), json_string(right, "operation")) &&
           text_equal(json_string(left, "apiVersion"), json_string(right, "apiVersion")) &&
           text_equal(json_string(left, "subresource"), json_string(right, "subresource"));
}

/* Whether the entry has less, or is not there at all, among those that should be. */
static bool is_reduced(const cJSON *entry, const cJSON *owners)
{
    const cJSON *kept = json_first(owners);
    while (kept && !is_same_entry(entry, kept)) {
        kept = kept->next;
    }
    bool reduced = false;
    fields_lost(json_object(entry, "fieldsV1"), json_object(kept, "fieldsV1"), stop_at_first,
                &reduced);
    return reduced;
}

void blame_find_added(const cJSON *live, const cJSON *owners, struct arena *arena,
                      struct blame *ret)
{
    *ret = (struct blame){0};
    struct search search = {.arena = arena, .blame = ret};
    AUTO_JSON cJSON *wanted = json_new_object();
    json_add(json_add_object(wanted, "metadata"), "managedFields", json_copy(owners));
    const cJSON *ours = object_managed_fields(live);
    fields_lost(object_managed_fields(wanted), ours, add_lost, &search);
    const cJSON *entries = json_array(json_object(live, "metadata"), "managedFields");
    for (const cJSON *entry = json_first(entries); ret->total > 0 && entry; entry = entry->next) {
        search.entry = entry;
        if (json_object(entry, "fieldsV1") != ours && is_reduced(entry, owners)) {
            blame_entry(&search);
        }
    }
}
