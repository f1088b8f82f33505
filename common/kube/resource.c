/* A snapshot of discovery: parsing, looking up, and the paths of resources. See resource.h. */
#include "common/kube/resource.h"
#include "common/base/arena.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

#define RESOURCES_MAXIMUM 50000 /* a cluster with 5,000 CRDs has about 15,000 */
#define PARTIAL_MAXIMUM 65536

struct kube_discovery {
    struct arena arena; /* resources and their strings */
    struct map kinds;   /* "group/version/kind" and "group//kind" to resources */
    size_t count;
    struct buf partial;
};

void kube_discovery_free(struct kube_discovery *discovery)
{
    if (!discovery) {
        return;
    }
    map_release(&discovery->kinds, NULL);
    arena_release(&discovery->arena);
    buf_release(&discovery->partial);
    free(discovery);
}

static bool has_verb(const cJSON *resource, const char *verb)
{
    for (const cJSON *item = json_first(json_array(resource, "verbs")); item; item = item->next) {
        if (cJSON_IsString(item) && text_equal(item->valuestring, verb)) {
            return true;
        }
    }
    return false;
}

static bool add_resource(struct kube_discovery *discovery, const char *group, const char *version,
                         const cJSON *item, struct error *error)
{
    struct arena *arena = &discovery->arena;
    const char *plural = json_string(item, "resource");
    const char *kind = json_string_path(item, "responseKind.kind");
    if (text_is_empty(plural) || text_is_empty(kind)) {
        return true; /* a kind we could not name anyway */
    }
    const char *exact = arena_format(arena, "%s/%s/%s", group, version, kind);
    const char *any = arena_format(arena, "%s//%s", group, kind);
    if (map_has(&discovery->kinds, exact)) {
        return true; /* the first one listed is the one that kubectl takes */
    }
    if (++discovery->count > RESOURCES_MAXIMUM) {
        return error_set(error, ERROR_LIMIT, "the API server serves more than %d kinds",
                         RESOURCES_MAXIMUM);
    }
    struct kube_resource *resource = arena_new(arena, sizeof(*resource));
    resource->group = group;
    resource->version = version;
    resource->kind = arena_string(arena, kind);
    resource->plural = arena_string(arena, plural);
    resource->namespaced = text_equal(json_string(item, "scope"), "Namespaced");
    resource->preferred = !map_has(&discovery->kinds, any); /* versions come in order */
    resource->watchable = has_verb(item, "list") && has_verb(item, "watch");
    map_set(&discovery->kinds, exact, resource);
    if (resource->preferred) {
        map_set(&discovery->kinds, any, resource);
    }
    return true;
}

void kube_discovery_each(const struct kube_discovery *discovery,
                         void (*visit)(const struct kube_resource *resource, void *context),
                         void *context)
{
    for (struct map_slot *slot = map_first(&discovery->kinds); slot;
         slot = map_next(&discovery->kinds, slot)) {
        if (!strstr(slot->key, "//")) { /* the preferred ones are there a second time */
            visit(slot->value, context);
        }
    }
}

static void note_partial(struct kube_discovery *discovery, const char *group)
{
    if (discovery->partial.size) {
        buf_append_char(&discovery->partial, ',');
    }
    buf_append_string(&discovery->partial, *group ? group : "core");
}

static bool add_group(struct kube_discovery *discovery, const cJSON *item, struct error *error)
{
    const char *group =
        arena_string(&discovery->arena, text_or_empty(json_string_path(item, "metadata.name")));
    bool partial = false;
    for (const cJSON *each = json_first(json_array(item, "versions")); each; each = each->next) {
        const char *version = arena_string(&discovery->arena, json_string(each, "version"));
        const cJSON *resources = json_array(each, "resources");
        if (text_is_empty(version)) {
            continue;
        }
        partial = partial || !resources;
        for (const cJSON *one = json_first(resources); one; one = one->next) {
            if (!add_resource(discovery, group, version, one, error)) {
                return false;
            }
        }
    }
    if (partial) {
        note_partial(discovery, group);
    }
    return true;
}

static bool add_document(struct kube_discovery *discovery, const cJSON *document,
                         struct error *error)
{
    if (!document) {
        return true;
    }
    if (!text_equal(json_string(document, "kind"), "APIGroupDiscoveryList")) {
        return error_set(error, ERROR_INVALID,
                         "the API server's discovery document is a \"%.100s\", not an "
                         "APIGroupDiscoveryList",
                         text_or_empty(json_string(document, "kind")));
    }
    for (const cJSON *item = json_first(json_array(document, "items")); item; item = item->next) {
        if (!add_group(discovery, item, error)) {
            return false;
        }
    }
    return true;
}

bool kube_discovery_parse(const cJSON *api, const cJSON *apis, struct kube_discovery **ret,
                          struct error *error)
{
    struct kube_discovery *discovery = NEW(struct kube_discovery);
    arena_init(&discovery->arena);
    map_init(&discovery->kinds);
    buf_init(&discovery->partial, PARTIAL_MAXIMUM);
    if (!add_document(discovery, api, error) || !add_document(discovery, apis, error)) {
        kube_discovery_free(discovery);
        return false;
    }
    *ret = discovery;
    return true;
}

const struct kube_resource *kube_discovery_find(const struct kube_discovery *discovery,
                                                const char *group, const char *version,
                                                const char *kind)
{
    AUTO_FREE char *key = mem_format("%s/%s/%s", group, text_or_empty(version), kind);
    return map_get(&discovery->kinds, key);
}

const char *kube_discovery_partial(const struct kube_discovery *discovery)
{
    return discovery->partial.data;
}

bool kube_discovery_is_partial(const struct kube_discovery *discovery, const char *group)
{
    const char *name = *group ? group : "core";
    size_t size = strlen(name);
    for (const char *at = discovery->partial.data; *at; at += *at == ',') {
        size_t length = strcspn(at, ",");
        if (length == size && strncmp(at, name, size) == 0) {
            return true;
        }
        at += length;
    }
    return false;
}

/* The API server looks at the decoded path, so that "%2F" would be a separator for it: such a
 * character is encoded twice, and a segment of dots as well. The server then sees a name that it
 * refuses, in the place where the name belongs. */
static void append_segment(struct buf *out, const char *segment)
{
    buf_append_char(out, '/');
    if (text_equal(segment, ".") || text_equal(segment, "..")) {
        buf_append_string(out, segment[1] ? "%252E%252E" : "%252E");
        return;
    }
    while (*segment) {
        size_t plain = strcspn(segment, "/");
        if (plain) {
            AUTO_FREE char *part = mem_string_n(segment, plain);
            buf_append_percent(out, part);
            segment += plain;
        }
        if (*segment == '/') {
            buf_append_string(out, "%252F");
            segment++;
        }
    }
}

void kube_resource_path(const struct kube_resource *resource, const char *namespace_,
                        const char *name, struct buf *out)
{
    if (*resource->group) {
        buf_append_string(out, "/apis");
        append_segment(out, resource->group);
    } else {
        buf_append_string(out, "/api");
    }
    append_segment(out, resource->version);
    if (resource->namespaced && !text_is_empty(namespace_)) {
        buf_append_string(out, "/namespaces");
        append_segment(out, namespace_);
    }
    append_segment(out, resource->plural);
    if (name) {
        append_segment(out, name);
    }
}
