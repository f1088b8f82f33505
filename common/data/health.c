/* The rules of kstatus: what all objects have in common first (deletion, generations, the standard
 * conditions), then the kinds that Kubernetes itself brings, then the Ready condition.
 * Source: sigs.k8s.io/cli-utils v0.37.2, pkg/kstatus/status; the tests hold this against it. */
#include "common/data/health.h"

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/data/health_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How long a Pod may lack a node before it is called unschedulable. */
#define SCHEDULE_WINDOW_MS 15000

const char *health_status_name(enum health_status status)
{
    static const char *const names[] = {"InProgress",  "Failed",   "Current",
                                        "Terminating", "NotFound", "Unknown"};
    return names[status];
}

/* ---- Answers ---- */

/* Cuts what did not fit between two characters. */
static void cut_message(char *message, int wanted)
{
    size_t size = HEALTH_MESSAGE_SIZE - 1;
    if (wanted < HEALTH_MESSAGE_SIZE) {
        return;
    }
    while (size > 0 && !text_is_utf8(message, size)) {
        size--;
    }
    message[size] = '\0';
}

enum health_status health_answer(char *message, enum health_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(message, HEALTH_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    cut_message(message, wanted);
    return status;
}

/* ---- Reading as Go's unstructured objects are read ---- */

/* A whole number as Go decodes one into an int64: 1.0 is none. */
static bool is_int(const cJSON *node, int64_t *ret)
{
    return json_is_number(node) && text_parse_int(node->valuestring, ret);
}

static int64_t int_at(const cJSON *object, const char *path, int64_t otherwise)
{
    int64_t value;
    return is_int(json_get_path(object, path), &value) ? value : otherwise;
}

static const char *string_at(const cJSON *object, const char *path, const char *otherwise)
{
    const char *value = json_string_path(object, path);
    return value ? value : otherwise;
}

static bool is_absent(const cJSON *node)
{
    return !node || cJSON_IsNull(node);
}

static const cJSON *conditions_of(const cJSON *object)
{
    return json_array(json_object(object, "status"), "conditions");
}

/* What kstatus refuses to decode: a status, conditions or a condition of the wrong shape. */
static bool has_malformed_conditions(const cJSON *object)
{
    static const char *const members[] = {"type", "status", "reason", "message"};
    const cJSON *status = json_get(object, "status");
    const cJSON *conditions = json_get(status, "conditions");
    if ((!is_absent(status) && !cJSON_IsObject(status)) ||
        (!is_absent(conditions) && !cJSON_IsArray(conditions))) {
        return true;
    }
    for (const cJSON *condition = json_first(conditions); condition; condition = condition->next) {
        if (!is_absent(condition) && !cJSON_IsObject(condition)) {
            return true;
        }
        for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
            const cJSON *member = json_get(condition, members[i]);
            if (!is_absent(member) && !cJSON_IsString(member)) {
                return true;
            }
        }
    }
    return false;
}

static bool condition_is(const cJSON *condition, const char *type, const char *status)
{
    return text_equal(json_string(condition, "type"), type) &&
           text_equal(json_string(condition, "status"), status);
}

static const cJSON *find_condition(const cJSON *object, const char *type, const char *status)
{
    const cJSON *condition = json_first(conditions_of(object));
    while (condition && !condition_is(condition, type, status)) {
        condition = condition->next;
    }
    return condition;
}

static const char *condition_message(const cJSON *condition)
{
    return text_or_empty(json_string(condition, "message"));
}

/* ---- The kinds of Kubernetes ---- */

static enum health_status judge_always_ready(const cJSON *object, char *message)
{
    (void)object;
    return health_answer(message, HEALTH_CURRENT, "Resource is always ready");
}

static enum health_status judge_service(const cJSON *object, char *message)
{
    if (text_equal(string_at(object, "spec.type", "ClusterIP"), "LoadBalancer") &&
        text_is_empty(string_at(object, "spec.clusterIP", ""))) {
        return health_answer(message, HEALTH_IN_PROGRESS,
                             "ClusterIP not set. Service type: LoadBalancer");
    }
    return health_answer(message, HEALTH_CURRENT, "Service is ready");
}

static enum health_status judge_claim(const cJSON *object, char *message)
{
    const char *phase = string_at(object, "status.phase", "unknown");
    if (strcmp(phase, "Bound") != 0) {
        return health_answer(message, HEALTH_IN_PROGRESS, "PVC is not Bound. phase: %s", phase);
    }
    return health_answer(message, HEALTH_CURRENT, "PVC is Bound");
}

