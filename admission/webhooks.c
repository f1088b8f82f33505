/* The entries, each as narrow as can be, so that nothing unmanaged ever waits for us:
 *
 * objects      writes and deletions of whatever carries our label, before or after (objectSelector
 *              matches either), /resize of Pods included. No other subresource.
 * status       the same objects' /status, but only if it would change labels, annotations,
 *              ownerReferences or managedFields: some built-in kinds let /status do that.
 * namespaces   deletion of any Namespace: it need not be labelled to hold managed objects.
 * scale        /scale, in the mutating phase, where the old Scale tells who owns the replicas
 *              (kubernetes#113594: it has no labels to select by). It never patches.
 * reasons      a break-glass reason that is written on a workload, only to be remembered for its
 *              /scale, whose reviews do not show it: failurePolicy Ignore. Of the built-in kinds
 *              that scale, and of no others: whatever is written costs one evaluation of the
 *              expression. What is let through by break-glass is seen by the differ's watch.
 *
 * Exempt by matchConditions, so that it goes on with every replica down: the applier; break-glass;
 * what is terminating; the control plane's own controllers, which roll out, bind, collect and copy
 * labels to EndpointSlices, though not the autoscaler, and none of them at /scale. The expressions
 * cannot fail: a failing one would refuse the request under Fail. */
#include "admission/webhooks.h"

#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

#define EXPRESSION_MAXIMUM ((size_t)16384)
#define CONDITIONS_MAXIMUM 6
#define RULES_MAXIMUM 2
#define RESOURCES_MAXIMUM 4

/* The object whose annotation tells the reason. */
#define SUBJECT "(request.operation == 'DELETE' ? oldObject : object)"
#define MANAGER                                                                                    \
    "(has(request.options) && has(request.options.fieldManager) && "                               \
    "request.options.fieldManager == '" GITMOOR_FIELD_MANAGER "')"
#define BREAK_GLASS                                                                                \
    "(has(request.userInfo.groups) && '" GITMOOR_BREAK_GLASS_GROUP "' in request.userInfo.groups"  \
    " && !" MANAGER " && has(" SUBJECT                                                             \
    ".metadata.annotations) && '" GITMOOR_BREAK_GLASS_ANNOTATION "' in " SUBJECT                   \
    ".metadata.annotations && " SUBJECT ".metadata.annotations['" GITMOOR_BREAK_GLASS_ANNOTATION   \
    "'].matches('[^ \\t\\r\\n]'))"
/* Leases and Events are written all the time and declared by nobody. Deletions of Namespaces have
 * an entry of their own. */
#define ELSEWHERE                                                                                  \
    "!(request.resource.resource == 'leases' && request.resource.group == 'coordination.k8s.io')"  \
    " && request.resource.resource != 'events'"
#define NAMESPACE_DELETION                                                                         \
    "(request.operation == 'DELETE' && request.resource.resource == 'namespaces' && "              \
    "request.resource.group == '')"
#define CHANGED(field, empty)                                                                      \
    "(has(object.metadata." field ") ? object.metadata." field " : " empty ") != "                 \
    "(has(oldObject.metadata." field ") ? oldObject.metadata." field " : " empty ")"
#define OURS(object)                                                                               \
    "(has(" object ".metadata.managedFields) && " object ".metadata.managedFields.exists(e, "      \
    "has(e.manager) && e.manager == '" GITMOOR_FIELD_MANAGER "' && has(e.operation) && "           \
    "e.operation == 'Apply'))"
/* Our field manager is never exempt. */
#define NOT_TERMINATING                                                                            \
    "!(oldObject != null && has(oldObject.metadata.deletionTimestamp)) || " MANAGER
#define STATUS_TOUCHES_METADATA                                                                    \
    CHANGED("labels", "{}")                                                                        \
    " || " CHANGED("annotations", "{}") " || " CHANGED("ownerReferences", "[]") " || " CHANGED(    \
        "finalizers", "[]") " || " OURS("oldObject") " != " OURS("object")

