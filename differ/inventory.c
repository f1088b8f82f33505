#include "differ/inventory.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

static void add_unique(cJSON *array, const char *text)
{
    for (cJSON *item = json_first(array); item; item = item->next) {
        if (cJSON_IsString(item) && text_equal(item->valuestring, text)) {
            return;
        }
    }
    json_append(array, json_new_string(text));
}

static int compare_strings(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static cJSON *sorted(cJSON *array)
{
    size_t count = json_size(array), used = 0;
    AUTO_FREE const char **texts = mem_new(count, sizeof *texts);
    for (cJSON *item = json_first(array); item; item = item->next) {
        if (cJSON_IsString(item)) {
            texts[used++] = item->valuestring;
        }
    }
    qsort(texts, used, sizeof *texts, compare_strings);
    cJSON *result = json_new_array();
    for (size_t i = 0; i < used; i++) {
        json_append(result, json_new_string(texts[i]));
    }
    json_free(array);
    return result;
}

/* Ten thousand objects are looked through each time one of them changes; few differ in these from
 * the one before. */
static void add_declared(const struct application *application, cJSON *kinds, cJSON *namespaces)
{
    const struct object_ref *before = NULL;
    const struct desired_object *object;
    for (size_t i = 0; (object = desired_at(application->desired, i)); i++) {
        const struct object_ref *ref = &object->ref;
        if (!before || !text_equal(ref->kind, before->kind) ||
            !text_equal(ref->group, before->group)) {
            AUTO_FREE char *kind = live_kind_name(ref->group, ref->kind);
            add_unique(kinds, kind);
        }
        if (*ref->namespace_ && (!before || !text_equal(ref->namespace_, before->namespace_))) {
            add_unique(namespaces, ref->namespace_);
        }
        before = ref;
    }
}

static void add_live(const struct application *application, cJSON *kinds, cJSON *namespaces)
{
    const struct live_group *group = live_group_get(application->differ->live, application->label);
    const struct live_object *before = NULL;
    for (const struct live_object *live = group ? group->first : NULL; live; live = live->next) {
        if (digest_is_zero(&live->fingerprint)) {
            continue; /* a controller's copy */
        }
        if (!before || live->kind != before->kind) {
            add_unique(kinds, live->kind->name);
        }
        if (*live->namespace_ && (!before || !text_equal(live->namespace_, before->namespace_))) {
            add_unique(namespaces, live->namespace_);
        }
        before = live;
    }
}

/* Kinds that are not served now, such as while an aggregated API server is down: whether there is
 * something of them left to prune is known when they are served again. */
static cJSON *unserved_kinds(const struct application *application)
{
    cJSON *result = json_new_array();
    for (const cJSON *item = json_first(json_array(packed_tree(application->status), "kinds"));
         item; item = item->next) {
        const char *name = cJSON_IsString(item) ? item->valuestring : "";
        const char *dot = strchr(name, '.');
        AUTO_FREE char *kind = mem_string_n(name, dot ? (size_t)(dot - name) : 0);
        if (dot && !kube_discovery_find(application->differ->discovery, dot + 1, NULL, kind)) {
            json_append(result, json_new_string(name));
        }
    }
    return result;
}

void inventory_set(struct application *application, cJSON *status, bool before_plan)
{
    cJSON *kinds =
        before_plan ? json_copy(json_array(status, "kinds")) : unserved_kinds(application);
    cJSON *namespaces = before_plan ? json_copy(json_array(status, "namespaces")) : NULL;
    kinds = kinds ? kinds : json_new_array();
    namespaces = namespaces ? namespaces : json_new_array();
    add_declared(application, kinds, namespaces);
    add_live(application, kinds, namespaces);
    json_set(status, "kinds", sorted(kinds));
    json_set(status, "namespaces", sorted(namespaces));
}