static enum health_status judge_disruption_budget(const cJSON *object, char *message)
{
    (void)object; /* its generation has been observed, or we would not be here */
    return health_answer(message, HEALTH_CURRENT, "AllowedDisruptions has been computed.");
}

/* The names of the containers in CrashLoopBackOff, comma-separated. False if the status is
 * malformed. */
static bool list_crash_loops(const cJSON *object, char names[HEALTH_MESSAGE_SIZE])
{
    const cJSON *statuses = json_get_path(object, "status.containerStatuses");
    size_t size = 0;
    names[0] = '\0';
    if (!statuses) {
        return true;
    }
    if (!cJSON_IsArray(statuses)) {
        return false;
    }
    for (const cJSON *status = json_first(statuses); status; status = status->next) {
        const char *name = json_string(status, "name");
        if (!cJSON_IsObject(status)) {
            return false;
        }
        if (name && size < HEALTH_MESSAGE_SIZE &&
            text_equal(json_string_path(status, "state.waiting.reason"), "CrashLoopBackOff")) {
            int added = snprintf(names + size, HEALTH_MESSAGE_SIZE - size, "%s%s",
                                 size > 0 ? "," : "", name);
            size += added > 0 ? (size_t)added : 0;
        }
    }
    return true;
}

static enum health_status judge_running_pod(const cJSON *object, char *message)
{
    char names[HEALTH_MESSAGE_SIZE];
    if (find_condition(object, "Ready", "True")) {
        return health_answer(message, HEALTH_CURRENT, "Pod is Ready");
    }
    if (!list_crash_loops(object, names)) {
        return health_answer(message, HEALTH_UNKNOWN, "status.containerStatuses is malformed");
    }
    if (names[0]) {
        return health_answer(message, HEALTH_FAILED, "Containers in CrashLoop state: %s", names);
    }
    return health_answer(message, HEALTH_IN_PROGRESS, "Pod is running but is not Ready");
}

/* Whether the object is younger than the window. One whose age is not known is not. */
static bool is_just_created(const cJSON *object)
{
    const char *text = json_string_path(object, "metadata.creationTimestamp");
    int64_t created;
    return text && clock_parse_rfc3339(text, &created) &&
           clock_wall_ms() - SCHEDULE_WINDOW_MS < created;
}

static enum health_status judge_pod(const cJSON *object, char *message)
{
    const char *phase = string_at(object, "status.phase", "");
    if (strcmp(phase, "Succeeded") == 0) {
        return health_answer(message, HEALTH_CURRENT, "Pod has completed successfully");
    }
    if (strcmp(phase, "Failed") == 0) {
        return health_answer(message, HEALTH_CURRENT, "Pod has completed, but not successfully");
    }
    if (strcmp(phase, "Running") == 0) {
        return judge_running_pod(object, message);
    }
    if (strcmp(phase, "Pending") == 0) {
        const cJSON *scheduled = find_condition(object, "PodScheduled", "False");
        if (!text_equal(json_string(scheduled, "reason"), "Unschedulable")) {
            return health_answer(message, HEALTH_IN_PROGRESS, "Pod is in the Pending phase");
        }
        return is_just_created(object)
                   ? health_answer(message, HEALTH_IN_PROGRESS, "Pod has not been scheduled")
                   : health_answer(message, HEALTH_FAILED, "Pod could not be scheduled");
    }
    if (*phase == '\0') {
        return health_answer(message, HEALTH_IN_PROGRESS, "Pod phase not available");
    }
    return health_answer(message, HEALTH_UNKNOWN, "unknown phase %s", phase);
}

#define RATIO(label) label ": %lld/%lld"

static enum health_status lacking(char *message, const char *format, int64_t is, int64_t wanted)
    __attribute__((format(printf, 2, 0)));

static enum health_status lacking(char *message, const char *format, int64_t is, int64_t wanted)
{
    snprintf(message, HEALTH_MESSAGE_SIZE, format, (long long)is, (long long)wanted);
    return HEALTH_IN_PROGRESS;
}

static enum health_status judge_partition(int64_t partition, int64_t wanted, int64_t updated,
                                          char *message)
{
    /* Subtracted in unsigned arithmetic, since both come from outside. */
    int64_t rest = (int64_t)((uint64_t)wanted - (uint64_t)partition);
    if (updated < rest) {
        return lacking(message, RATIO("updated"), updated, rest);
    }
    return health_answer(message, HEALTH_CURRENT, "Partition rollout complete. updated: %lld",
                         (long long)updated);
}

