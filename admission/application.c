#include "admission/application.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

static enum protection protection_from_text(const char *text)
{
    if (text_equal(text, "Off")) {
        return PROTECTION_OFF;
    }
    if (text_equal(text, "Warn")) {
        return PROTECTION_WARN;
    }
    return PROTECTION_ENFORCE; /* the default; a value that a newer version knows is no licence */
}

static char **read_strings(const cJSON *array, size_t *ret_count)
{
    char **items = mem_new(json_size(array), sizeof *items);
    *ret_count = 0;
    for (const cJSON *item = json_first(array); item; item = item->next) {
        if (cJSON_IsString(item)) {
            items[(*ret_count)++] = mem_string(item->valuestring);
        }
    }
    return items;
}

static void free_strings(char **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(items[i]);
    }
    free(items);
}

static bool contains(char *const *items, size_t count, const char *item)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(items[i], item) == 0) {
            return true;
        }
    }
    return false;
}

bool application_from_json(const cJSON *object, struct application **ret, struct error *error)
{
    const char *api_version = json_string(object, "apiVersion");
    if (!text_has_prefix(api_version, GITMOOR_GROUP "/") ||
        !text_equal(json_string(object, "kind"), "Application")) {
        return error_set(error, ERROR_INVALID,
                         "apiVersion %s, kind %s: an Application of group %s is wanted",
                         api_version ? api_version : "(none)",
                         text_or_empty(json_string(object, "kind")), GITMOOR_GROUP);
    }
    const char *namespace_ = json_string_path(object, "metadata.namespace");
    const char *name = json_string_path(object, "metadata.name");
    if (text_is_empty(namespace_) || text_is_empty(name)) {
        return error_set(error, ERROR_INVALID,
                         "the Application lacks metadata.%s, which names its objects' owner",
                         text_is_empty(name) ? "name" : "namespace");
    }
    struct application *application = NEW(struct application);
    object_label_value(namespace_, name, application->label);
    application->namespace_ = mem_string(namespace_);
    application->name = mem_string(name);
    const cJSON *spec = json_object(object, "spec");
    const cJSON *source = json_object(spec, "source");
    const cJSON *status = json_object(object, "status");
    application->protection = protection_from_text(json_string(spec, "protection"));
    application->repository = object_source_word(object);
    const char *source_namespace = json_string(source, "namespace");
    application->source_namespace =
        mem_string(text_is_empty(source_namespace) ? namespace_ : source_namespace);
    const char *path = json_string(source, "path");
    application->path = mem_string(path ? path : ".");
    application->revision = mem_string(json_string(status, "lastAppliedRevision"));
    application->namespaces =
        read_strings(json_array(status, "namespaces"), &application->namespace_count);
    application->kinds = read_strings(json_array(status, "kinds"), &application->kind_count);
    *ret = application;
    return true;
}

void application_free(struct application *application)
{
    if (!application) {
        return;
    }
    free(application->namespace_);
    free(application->name);
    free(application->repository);
    free(application->source_namespace);
    free(application->path);
    free(application->revision);
    free_strings(application->namespaces, application->namespace_count);
    free_strings(application->kinds, application->kind_count);
    free(application);
}

bool application_holds(const struct application *application, const char *namespace_)
{
    return contains(application->namespaces, application->namespace_count, namespace_);
}

bool application_has_kind(const struct application *application, const char *kind)
{
    return contains(application->kinds, application->kind_count, kind);
}

static void free_value(void *value)
{
    application_free(value);
}

void application_set_init(struct application_set *set)
{
    map_init(&set->by_label);
    set->complete = false;
}

void application_set_release(struct application_set *set)
{
    map_release(&set->by_label, free_value);
}

void application_set_put(struct application_set *set, struct application *application)
{
    application_free(map_set(&set->by_label, application->label, application));
}

void application_set_remove(struct application_set *set, const char *namespace_, const char *name)
{
    char label[OBJECT_LABEL_VALUE_SIZE];
    object_label_value(namespace_, name, label);
    application_free(map_remove(&set->by_label, label));
}

void application_set_sweep(struct application_set *set, uint64_t epoch)
{
    size_t count = set->by_label.count;
    const char **labels = map_sorted_keys(&set->by_label); /* a map may not change while walked */
    for (size_t i = 0; i < count; i++) {
        const struct application *application = map_get(&set->by_label, labels[i]);
        if (application->epoch < epoch) {
            application_free(map_remove(&set->by_label, labels[i]));
        }
    }
    free(labels);
}

const struct application *application_set_find(const struct application_set *set, const char *label)
{
    return label ? map_get(&set->by_label, label) : NULL;
}

static bool comes_before(const struct application *left, const struct application *right)
{
    if (left->protection != right->protection) {
        return left->protection > right->protection;
    }
    return strcmp(left->label, right->label) < 0;
}

size_t application_set_select(const struct application_set *set,
                              bool (*question)(const struct application *application,
                                               const char *name),
                              const char *name, const struct application **ret, size_t maximum)
{
    size_t total = 0;
    for (struct map_slot *slot = map_first(&set->by_label); slot;
         slot = map_next(&set->by_label, slot)) {
        const struct application *application = slot->value;
        if (!question(application, name)) {
            continue;
        }
        /* Insert in order; what falls off the end is only counted. */
        for (size_t i = 0; i < maximum; i++) {
            if (i >= total) {
                ret[i] = application;
                break;
            }
            if (comes_before(application, ret[i])) {
                const struct application *moved = ret[i];
                ret[i] = application;
                application = moved;
            }
        }
        total++;
    }
    return total;
}
