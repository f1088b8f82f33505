/* The order of application: a table of the built-in kinds, searched linearly (some forty rows, once
 * per object). The group belongs to the key, since serving.knative.dev has a Service too. Within
 * ORDER_REST the table follows Helm's InstallOrder; what is not in it is a custom resource. */
#include "differ/order.h"

#include "common/base/text.h"

#include <string.h>

struct order_row {
    const char *group;
    const char *kind;
    enum order_stage stage;
};

#define WAVE_MAXIMUM 10000

#define RBAC "rbac.authorization.k8s.io"
#define ADMISSION "admissionregistration.k8s.io"

static const struct order_row order_rows[] = {
    {"apiextensions.k8s.io", "CustomResourceDefinition", ORDER_FOUNDATIONS},
    {"", "Namespace", ORDER_FOUNDATIONS},
    {RBAC, "ClusterRole", ORDER_FOUNDATIONS},
    {RBAC, "ClusterRoleBinding", ORDER_FOUNDATIONS},

    {"scheduling.k8s.io", "PriorityClass", ORDER_CLASSES},
    {"storage.k8s.io", "StorageClass", ORDER_CLASSES},
    {"storage.k8s.io", "VolumeAttributesClass", ORDER_CLASSES},
    {"storage.k8s.io", "CSIDriver", ORDER_CLASSES},
    {"snapshot.storage.k8s.io", "VolumeSnapshotClass", ORDER_CLASSES},
    {"networking.k8s.io", "IngressClass", ORDER_CLASSES},
    {"gateway.networking.k8s.io", "GatewayClass", ORDER_CLASSES},
    {"node.k8s.io", "RuntimeClass", ORDER_CLASSES},
    {"resource.k8s.io", "DeviceClass", ORDER_CLASSES},
    {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", ORDER_CLASSES},
    {"flowcontrol.apiserver.k8s.io", "FlowSchema", ORDER_CLASSES},

    {"networking.k8s.io", "NetworkPolicy", ORDER_REST},
    {"", "ResourceQuota", ORDER_REST},
    {"", "LimitRange", ORDER_REST},
    {"policy", "PodDisruptionBudget", ORDER_REST},
    {"", "ServiceAccount", ORDER_REST},
    {"", "Secret", ORDER_REST},
    {"", "ConfigMap", ORDER_REST},
    {"", "PersistentVolume", ORDER_REST},
    {"", "PersistentVolumeClaim", ORDER_REST},
    {RBAC, "Role", ORDER_REST},
    {RBAC, "RoleBinding", ORDER_REST},
    {"", "Service", ORDER_REST},
    {"", "Endpoints", ORDER_REST},
    {"discovery.k8s.io", "EndpointSlice", ORDER_REST},
    {"apps", "DaemonSet", ORDER_REST},
    {"", "Pod", ORDER_REST},
    {"", "PodTemplate", ORDER_REST},
    {"", "ReplicationController", ORDER_REST},
    {"apps", "ReplicaSet", ORDER_REST},
    {"apps", "Deployment", ORDER_REST},
    {"autoscaling", "HorizontalPodAutoscaler", ORDER_REST},
    {"apps", "StatefulSet", ORDER_REST},
    {"batch", "Job", ORDER_REST},
    {"batch", "CronJob", ORDER_REST},
    {"networking.k8s.io", "Ingress", ORDER_REST},
    {"apiregistration.k8s.io", "APIService", ORDER_REST},

    {ADMISSION, "MutatingAdmissionPolicy", ORDER_WEBHOOKS},
    {ADMISSION, "MutatingAdmissionPolicyBinding", ORDER_WEBHOOKS},
    {ADMISSION, "ValidatingAdmissionPolicy", ORDER_WEBHOOKS},
    {ADMISSION, "ValidatingAdmissionPolicyBinding", ORDER_WEBHOOKS},
    {ADMISSION, "MutatingWebhookConfiguration", ORDER_WEBHOOKS},
    {ADMISSION, "ValidatingWebhookConfiguration", ORDER_WEBHOOKS},
};
#define ORDER_ROWS (sizeof(order_rows) / sizeof(order_rows[0]))

/* The row's index, or ORDER_ROWS for a kind that is not in the table. */
static size_t order_rank(const struct object_ref *ref)
{
    for (size_t i = 0; i < ORDER_ROWS; i++) {
        if (text_equal(order_rows[i].kind, ref->kind) &&
            text_equal(order_rows[i].group, text_or_empty(ref->group))) {
            return i;
        }
    }
    return ORDER_ROWS;
}

static enum order_stage order_stage_of_rank(size_t rank)
{
    return rank < ORDER_ROWS ? order_rows[rank].stage : ORDER_REST;
}

enum order_stage order_stage_of(const struct object_ref *ref)
{
    return order_stage_of_rank(order_rank(ref));
}

static int order_compare_text(const char *left, const char *right)
{
    return strcmp(text_or_empty(left), text_or_empty(right));
}

int order_compare(const struct object_ref *left, const struct object_ref *right)
{
    size_t left_rank = order_rank(left);
    size_t right_rank = order_rank(right);
    enum order_stage left_stage = order_stage_of_rank(left_rank);
    enum order_stage right_stage = order_stage_of_rank(right_rank);
    if (left_stage != right_stage) {
        return left_stage < right_stage ? -1 : 1;
    }
    if (left_rank != right_rank) {
        return left_rank < right_rank ? -1 : 1;
    }
    int order = order_compare_text(left->kind, right->kind);
    order = order ? order : order_compare_text(left->group, right->group);
    order = order ? order : order_compare_text(left->namespace_, right->namespace_);
    return order ? order : order_compare_text(left->name, right->name);
}

bool order_read_wave(const cJSON *metadata, int *ret)
{
    const char *text = json_string(json_object(metadata, "annotations"), ORDER_WAVE_ANNOTATION);
    int64_t number = 0;
    if (text &&
        (!text_parse_int(text, &number) || number < -WAVE_MAXIMUM || number > WAVE_MAXIMUM)) {
        return false;
    }
    *ret = (int)number;
    return true;
}
