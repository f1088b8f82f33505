#include "differ/normalise.h"

#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

static void remove_server_metadata(cJSON *object)
{
    static const char *const members[] = {"managedFields", "uid",      "resourceVersion",
                                          "generation",    "selfLink", "creationTimestamp"};
    cJSON *metadata = json_object(object, "metadata");
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_remove(metadata, members[i]);
    }
}

/* Generators write `creationTimestamp: null` into pod templates too; sent, it would be owned. */
static void remove_null_timestamps(cJSON *node)
{
    for (cJSON *child = json_first(node); child; child = child->next) {
        if (text_equal(child->string, "metadata") &&
            cJSON_IsNull(json_get(child, "creationTimestamp"))) {
            json_remove(child, "creationTimestamp");
        }
        remove_null_timestamps(child);
    }
}

static void fold_string_data(cJSON *secret)
{
    cJSON *plain = json_object(secret, "stringData");
    if (plain) {
        cJSON *data = json_ensure_object(secret, "data");
        for (cJSON *item = json_first(plain); item; item = item->next) {
            if (!cJSON_IsString(item)) {
                json_set(data, item->string, json_copy(item)); /* the server refuses it */
                continue;
            }
            AUTO_FREE char *encoded = base64_encode(item->valuestring, strlen(item->valuestring));
            json_set(data, item->string, json_new_string(encoded));
        }
    }
    json_remove(secret, "stringData");
}

static void default_protocol(cJSON *ports)
{
    for (cJSON *port = json_first(ports); port; port = port->next) {
        if (cJSON_IsObject(port) && !json_get(port, "protocol")) {
            json_add_string(port, "protocol", "TCP");
        }
    }
}

static void default_container_protocols(cJSON *pod_spec)
{
    static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (cJSON *item = json_first(json_array(pod_spec, lists[i])); item; item = item->next) {
            default_protocol(json_array(item, "ports"));
        }
    }
}

/* Where the kinds that hold a pod keep its spec. */
static const struct pod_holder {
    const char *group, *kind, *path;
} pod_holders[] = {
    {"", "Pod", "spec"},
    {"", "PodTemplate", "template.spec"},
    {"", "ReplicationController", "spec.template.spec"},
    {"apps", "Deployment", "spec.template.spec"},
    {"apps", "ReplicaSet", "spec.template.spec"},
    {"apps", "StatefulSet", "spec.template.spec"},
    {"apps", "DaemonSet", "spec.template.spec"},
    {"batch", "Job", "spec.template.spec"},
    {"batch", "CronJob", "spec.jobTemplate.spec.template.spec"},
};

void normalise_object(cJSON *object)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    const char *group, *version, *kind = json_string(object, "kind");
    json_remove(object, "status");
    remove_server_metadata(object);
    remove_null_timestamps(object);
    if (!kind ||
        !object_split_api_version(json_string(object, "apiVersion"), &arena, &group, &version)) {
        return; /* whoever reads its identity says so */
    }
    if (!*group && text_equal(kind, "Secret")) {
        fold_string_data(object);
    }
    if (!*group && text_equal(kind, "Service")) {
        default_protocol(json_get_path(object, "spec.ports"));
    }
    if (text_equal(group, "rbac.authorization.k8s.io") && text_equal(kind, "ClusterRole") &&
        json_object(object, "aggregationRule")) {
        json_remove(object, "rules"); /* a controller's (kustomize-controller#1041) */
    }
    for (size_t i = 0; i < sizeof pod_holders / sizeof pod_holders[0]; i++) {
        if (text_equal(group, pod_holders[i].group) && text_equal(kind, pod_holders[i].kind)) {
            default_container_protocols(json_get_path(object, pod_holders[i].path));
        }
    }
}
