#include "differ/ignore_fields.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/pointer.h"

#include <fnmatch.h>
#include <string.h>

#define TEXT_MAXIMUM ((size_t)2 << 20)
#define REPLICAS "/spec/replicas"

struct ignore_rule {
    const char *group, *kind, *namespace_, *name; /* patterns; NULL: any */
    const cJSON *labels;                          /* that the object must have; NULL: any */
    const char **pointers;
    size_t count;
    cJSON *tree; /* what all of this points into */
};

/* ---- Reading ---- */

/* Identity and what is Gitmoor's own cannot be left alone. */
static bool may_be_left(const char *pointer)
{
    static const char *const never[] = {"/apiVersion", "/kind", "/metadata/name",
                                        "/metadata/namespace"};
    if (!pointer_is_valid(pointer, NULL) || strcmp(pointer, "") == 0 ||
        text_equal(pointer, "/metadata") || text_equal(pointer, "/metadata/labels") ||
        text_has_prefix(pointer, "/metadata/labels/gitmoor.io~1")) {
        return false;
    }
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        size_t size = strlen(never[i]);
        if (strncmp(pointer, never[i], size) == 0 && strchr("/", pointer[size])) {
            return false;
        }
    }
    return true;
}

static void read_rule(const cJSON *item, struct arena *arena, struct ignore_rule *rule)
{
    rule->tree = json_copy(item);
    const cJSON *target = json_object(rule->tree, "target");
    const cJSON *paths = json_array(rule->tree, "paths");
    rule->group = json_string(target, "group");
    rule->kind = json_string(target, "kind");
    rule->namespace_ = json_string(target, "namespace");
    rule->name = json_string(target, "name");
    rule->labels = json_object(target, "labels");
    rule->pointers = arena_new(arena, json_size(paths) * sizeof *rule->pointers + 1);
    for (const cJSON *path = json_first(paths); path; path = path->next) {
        if (cJSON_IsString(path) && may_be_left(path->valuestring)) {
            rule->pointers[rule->count++] = path->valuestring;
        }
    }
}

void ignore_fields_read(const cJSON *list, struct ignore_fields *ret)
{
    *ret = (struct ignore_fields){0};
    arena_init(&ret->arena);
    if (!cJSON_IsArray(list) || !json_first(list)) {
        return;
    }
    AUTO_BUF struct buf text;
    buf_init(&text, TEXT_MAXIMUM);
    json_write(list, &text);
    ret->text = buf_detach(&text);
    ret->rules = mem_new(json_size(list), sizeof *ret->rules);
    for (const cJSON *item = json_first(list); item; item = item->next) {
        read_rule(item, &ret->arena, &ret->rules[ret->count++]);
    }
}

void ignore_fields_release(struct ignore_fields *ignore)
{
    for (size_t i = 0; i < ignore->count; i++) {
        json_free(ignore->rules[i].tree);
    }
    free(ignore->rules);
    free(ignore->text);
    arena_release(&ignore->arena);
    *ignore = (struct ignore_fields){0};
}

/* ---- Taking ---- */

static bool matches(const char *pattern, const char *text)
{
    return !pattern || fnmatch(pattern, text, 0) == 0;
}

static bool has_labels(const cJSON *object, const cJSON *wanted)
{
    const cJSON *labels = json_get_path(object, "metadata.labels");
    for (const cJSON *label = json_first(wanted); label; label = label->next) {
        const char *value = json_string(labels, label->string);
        if (!value || !cJSON_IsString(label) || !text_equal(value, label->valuestring)) {
            return false;
        }
    }
    return true;
}

static bool selects(const struct ignore_rule *rule, const struct object_ref *ref,
                    const cJSON *object)
{
    return matches(rule->group, ref->group) && matches(rule->kind, ref->kind) &&
           matches(rule->namespace_, ref->namespace_) && matches(rule->name, ref->name) &&
           has_labels(object, rule->labels);
}

/* An empty map that is sent would be owned as a whole, and with it whatever others put there. */
static void remove_with_empty_parents(cJSON *object, const char *pointer)
{
    AUTO_FREE char *path = mem_string(pointer);
    if (!pointer_remove(object, path)) {
        return;
    }
    char *end;
    while ((end = strrchr(path, '/')) && end != path) {
        *end = '\0';
        const cJSON *parent = pointer_get(object, path);
        char *above = strrchr(path, '/');
        *above = '\0';
        bool in_map = cJSON_IsObject(pointer_get(object, path));
        *above = '/';
        if (!cJSON_IsObject(parent) || json_first(parent) || !in_map ||
            !pointer_remove(object, path)) {
            return;
        }
    }
}

void ignore_fields_take(const struct ignore_fields *ignore, const struct object_ref *ref,
                        cJSON *object, struct arena *arena, const char *const **ret_pointers,
                        size_t *ret_count)
{
    size_t rules = ignore ? ignore->count : 0;
    AUTO_FREE bool *selected = mem_new(rules, sizeof *selected);
    size_t count = 0, most = 1;
    for (size_t i = 0; i < rules; i++) {
        selected[i] = selects(&ignore->rules[i], ref, object); /* before its labels are taken */
        most += selected[i] ? ignore->rules[i].count : 0;
    }
    const char **pointers = arena_new(arena, most * sizeof *pointers);
    for (size_t i = 0; i < rules; i++) {
        for (size_t j = 0; selected[i] && j < ignore->rules[i].count; j++) {
            pointers[count++] = arena_string(arena, ignore->rules[i].pointers[j]);
            remove_with_empty_parents(object, pointers[count - 1]);
        }
    }
    /* A number of replicas that Git does not declare is somebody else's affair. Taken away, it
     * would be 1: nobody means that who leaves it to an autoscaler (flux2#1842). */
    if (!pointer_get(object, REPLICAS)) {
        pointers[count++] = REPLICAS;
    }
    *ret_pointers = pointers;
    *ret_count = count;
}