struct rule {
    const char *group;
    const char *resources[RESOURCES_MAXIMUM]; /* ended by NULL */
    const char *operations[4];
    const char *scope;
};

/* The conditions of an entry must all hold; each is written so that it cannot fail. */
struct condition {
    const char *expression;
    void (*append)(struct buf *out, const struct webhooks_options *options); /* or made by this */
};

struct entry {
    const char *name;
    const char *path;
    bool labelled; /* select by our label */
    bool observer; /* let pass what nobody answers, whatever the setting */
    struct rule rules[RULES_MAXIMUM];
    struct condition conditions[CONDITIONS_MAXIMUM];
};

/* A string literal of CEL; its escapes are C's. */
static void append_quoted(struct buf *out, const char *text)
{
    buf_append_char(out, '\'');
    for (const char *c = text; *c; c++) {
        if (*c == '\'' || *c == '\\') {
            buf_append_char(out, '\\');
        }
        buf_append_char(out, *c);
    }
    buf_append_char(out, '\'');
}

static void append_not_applier(struct buf *out, const struct webhooks_options *options)
{
    buf_append_string(out, "!((has(request.userInfo.username) && request.userInfo.username == ");
    append_quoted(out, options->applier);
    buf_append_string(out, ") || (has(request.userInfo.extra) && '" GITMOOR_APPLIER_EXTRA
                           "' in request.userInfo.extra && ");
    append_quoted(out, options->applier);
    buf_append_string(out, " in request.userInfo.extra['" GITMOOR_APPLIER_EXTRA "']))");
}

/* The controllers that write managed objects, or copies of them, as their duty. Source: the roles
 * system:controller:* that Kubernetes 1.35 makes at start. */
static const char *const duties[] = {
    "attachdetach-controller",
    "certificate-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoint-controller",
    "endpointslice-controller",
    "endpointslicemirroring-controller",
    "ephemeral-volume-controller",
    "expand-controller",
    "generic-garbage-collector",
    "job-controller",
    "legacy-service-account-token-cleaner",
    "namespace-controller",
    "node-controller",
    "persistent-volume-binder",
    "pod-garbage-collector",
    "pv-protection-controller",
    "pvc-protection-controller",
    "replicaset-controller",
    "replication-controller",
    "resource-claim-controller",
    "resourcequota-controller",
    "root-ca-cert-publisher",
    "service-account-controller",
    "service-cidrs-controller",
    "service-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "token-cleaner",
    "ttl-after-finished-controller",
    "validatingadmissionpolicy-status-controller",
};

static void append_user(struct buf *out, const char *pattern)
{
    size_t size = strlen(pattern);
    if (size > 0 && pattern[size - 1] == '*') {
        AUTO_FREE char *prefix = mem_string_n(pattern, size - 1);
        buf_append_string(out, "request.userInfo.username.startsWith(");
        append_quoted(out, prefix);
        buf_append_char(out, ')');
        return;
    }
    buf_append_string(out, "request.userInfo.username == ");
    append_quoted(out, pattern);
}

/* !(has a user && !our manager && (a controller by duty || one of the setting, with a copy)) */
static void append_not_control_plane(struct buf *out, const struct webhooks_options *options)
{
    buf_append_string(out, "!(has(request.userInfo.username) && !" MANAGER
                           " && (request.userInfo.username in ['system:kube-controller-manager', "
                           "'system:kube-scheduler'");
    for (size_t i = 0; i < sizeof duties / sizeof *duties; i++) {
        buf_append_format(out, ", 'system:serviceaccount:kube-system:%s'", duties[i]);
    }
    buf_append_string(out, "] || ((false");
    for (const char *const *each = options->controllers; each && *each; each++) {
        buf_append_string(out, " || ");
        append_user(out, *each);
    }
    buf_append_string(out, ") && !(object != null && " OURS(
                               "object") ") && "
                                         "!(oldObject != null && " OURS("oldObject") "))))");
}

