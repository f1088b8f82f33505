#include "differ/force.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/application.h"

#include <string.h>

static struct metric recreated = {
    .name = "gitmoor_differ_recreated_total",
    .help = "Objects that were made anew, since a field of them is immutable.",
    .type = METRIC_COUNTER,
};

/* Whose deletion loses nothing but a moment: what they hold is in Git, what depends on them is made
 * anew by controllers. Not among them: whatever holds data or the objects of others
 * (PersistentVolumes and their claims, Namespaces, CustomResourceDefinitions), and custom
 * resources, of which nobody knows. */
static const struct {
    const char *group, *kind;
} harmless[] = {
    {"", "ConfigMap"},
    {"", "Endpoints"},
    {"", "LimitRange"},
    {"", "Pod"},
    {"", "PodTemplate"},
    {"", "ReplicationController"},
    {"", "ResourceQuota"},
    {"", "Secret"},
    {"", "Service"},
    {"apps", "DaemonSet"},
    {"apps", "Deployment"},
    {"apps", "ReplicaSet"},
    {"apps", "StatefulSet"},
    {"autoscaling", "HorizontalPodAutoscaler"},
    {"batch", "CronJob"},
    {"batch", "Job"},
    {"discovery.k8s.io", "EndpointSlice"},
    {"networking.k8s.io", "Ingress"},
    {"networking.k8s.io", "IngressClass"},
    {"networking.k8s.io", "NetworkPolicy"},
    {"policy", "PodDisruptionBudget"},
    {"rbac.authorization.k8s.io", "ClusterRole"},
    {"rbac.authorization.k8s.io", "ClusterRoleBinding"},
    {"rbac.authorization.k8s.io", "Role"},
    {"rbac.authorization.k8s.io", "RoleBinding"},
    {"scheduling.k8s.io", "PriorityClass"},
    {"storage.k8s.io", "CSIDriver"},
    {"storage.k8s.io", "StorageClass"},
};

static bool is_harmless(const struct object_ref *ref)
{
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        if (text_equal(harmless[i].group, ref->group) && text_equal(harmless[i].kind, ref->kind)) {
            return true;
        }
    }
    return false;
}

/* A StatefulSet may have its claims deleted with it. */
static bool takes_data_along(const cJSON *tree)
{
    return text_equal(
        json_string_path(tree, "spec.persistentVolumeClaimRetentionPolicy.whenDeleted"), "Delete");
}

enum choice { CHOICE_NONE, CHOICE_YES, CHOICE_NO, CHOICE_LOSES_DATA };

static enum choice choice_of(const struct desired_object *object)
{
    AUTO_JSON cJSON *tree = NULL;
    if (!json_parse(object->text, object->size, NULL, &tree, NULL)) {
        return CHOICE_NO;
    }
    const char *word = json_string(json_get_path(tree, "metadata.annotations"), FORCE_ANNOTATION);
    if (word) {
        return text_equal(word, "true") ? CHOICE_YES : CHOICE_NO;
    }
    return is_harmless(&object->ref) && !takes_data_along(tree) ? CHOICE_NONE : CHOICE_LOSES_DATA;
}

bool force_allows(const struct application *application, const struct desired_object *object)
{
    enum choice choice = choice_of(object);
    return choice == CHOICE_YES || (choice == CHOICE_NONE && application->spec.force);
}

char *force_advise(const struct desired_object *object, const char *fields)
{
    if (!fields) {
        return NULL;
    }
    static const char *const advice[] = {
        [CHOICE_NONE] = "Put it back in Git, or have the object deleted and made anew: by "
                        "spec.force: true, or by its annotation gitmoor.io/force: \"true\" in Git",
        [CHOICE_YES] = "It was made anew, and the server refuses it all the same",
        [CHOICE_NO] = "Its annotation gitmoor.io/force forbids to delete it and make it anew",
        [CHOICE_LOSES_DATA] = "Put it back in Git; spec.force does not reach it, since data could "
                              "be lost. If that is meant, its annotation gitmoor.io/force: "
                              "\"true\" in Git has it deleted and made anew",
    };
    return mem_format("immutable: %s. %s. The server: ", fields, advice[choice_of(object)]);
}

void force_tell(struct application *application, const struct object_ref *ref)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_FREE char *note = mem_format("deleted %s and made it anew: a field of it is immutable",
                                      object_ref_describe(ref, &arena));
    metric_add(&recreated, NULL, 1);
    log_info("object made anew", "application", application->key, "object", note);
    status_event(application, "Normal", "Recreated", "Reconcile", note);
}