static enum health_status surplus(char *message, int64_t is, int64_t wanted)
{
    return health_answer(message, HEALTH_IN_PROGRESS, "Pending termination: %lld",
                         (long long)((uint64_t)is - (uint64_t)wanted));
}

static enum health_status judge_stateful_set(const cJSON *object, char *message)
{
    if (text_equal(json_string_path(object, "spec.updateStrategy.type"), "OnDelete")) {
        return health_answer(message, HEALTH_CURRENT,
                             "StatefulSet is using the ondelete update strategy");
    }
    int64_t wanted = int_at(object, "spec.replicas", 1);
    int64_t ready = int_at(object, "status.readyReplicas", 0);
    int64_t current = int_at(object, "status.currentReplicas", 0);
    int64_t replicas = int_at(object, "status.replicas", 0);
    int64_t partition = int_at(object, "spec.updateStrategy.rollingUpdate.partition", -1);
    if (wanted > replicas) {
        return lacking(message, RATIO("Replicas"), replicas, wanted);
    }
    if (wanted > ready) {
        return lacking(message, RATIO("Ready"), ready, wanted);
    }
    if (replicas > wanted) {
        return surplus(message, replicas, wanted);
    }
    if (partition != -1) {
        return judge_partition(partition, wanted, int_at(object, "status.updatedReplicas", 0),
                               message);
    }
    if (wanted > current) {
        return lacking(message, RATIO("current"), current, wanted);
    }
    if (!text_equal(string_at(object, "status.currentRevision", ""),
                    string_at(object, "status.updateRevision", ""))) {
        return health_answer(message, HEALTH_IN_PROGRESS,
                             "Waiting for updated revision to match current");
    }
    return health_answer(message, HEALTH_CURRENT,
                         "All replicas scheduled as expected. Replicas: %lld", (long long)replicas);
}

static enum health_status judge_daemon_set(const cJSON *object, char *message)
{
    const char *kind = text_or_empty(json_string(object, "kind"));
    if (!json_get_path(object, "metadata.generation")) {
        return health_answer(message, HEALTH_IN_PROGRESS, "%s metadata.generation not found", kind);
    }
    if (!json_get_path(object, "status.observedGeneration")) {
        return health_answer(message, HEALTH_IN_PROGRESS, "%s status.observedGeneration not found",
                             kind);
    }
    static const struct {
        const char *path, *format;
    } counts[] = {
        {"status.currentNumberScheduled", RATIO("Current")},
        {"status.updatedNumberScheduled", RATIO("Updated")},
        {"status.numberAvailable", RATIO("Available")},
        {"status.numberReady", RATIO("Ready")},
    };
    int64_t wanted = int_at(object, "status.desiredNumberScheduled", -1);
    if (wanted == -1) {
        return health_answer(message, HEALTH_IN_PROGRESS, "Missing .status.desiredNumberScheduled");
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int64_t count = int_at(object, counts[i].path, 0);
        if (wanted > count) {
            return lacking(message, counts[i].format, count, wanted);
        }
    }
    return health_answer(message, HEALTH_CURRENT,
                         "All replicas scheduled as expected. Replicas: %lld", (long long)wanted);
}

/* HEALTH_UNKNOWN: the counts do not object. */
static enum health_status judge_deployment_counts(const cJSON *object, char *message)
{
    int64_t wanted = int_at(object, "spec.replicas", 1);
    int64_t replicas = int_at(object, "status.replicas", 0);
    int64_t updated = int_at(object, "status.updatedReplicas", 0);
    int64_t ready = int_at(object, "status.readyReplicas", 0);
    int64_t available = int_at(object, "status.availableReplicas", 0);
    if (wanted > replicas) {
        return lacking(message, RATIO("Replicas"), replicas, wanted);
    }
    if (wanted > updated) {
        return lacking(message, RATIO("Updated"), updated, wanted);
    }
    if (replicas > wanted) {
        return surplus(message, replicas, wanted);
    }
    if (updated > available) {
        return lacking(message, RATIO("Available"), available, updated);
    }
    if (wanted > ready) {
        return lacking(message, RATIO("Ready"), ready, wanted);
    }
    return HEALTH_UNKNOWN;
}