static const struct entry validating[] = {
    {"objects.admission.gitmoor.io",
     WEBHOOKS_REVIEW_PATH,
     true,
     false,
     {{"*", {"*", "pods/resize"}, {"CREATE", "UPDATE", "DELETE"}, "*"}},
     {{NULL, append_not_applier},
      {ELSEWHERE " && !" NAMESPACE_DELETION, NULL},
      {NOT_TERMINATING, NULL},
      {NULL, append_not_control_plane},
      {"!" BREAK_GLASS, NULL}}},
    {"status.admission.gitmoor.io",
     WEBHOOKS_REVIEW_PATH,
     true,
     false,
     {{"*", {"*/status"}, {"UPDATE"}, "*"}},
     {{NULL, append_not_applier},
      {STATUS_TOUCHES_METADATA, NULL},
      {NOT_TERMINATING, NULL},
      {NULL, append_not_control_plane},
      {"!" BREAK_GLASS, NULL}}},
    {"namespaces.admission.gitmoor.io",
     WEBHOOKS_REVIEW_PATH,
     false,
     false,
     {{"", {"namespaces"}, {"DELETE"}, "Cluster"}},
     {{NULL, append_not_applier}, {"!" BREAK_GLASS, NULL}}},
    {"reasons.admission.gitmoor.io",
     WEBHOOKS_REASON_PATH,
     true,
     true,
     {{"apps", {"deployments", "replicasets", "statefulsets"}, {"UPDATE"}, "Namespaced"},
      {"", {"replicationcontrollers"}, {"UPDATE"}, "Namespaced"}},
     {{NULL, append_not_applier}, {BREAK_GLASS, NULL}}},
};

static const struct entry mutating[] = {
    {"scale.admission.gitmoor.io",
     WEBHOOKS_SCALE_PATH,
     false,
     false,
     {{"*", {"*/scale"}, {"UPDATE"}, "*"}},
     {{NULL, append_not_applier},
      {OURS("oldObject") " || " MANAGER, NULL},
      {"!" BREAK_GLASS, NULL}}},
};

static const struct {
    const char *kind;
    const char *path;
    const struct entry *entries;
    size_t count;
} kinds[] = {
    [WEBHOOKS_VALIDATING] =
        {"ValidatingWebhookConfiguration",
         "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", validating,
         sizeof validating / sizeof *validating},
    [WEBHOOKS_MUTATING] = {"MutatingWebhookConfiguration",
                           "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
                           mutating, sizeof mutating / sizeof *mutating},
};

const char *webhooks_kind_name(enum webhooks_kind kind)
{
    return kinds[kind].kind;
}

const char *webhooks_collection_path(enum webhooks_kind kind)
{
    return kinds[kind].path;
}

static void add_strings(cJSON *object, const char *name, const char *const *items, size_t maximum)
{
    cJSON *array = json_add_array(object, name);
    for (size_t i = 0; i < maximum && items[i]; i++) {
        json_append(array, json_new_string(items[i]));
    }
}

static void add_string(cJSON *object, const char *name, const char *item)
{
    add_strings(object, name, &item, 1);
}

static void add_client_config(cJSON *webhook, const struct entry *entry,
                              const struct webhooks_options *options)
{
    cJSON *client = json_add_object(webhook, "clientConfig");
    AUTO_FREE char *bundle = base64_encode(options->ca_bundle, strlen(options->ca_bundle));
    json_add_string(client, "caBundle", bundle);
    if (options->url) {
        AUTO_FREE char *url = mem_format("%s%s", options->url, entry->path);
        json_add_string(client, "url", url);
        return;
    }
    cJSON *service = json_add_object(client, "service");
    json_add_string(service, "namespace", options->namespace_);
    json_add_string(service, "name", options->service);
    json_add_string(service, "path", entry->path);
    json_add_int(service, "port", options->service_port);
}

static bool is_set(const struct condition *condition)
{
    return condition->expression || condition->append;
}

/* One expression for all of an entry's conditions, the applier's first: the server evaluates every
 * matchCondition there is, but within one it stops at the first that decides. Each write of the
 * applier passes here (bench/results/apply.json). */
