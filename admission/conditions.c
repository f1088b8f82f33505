#include "admission/conditions.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

/* A string literal of CEL; its escapes are C's. */
void condition_append_quoted(struct buf *out, const char *text)
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

void condition_append_not_applier(struct buf *out, const struct webhooks_options *options)
{
    buf_append_string(out, "!((has(request.userInfo.username) && request.userInfo.username == ");
    condition_append_quoted(out, options->applier);
    buf_append_string(out, ") || (has(request.userInfo.extra) && '" GITMOOR_APPLIER_EXTRA
                           "' in request.userInfo.extra && ");
    condition_append_quoted(out, options->applier);
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
        condition_append_quoted(out, prefix);
        buf_append_char(out, ')');
        return;
    }
    buf_append_string(out, "request.userInfo.username == ");
    condition_append_quoted(out, pattern);
}

/* "… || …" of the setting's users; "false" if there is none. */
static void append_controllers(struct buf *out, const struct webhooks_options *options)
{
    buf_append_string(out, "(false");
    for (const char *const *each = options->controllers; each && *each; each++) {
        buf_append_string(out, " || ");
        append_user(out, *each);
    }
    buf_append_char(out, ')');
}

/* !(has a user && !our manager && (a controller by duty || one of the setting, with a copy)) */
void condition_append_not_control_plane(struct buf *out, const struct webhooks_options *options)
{
    buf_append_string(out, "!(has(request.userInfo.username) && !" CONDITION_MANAGER
                           " && (request.userInfo.username in ['system:kube-controller-manager', "
                           "'system:kube-scheduler'");
    for (size_t i = 0; i < sizeof duties / sizeof *duties; i++) {
        buf_append_format(out, ", 'system:serviceaccount:kube-system:%s'", duties[i]);
    }
    buf_append_string(out, "] || (");
    append_controllers(out, options);
    buf_append_string(out,
                      " && !(object != null && " CONDITION_OURS(
                          "object") ") && "
                                    "!(oldObject != null && " CONDITION_OURS("oldObject") "))))");
}

void condition_append_not_controller(struct buf *out, const struct webhooks_options *options)
{
    buf_append_string(out, "!(has(request.userInfo.username) && !" CONDITION_MANAGER " && ");
    append_controllers(out, options);
    buf_append_char(out, ')');
}

static bool is_set(const struct condition *condition)
{
    return condition->expression || condition->append;
}

void condition_append_all(struct buf *out, const struct condition conditions[CONDITIONS_MAXIMUM],
                          const struct webhooks_options *options)
{
    for (size_t i = 0; i < CONDITIONS_MAXIMUM && is_set(&conditions[i]); i++) {
        buf_append_string(out, i > 0 ? " && (" : "(");
        if (conditions[i].expression) {
            buf_append_string(out, conditions[i].expression);
        } else {
            conditions[i].append(out, options);
        }
        buf_append_char(out, ')');
    }
}

void condition_add_selectors(cJSON *node, bool labelled, const char *namespace_)
{
    cJSON *spaces = json_add_array(json_add_object(node, "namespaceSelector"), "matchExpressions");
    cJSON *except = json_append(spaces, json_new_object());
    json_add_string(except, "key", "kubernetes.io/metadata.name");
    json_add_string(except, "operator", "NotIn");
    cJSON *values = json_add_array(except, "values");
    json_append(values, json_new_string("kube-system"));
    json_append(values, json_new_string(namespace_));
    cJSON *objects = json_add_object(node, "objectSelector");
    if (labelled) {
        cJSON *expressions = json_add_array(objects, "matchExpressions");
        cJSON *expression = json_append(expressions, json_new_object());
        json_add_string(expression, "key", GITMOOR_LABEL);
        json_add_string(expression, "operator", "Exists");
    }
}
