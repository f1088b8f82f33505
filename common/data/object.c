#include "common/data/object.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/fields.h"

#include <stdio.h>
#include <string.h>

/* First bytes of every fingerprint: a new way to compute them must not meet an old one's result. */
static const char fingerprint_seed[] = "gitmoor fingerprint 1";

bool object_split_api_version(const char *api_version, struct arena *arena, const char **ret_group,
                              const char **ret_version)
{
    if (text_is_empty(api_version)) {
        return false;
    }
    const char *slash = strchr(api_version, '/');
    if (!slash) {
        *ret_group = "";
        *ret_version = arena_string(arena, api_version);
        return true;
    }
    if (slash == api_version || slash[1] == '\0' || strchr(slash + 1, '/')) {
        return false;
    }
    *ret_group = arena_string_n(arena, api_version, (size_t)(slash - api_version));
    *ret_version = arena_string(arena, slash + 1);
    return true;
}

/* The member as a string that is not empty, or NULL with the reason. */
static const char *required_string(const cJSON *object, const char *name, struct error *error)
{
    const cJSON *member = json_get(object, name);
    if (!member || cJSON_IsNull(member)) {
        error_set(error, ERROR_INVALID, "%s is missing", name);
        return NULL;
    }
    if (!cJSON_IsString(member) || text_is_empty(member->valuestring)) {
        error_set(error, ERROR_INVALID, "%s must be a string that is not empty", name);
        return NULL;
    }
    return member->valuestring;
}

/* A name such as 5, no or y, that YAML takes for something else. */
static bool is_text(const cJSON *metadata, const char *name, const char *kind, struct error *error)
{
    const cJSON *member = json_get(metadata, name);
    return !member || cJSON_IsNull(member) || cJSON_IsString(member) ||
           error_set(error, ERROR_INVALID,
                     "%s: metadata.%s is not text: a number, yes, no, on, off, y and n need quotes",
                     kind, name);
}

bool object_ref_from_json(const cJSON *object, struct arena *arena, struct object_ref *ret,
                          struct error *error)
{
    if (!cJSON_IsObject(object)) {
        return error_set(error, ERROR_INVALID,
                         "not a Kubernetes object: a mapping with apiVersion and kind is expected");
    }
    struct object_ref ref = {0};
    const char *api_version = required_string(object, "apiVersion", error);
    if (!api_version) {
        return false;
    }
    ref.kind = required_string(object, "kind", error);
    if (!ref.kind) {
        return false;
    }
    if (!object_split_api_version(api_version, arena, &ref.group, &ref.version)) {
        return error_set(error, ERROR_INVALID,
                         "apiVersion \"%s\" is neither \"version\" nor \"group/version\"",
                         api_version);
    }
    const cJSON *metadata = json_object(object, "metadata");
    const char *name = json_string(metadata, "name");
    if (!is_text(metadata, "name", ref.kind, error) ||
        !is_text(metadata, "namespace", ref.kind, error)) {
        return false;
    }
    if (text_is_empty(name) && text_is_empty(json_string(metadata, "generateName"))) {
        return error_set(error, ERROR_INVALID, "%s: metadata.name is missing", ref.kind);
    }
    ref.name = text_or_empty(name);
    ref.namespace_ = text_or_empty(json_string(metadata, "namespace"));
    *ret = ref;
    return true;
}

char *object_ref_key(const struct object_ref *ref, struct arena *arena)
{
    return arena_format(arena, "%s/%s/%s/%s", ref->group, ref->kind, ref->namespace_, ref->name);
}

char *object_ref_describe(const struct object_ref *ref, struct arena *arena)
{
    return arena_format(arena, "%s %s%s%s", ref->kind, ref->namespace_, *ref->namespace_ ? "/" : "",
                        ref->name);
}

char *object_ref_api_version(const struct object_ref *ref, struct arena *arena)
{
    return arena_format(arena, "%s%s%s", ref->group, *ref->group ? "/" : "", ref->version);
}

char *object_source_word(const cJSON *application)
{
    const char *git = json_string_path(application, "spec.source.repository");
    const char *helm = json_string_path(application, "spec.source.helmRepository");
    return git || !helm ? mem_string(git) : mem_format(OBJECT_SOURCE_HELM "%s", helm);
}

const char *object_source_name(const char *word, const char **ret_kind)
{
    bool helm = text_has_prefix(word, OBJECT_SOURCE_HELM);
    *ret_kind = helm ? "HelmRepository" : "GitRepository";
    return helm ? word + strlen(OBJECT_SOURCE_HELM) : word;
}

void object_label_value(const char *namespace_, const char *application,
                        char ret_value[OBJECT_LABEL_VALUE_SIZE])
{
    AUTO_FREE char *full = mem_format("%s.%s", namespace_, application);
    size_t size = strlen(full);
    if (size < OBJECT_LABEL_VALUE_SIZE) {
        memcpy(ret_value, full, size + 1);
        return;
    }
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    digest_of(full, size, &digest);
    digest_to_hex(&digest, hex);
    snprintf(ret_value, OBJECT_LABEL_VALUE_SIZE, "%.46s-%.16s", full, hex);
}

const char *object_label(const cJSON *object)
{
    return json_string(json_object(json_object(object, "metadata"), "labels"), GITMOOR_LABEL);
}

static bool is_our_entry(const cJSON *entry)
{
    return text_equal(json_string(entry, "manager"), GITMOOR_FIELD_MANAGER) &&
           text_equal(json_string(entry, "operation"), "Apply") &&
           text_is_empty(json_string(entry, "subresource")) && json_object(entry, "fieldsV1");
}

/* Times are RFC 3339 in UTC, as the API server writes them, and so compare as strings. */
const cJSON *object_managed_fields(const cJSON *object)
{
    const cJSON *entries = json_array(json_object(object, "metadata"), "managedFields");
    const cJSON *newest = NULL;
    for (const cJSON *entry = json_first(entries); entry; entry = entry->next) {
        if (is_our_entry(entry) &&
            (!newest || strcmp(text_or_empty(json_string(entry, "time")),
                               text_or_empty(json_string(newest, "time"))) >= 0)) {
            newest = entry;
        }
    }
    return json_object(newest, "fieldsV1");
}

void object_fingerprint(const cJSON *live, struct digest *ret)
{
    const cJSON *set = object_managed_fields(live);
    if (!set) {
        *ret = (struct digest){0};
        return;
    }
    struct digest_state *state = digest_new();
    digest_update(state, fingerprint_seed, sizeof fingerprint_seed);
    fields_digest(set, live, state);
    digest_finish(state, ret);
}