static enum health_status judge_deployment(const cJSON *object, char *message)
{
    /* Without a deadline (or with this one, which means the same) the controller does not write
     * the condition Progressing. */
    bool progressing = int_at(object, "spec.progressDeadlineSeconds", INT32_MAX) == INT32_MAX;
    for (const cJSON *condition = json_first(conditions_of(object)); condition;
         condition = condition->next) {
        const char *reason = json_string(condition, "reason");
        if (text_equal(json_string(condition, "type"), "Progressing") &&
            text_equal(reason, "ProgressDeadlineExceeded")) {
            return health_answer(message, HEALTH_FAILED, "Progress deadline exceeded");
        }
        progressing = progressing || (condition_is(condition, "Progressing", "True") &&
                                      text_equal(reason, "NewReplicaSetAvailable"));
    }
    enum health_status status = judge_deployment_counts(object, message);
    if (status != HEALTH_UNKNOWN) {
        return status;
    }
    if (!progressing) {
        return health_answer(message, HEALTH_IN_PROGRESS, "ReplicaSet not Available");
    }
    if (!find_condition(object, "Available", "True")) {
        return health_answer(message, HEALTH_IN_PROGRESS, "Deployment not Available");
    }
    return health_answer(message, HEALTH_CURRENT, "Deployment is available. Replicas: %lld",
                         (long long)int_at(object, "status.replicas", 0));
}

static enum health_status judge_replica_set(const cJSON *object, char *message)
{
    if (find_condition(object, "ReplicaFailure", "True")) {
        return health_answer(message, HEALTH_IN_PROGRESS, "Replica Failure condition. Check Pods");
    }
    static const struct {
        const char *path, *format;
    } counts[] = {
        {"status.fullyLabeledReplicas", RATIO("Labelled")},
        {"status.availableReplicas", RATIO("Available")},
        {"status.readyReplicas", RATIO("Ready")},
    };
    int64_t wanted = int_at(object, "spec.replicas", 1);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int64_t count = int_at(object, counts[i].path, 0);
        if (wanted > count) {
            return lacking(message, counts[i].format, count, wanted);
        }
    }
    int64_t replicas = int_at(object, "status.replicas", 0);
    if (replicas > wanted) {
        return surplus(message, replicas, wanted);
    }
    return health_answer(message, HEALTH_CURRENT, "ReplicaSet is available. Replicas: %lld",
                         (long long)replicas);
}

/* A Job that runs is Current: what waits for its end asks for the condition Complete. */
static enum health_status judge_job(const cJSON *object, char *message)
{
    long long completions =
        int_at(object, "spec.completions", int_at(object, "spec.parallelism", 1));
    long long succeeded = int_at(object, "status.succeeded", 0);
    long long failed = int_at(object, "status.failed", 0);
    for (const cJSON *condition = json_first(conditions_of(object)); condition;
         condition = condition->next) {
        if (condition_is(condition, "Complete", "True")) {
            return health_answer(message, HEALTH_CURRENT, "Job Completed. succeeded: %lld/%lld",
                                 succeeded, completions);
        }
        if (condition_is(condition, "Failed", "True")) {
            return health_answer(message, HEALTH_FAILED, "Job Failed. failed: %lld/%lld", failed,
                                 completions);
        }
    }
    if (text_is_empty(json_string_path(object, "status.startTime"))) {
        return health_answer(message, HEALTH_IN_PROGRESS, "Job not started");
    }
    return health_answer(message, HEALTH_CURRENT,
                         "Job in progress. success:%lld, active: %lld, failed: %lld", succeeded,
                         (long long)int_at(object, "status.active", 0), failed);
}

static enum health_status judge_definition(const cJSON *object, char *message)
{
    for (const cJSON *condition = json_first(conditions_of(object)); condition;
         condition = condition->next) {
        bool is_refused = condition_is(condition, "NamesAccepted", "False") ||
                          (condition_is(condition, "Established", "False") &&
                           !text_equal(json_string(condition, "reason"), "Installing"));
        if (is_refused) {
            return health_answer(message, HEALTH_FAILED, "%s", condition_message(condition));
        }
        if (condition_is(condition, "Established", "True")) {
            return health_answer(message, HEALTH_CURRENT, "CRD is established");
        }
    }
    return health_answer(message, HEALTH_IN_PROGRESS, "Install in progress");
}

typedef enum health_status judge_function(const cJSON *object, char *message);

static const struct {
    const char *group, *kind;
    judge_function *judge;
} kinds[] = {
    {"", "Service", judge_service},
    {"", "Pod", judge_pod},
    {"", "Secret", judge_always_ready},
    {"", "PersistentVolumeClaim", judge_claim},
    {"", "ConfigMap", judge_always_ready},
    {"apps", "StatefulSet", judge_stateful_set},
    {"apps", "DaemonSet", judge_daemon_set},
    {"extensions", "DaemonSet", judge_daemon_set},
    {"apps", "Deployment", judge_deployment},
    {"extensions", "Deployment", judge_deployment},
    {"apps", "ReplicaSet", judge_replica_set},
    {"extensions", "ReplicaSet", judge_replica_set},
    {"policy", "PodDisruptionBudget", judge_disruption_budget},
    {"batch", "CronJob", judge_always_ready},
    {"batch", "Job", judge_job},
    {"apiextensions.k8s.io", "CustomResourceDefinition", judge_definition},
};