static void add_conditions(cJSON *webhook, const struct entry *entry,
                           const struct webhooks_options *options)
{
    AUTO_BUF struct buf expression;
    buf_init(&expression, EXPRESSION_MAXIMUM);
    for (size_t i = 0; i < CONDITIONS_MAXIMUM && is_set(&entry->conditions[i]); i++) {
        const struct condition *condition = &entry->conditions[i];
        buf_append_string(&expression, i > 0 ? " && (" : "(");
        if (condition->expression) {
            buf_append_string(&expression, condition->expression);
        } else {
            condition->append(&expression, options);
        }
        buf_append_char(&expression, ')');
    }
    cJSON *node = json_append(json_add_array(webhook, "matchConditions"), json_new_object());
    json_add_string(node, "name", "guarded");
    json_add_string(node, "expression", expression.data);
}

static void add_selectors(cJSON *webhook, const struct entry *entry, const char *namespace_)
{
    cJSON *spaces =
        json_add_array(json_add_object(webhook, "namespaceSelector"), "matchExpressions");
    cJSON *except = json_append(spaces, json_new_object());
    json_add_string(except, "key", "kubernetes.io/metadata.name");
    json_add_string(except, "operator", "NotIn");
    const char *const names[] = {"kube-system", namespace_};
    add_strings(except, "values", names, 2);
    cJSON *objects = json_add_object(webhook, "objectSelector");
    if (entry->labelled) {
        cJSON *expressions = json_add_array(objects, "matchExpressions");
        cJSON *expression = json_append(expressions, json_new_object());
        json_add_string(expression, "key", GITMOOR_LABEL);
        json_add_string(expression, "operator", "Exists");
    }
}

static void add_rules(cJSON *webhook, const struct entry *entry)
{
    cJSON *rules = json_add_array(webhook, "rules");
    for (size_t i = 0; i < RULES_MAXIMUM && entry->rules[i].scope; i++) {
        const struct rule *rule = &entry->rules[i];
        cJSON *node = json_append(rules, json_new_object());
        add_string(node, "apiGroups", rule->group);
        add_string(node, "apiVersions", "*");
        add_strings(node, "operations", rule->operations, 4);
        add_strings(node, "resources", rule->resources, RESOURCES_MAXIMUM);
        json_add_string(node, "scope", rule->scope);
    }
}

static cJSON *new_webhook(enum webhooks_kind kind, const struct entry *entry,
                          const struct webhooks_options *options)
{
    cJSON *webhook = json_new_object();
    json_add_string(webhook, "name", entry->name);
    add_string(webhook, "admissionReviewVersions", "v1");
    add_client_config(webhook, entry, options);
    json_add_string(webhook, "failurePolicy", entry->observer ? "Ignore" : options->failure_policy);
    json_add_string(webhook, "matchPolicy", "Equivalent");
    add_selectors(webhook, entry, options->namespace_);
    add_rules(webhook, entry);
    add_conditions(webhook, entry, options);
    json_add_string(webhook, "sideEffects", "None");
    json_add_int(webhook, "timeoutSeconds", entry->observer ? 1 : options->timeout_seconds);
    if (kind == WEBHOOKS_MUTATING) {
        json_add_string(webhook, "reinvocationPolicy", "Never");
    }
    return webhook;
}

cJSON *webhooks_configuration(enum webhooks_kind kind, const struct webhooks_options *options)
{
    cJSON *configuration = json_new_object();
    json_add_string(configuration, "apiVersion", "admissionregistration.k8s.io/v1");
    json_add_string(configuration, "kind", kinds[kind].kind);
    cJSON *metadata = json_add_object(configuration, "metadata");
    json_add_string(metadata, "name", WEBHOOKS_NAME);
    json_add_string(json_add_object(metadata, "labels"), "app.kubernetes.io/part-of", "gitmoor");
    cJSON *webhooks = json_add_array(configuration, "webhooks");
    for (size_t i = 0; i < kinds[kind].count; i++) {
        json_append(webhooks, new_webhook(kind, &kinds[kind].entries[i], options));
    }
    return configuration;
}
