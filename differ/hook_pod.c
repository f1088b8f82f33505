#include "differ/hook_pod.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

#define ASK_TIMEOUT_MS 10000
/* The label that Jobs give their Pods since Kubernetes 1.27. */
#define OWNER_LABEL "batch.kubernetes.io%%2Fcontroller-uid"

struct hook_pod {
    struct application *application;
    char *uid;              /* of the Job */
    struct kube_call *call; /* NULL: it is answered */
    char message[HEALTH_MESSAGE_SIZE];
};

void hook_pod_free(struct hook_pod *pod)
{
    if (pod) {
        kube_call_cancel(pod->call);
        free(pod->uid);
        free(pod);
    }
}

static void on_answer(const struct kube_response *response, void *context)
{
    struct hook_pod *pod = context;
    AUTO_JSON cJSON *list = NULL;
    const cJSON *newest = NULL;
    pod->call = NULL;
    if (response->ok && json_parse(response->body, response->size, NULL, &list, NULL)) {
        for (const cJSON *item = json_first(json_array(list, "items")); item; item = item->next) {
            const char *made = json_string_path(item, "metadata.creationTimestamp");
            const char *known = json_string_path(newest, "metadata.creationTimestamp");
            bool failed = text_equal(json_string_path(item, "status.phase"), "Failed");
            if (failed && (!known || (made && strcmp(made, known) > 0))) {
                newest = item;
            }
        }
    }
    if (newest) {
        hook_tell_pod(newest, pod->message);
    }
    application_wake(pod->application);
}

static void ask(struct hook_pod *pod, const struct live_object *job)
{
    static const struct kube_resource pods = {
        .group = "", .version = "v1", .kind = "Pod", .plural = "pods", .namespaced = true};
    AUTO_BUF struct buf path;
    buf_init(&path, 8192);
    kube_resource_path(&pods, job->namespace_, NULL, &path);
    buf_append_format(&path, "?labelSelector=" OWNER_LABEL "%%3D%s", job->uid);
    const struct kube_request request = {.path = path.data, .timeout_ms = ASK_TIMEOUT_MS};
    pod->call = kube_client_call(pod->application->differ->client, &request, on_answer, pod);
}

bool hook_pod_tell(struct application *application, const struct live_object *job,
                   const char **ret_message)
{
    struct hook_pod *pod = application->hook_pod;
    if (pod && pod->call) {
        return false;
    }
    if (!pod || !text_equal(pod->uid, job->uid)) {
        hook_pod_free(pod);
        pod = application->hook_pod = NEW(struct hook_pod);
        pod->application = application;
        pod->uid = mem_string(job->uid);
        ask(pod, job);
        return false;
    }
    *ret_message = pod->message;
    return true;
}
