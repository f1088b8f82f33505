#include "admission/loss.h"

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/data/fields.h"
#include "common/data/object.h"

#include <stdlib.h>
#include <string.h>

void paths_add(struct paths *paths, const char *path)
{
    if (paths->count == paths->capacity) {
        size_t capacity = paths->capacity ? paths->capacity * 2 : 16;
        const char **items = arena_new(paths->arena, capacity * sizeof *items);
        if (paths->count > 0) {
            memcpy(items, paths->items, paths->count * sizeof *items);
        }
        paths->items = items;
        paths->capacity = capacity;
    }
    paths->items[paths->count++] = arena_string(paths->arena, path);
}

static int compare(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

void paths_settle(struct paths *paths)
{
    if (paths->count < 2) {
        return;
    }
    qsort(paths->items, paths->count, sizeof *paths->items, compare);
    size_t kept = 1;
    for (size_t i = 1; i < paths->count; i++) {
        if (strcmp(paths->items[i], paths->items[kept - 1]) != 0) {
            paths->items[kept++] = paths->items[i];
        }
    }
    paths->count = kept;
}

static bool is_entry(const cJSON *entry, const char *operation)
{
    return text_equal(json_string(entry, "manager"), GITMOOR_FIELD_MANAGER) &&
           text_equal(json_string(entry, "operation"), operation) &&
           text_is_empty(json_string(entry, "subresource"));
}

/* The next entry of ours after `previous` (NULL: the first). There is one per apiVersion that was
 * ever applied, seldom more than one. */
static const cJSON *next_entry(const cJSON *object, const cJSON *previous, const char *operation)
{
    const cJSON *entry =
        previous ? previous->next : json_first(json_get_path(object, "metadata.managedFields"));
    while (entry && !is_entry(entry, operation)) {
        entry = entry->next;
    }
    return entry;
}

static const cJSON *entry_of_version(const cJSON *object, const char *api_version,
                                     const char *operation)
{
    const cJSON *entry = next_entry(object, NULL, operation);
    while (entry && !text_equal(json_string(entry, "apiVersion"), api_version)) {
        entry = next_entry(object, entry, operation);
    }
    return entry;
}

bool loss_is_ours(const cJSON *object)
{
    return next_entry(object, NULL, "Apply") != NULL;
}

int64_t loss_last_write(const cJSON *object)
{
    int64_t last = 0;
    for (const cJSON *entry = next_entry(object, NULL, "Apply"); entry;
         entry = next_entry(object, entry, "Apply")) {
        int64_t at;
        if (!clock_parse_rfc3339(json_string(entry, "time"), &at)) {
            return 0;
        }
        last = at > last ? at : last;
    }
    return last;
}

bool loss_owns(const cJSON *object, const char *const *members)
{
    for (const cJSON *entry = next_entry(object, NULL, "Apply"); entry;
         entry = next_entry(object, entry, "Apply")) {
        const cJSON *node = json_get(entry, "fieldsV1");
        for (const char *const *member = members; node && *member; member++) {
            node = json_get(node, *member);
        }
        if (node) {
            return true;
        }
    }
    return false;
}

static bool add_path(const char *path, void *context)
{
    paths_add(context, path);
    return true;
}

void loss_compare(const cJSON *before, const cJSON *after, struct paths *ret)
{
    const char *api_version = json_string(before, "apiVersion");
    bool same_version = text_equal(api_version, json_string(after, "apiVersion"));
    for (const cJSON *entry = next_entry(before, NULL, "Apply"); entry;
         entry = next_entry(before, entry, "Apply")) {
        const char *version = json_string(entry, "apiVersion");
        const cJSON *set = json_get(entry, "fieldsV1");
        const cJSON *kept = json_get(entry_of_version(after, version, "Apply"), "fieldsV1");
        fields_lost(set, kept, add_path, ret);
        /* Mutating webhooks run after the server has computed the entries, so the values are
         * compared too, where the set speaks of the version that the review shows. */
        if (kept && same_version && text_equal(version, api_version)) {
            fields_changed(set, before, after, add_path, ret);
        }
    }
    paths_settle(ret);
}

static bool note_any(const char *path, void *context)
{
    (void)path;
    *(bool *)context = true;
    return false;
}

bool loss_is_impersonated(const cJSON *before, const cJSON *after)
{
    bool gained = false;
    for (const cJSON *entry = next_entry(after, NULL, "Update"); entry && !gained;
         entry = next_entry(after, entry, "Update")) {
        const char *version = json_string(entry, "apiVersion");
        const cJSON *known = entry_of_version(before, version, "Update");
        if (!known) {
            return true;
        }
        /* Losing fields to others is not the doing of whoever made the entry; gaining is. */
        fields_lost(json_get(entry, "fieldsV1"), json_get(known, "fieldsV1"), note_any, &gained);
    }
    return gained;
}

bool loss_is_reshaped(const cJSON *before, const cJSON *after)
{
    for (const cJSON *entry = next_entry(after, NULL, "Apply"); entry;
         entry = next_entry(after, entry, "Apply")) {
        const cJSON *known = entry_of_version(before, json_string(entry, "apiVersion"), "Apply");
        if (!json_equal(json_get(entry, "fieldsV1"), json_get(known, "fieldsV1"))) {
            return true;
        }
    }
    return false;
}
