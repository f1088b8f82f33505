/* The entries, each as narrow as can be, so that nothing unmanaged ever waits for us:
 *
 * objects      writes and deletions of whatever carries our label, before or after (objectSelector
 *              matches either), and those subresources by which labels, or the entries of
 *              managedFields, can be changed. All there are: tests/e2e/admission asks the server.
 * status       the same objects' /status, but only if it would change labels, annotations,
 *              ownerReferences or managedFields, as some built-in kinds let /status do, or is
 *              written in the name of our field manager.
 * namespaces   deletion of any Namespace: it need not be labelled to hold managed objects. And a
 *              reason that is written on one: it would do for the deletion.
 * definitions  the same of any CustomResourceDefinition: the server deletes its objects with it,
 *              without a review.
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

#include "admission/conditions.h"
#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

#define EXPRESSION_MAXIMUM ((size_t)16384)
#define RULES_MAXIMUM 2
#define RESOURCES_MAXIMUM 6

struct rule {
    const char *group;
    const char *resources[RESOURCES_MAXIMUM]; /* ended by NULL */
    const char *operations[4];
    const char *scope;
};

struct entry {
    const char *name;
    const char *path;
    bool labelled; /* select by our label */
    bool observer; /* let pass what nobody answers, whatever the setting */
    struct rule rules[RULES_MAXIMUM];
    struct condition conditions[CONDITIONS_MAXIMUM];
};

static const struct entry validating[] = {
    {"objects.admission.gitmoor.io",
     WEBHOOKS_REVIEW_PATH,
     true,
     false,
     {{"*",
       {"*", "*/resize", "*/ephemeralcontainers", "*/finalize", "*/approval"},
       {"CREATE", "UPDATE", "DELETE"},
       "*"}},
     {{NULL, condition_append_not_applier},
      {CONDITION_ELSEWHERE " && !" CONDITION_NAMESPACE_DELETION
                           " && !" CONDITION_DEFINITION_DELETION,
       NULL},
      {CONDITION_NOT_TERMINATING, NULL},
      {NULL, condition_append_not_control_plane},
      {"!" CONDITION_BREAK_GLASS, NULL}}},
    {"status.admission.gitmoor.io",
     WEBHOOKS_REVIEW_PATH,
     true,
     false,
     {{"*", {"*/status"}, {"UPDATE"}, "*"}},
     {{NULL, condition_append_not_applier},
      {CONDITION_TOUCHES_METADATA " || " CONDITION_MANAGER, NULL},
      {CONDITION_NOT_TERMINATING, NULL},
      {NULL, condition_append_not_control_plane},
      {"!" CONDITION_BREAK_GLASS, NULL}}},
    {"namespaces.admission.gitmoor.io",
     WEBHOOKS_REVIEW_PATH,
     false,
     false,
     {{"", {"namespaces", "namespaces/*"}, {"CREATE", "UPDATE", "DELETE"}, "Cluster"}},
     {{NULL, condition_append_not_applier},
      {CONDITION_TAKES_ALONG, NULL},
      {"!" CONDITION_BREAK_GLASS, NULL}}},
    {"definitions.admission.gitmoor.io",
     WEBHOOKS_REVIEW_PATH,
     false,
     false,
     {{"apiextensions.k8s.io",
       {"customresourcedefinitions", "customresourcedefinitions/*"},
       {"CREATE", "UPDATE", "DELETE"},
       "Cluster"}},
     {{NULL, condition_append_not_applier},
      {CONDITION_TAKES_ALONG, NULL},
      {"!" CONDITION_BREAK_GLASS, NULL}}},
    {"reasons.admission.gitmoor.io",
     WEBHOOKS_REASON_PATH,
     true,
     true,
     {{"apps", {"deployments", "replicasets", "statefulsets"}, {"UPDATE"}, "Namespaced"},
      {"", {"replicationcontrollers"}, {"UPDATE"}, "Namespaced"}},
     {{NULL, condition_append_not_applier}, {CONDITION_BREAK_GLASS, NULL}}},
};

static const struct entry mutating[] = {
    {"scale.admission.gitmoor.io",
     WEBHOOKS_SCALE_PATH,
     false,
     false,
     {{"*", {"*/scale"}, {"UPDATE"}, "*"}},
     {{NULL, condition_append_not_applier},
      {CONDITION_OURS("oldObject") " || " CONDITION_MANAGER, NULL},
      {"!" CONDITION_BREAK_GLASS, NULL}}},
};

static const struct {
    const char *kind;
    const struct entry *entries;
    size_t count;
} kinds[] = {
    [WEBHOOKS_VALIDATING] = {"ValidatingWebhookConfiguration", validating,
                             sizeof validating / sizeof *validating},
    [WEBHOOKS_MUTATING] = {"MutatingWebhookConfiguration", mutating,
                           sizeof mutating / sizeof *mutating},
};

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

static void add_conditions(cJSON *webhook, const struct entry *entry,
                           const struct webhooks_options *options)
{
    AUTO_BUF struct buf expression;
    buf_init(&expression, EXPRESSION_MAXIMUM);
    condition_append_all(&expression, entry->conditions, options);
    cJSON *node = json_append(json_add_array(webhook, "matchConditions"), json_new_object());
    json_add_string(node, "name", "guarded");
    json_add_string(node, "expression", expression.data);
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
    condition_add_selectors(webhook, entry->labelled, options->namespace_);
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