static judge_function *find_judge(const cJSON *object)
{
    const char *api_version = text_or_empty(json_string(object, "apiVersion"));
    const char *kind = text_or_empty(json_string(object, "kind"));
    const char *slash = strchr(api_version, '/');
    size_t size = slash ? (size_t)(slash - api_version) : 0;
    if (slash && strchr(slash + 1, '/')) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].group) == size && memcmp(kinds[i].group, api_version, size) == 0 &&
            strcmp(kinds[i].kind, kind) == 0) {
            return kinds[i].judge;
        }
    }
    return NULL;
}

/* ---- What all objects have in common ---- */

bool health_judge_deletion(const cJSON *object, char *message, enum health_status *ret)
{
    const cJSON *metadata = json_get(object, "metadata");
    const cJSON *deletion = json_get(metadata, "deletionTimestamp");
    if ((!is_absent(metadata) && !cJSON_IsObject(metadata)) ||
        (deletion && !cJSON_IsString(deletion))) {
        *ret = health_answer(message, HEALTH_UNKNOWN, "metadata.deletionTimestamp cannot be read");
        return true;
    }
    if (deletion && deletion->valuestring[0]) {
        *ret = health_answer(message, HEALTH_TERMINATING, "Resource scheduled for deletion");
        return true;
    }
    return false;
}

/* True: decided, by what cannot be read, or by a generation not yet observed. */
static bool judge_generation(const cJSON *object, char *message, enum health_status *ret)
{
    static const char *const members[] = {"metadata.generation", "status.observedGeneration"};
    int64_t values[2];
    for (size_t i = 0; i < 2; i++) {
        const cJSON *node = json_get_path(object, members[i]);
        if (!node) {
            return false;
        }
        if (!is_int(node, &values[i])) {
            *ret = health_answer(message, HEALTH_UNKNOWN, "%s is not a whole number", members[i]);
            return true;
        }
    }
    if (values[0] != values[1]) {
        *ret = health_answer(message, HEALTH_IN_PROGRESS,
                             "%s generation is %lld, but latest observed generation is %lld",
                             text_or_empty(json_string(object, "kind")), (long long)values[0],
                             (long long)values[1]);
        return true;
    }
    return false;
}

/* True: decided by Reconciling or Stalled, whichever comes first. */
static bool judge_standard_conditions(const cJSON *object, char *message, enum health_status *ret)
{
    for (const cJSON *condition = json_first(conditions_of(object)); condition;
         condition = condition->next) {
        bool is_stalled = condition_is(condition, "Stalled", "True");
        if (is_stalled || condition_is(condition, "Reconciling", "True")) {
            *ret = health_answer(message, is_stalled ? HEALTH_FAILED : HEALTH_IN_PROGRESS, "%s",
                                 condition_message(condition));
            return true;
        }
    }
    return false;
}

static enum health_status judge_ready_condition(const cJSON *object, char *message)
{
    for (const cJSON *condition = json_first(conditions_of(object)); condition;
         condition = condition->next) {
        if (condition_is(condition, "Ready", "True")) {
            return health_answer(message, HEALTH_CURRENT, "Resource is Ready");
        }
        if (condition_is(condition, "Ready", "False") ||
            condition_is(condition, "Ready", "Unknown")) {
            return health_answer(message, HEALTH_IN_PROGRESS, "%s", condition_message(condition));
        }
    }
    return health_answer(message, HEALTH_CURRENT, "Resource is current");
}

enum health_status health_judge(const cJSON *object, char ret_message[HEALTH_MESSAGE_SIZE])
{
    enum health_status status;
    if (text_is_empty(json_string(object, "kind"))) {
        return health_answer(ret_message, HEALTH_UNKNOWN, "not an object: it has no kind");
    }
    if (health_judge_deletion(object, ret_message, &status) ||
        judge_generation(object, ret_message, &status)) {
        return status;
    }
    if (has_malformed_conditions(object)) {
        return health_answer(ret_message, HEALTH_UNKNOWN, "status.conditions cannot be read");
    }
    if (judge_standard_conditions(object, ret_message, &status)) {
        return status;
    }
    judge_function *judge = find_judge(object);
    return judge ? judge(object, ret_message) : judge_ready_condition(object, ret_message);
}
