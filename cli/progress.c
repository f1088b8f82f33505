#include "cli/progress.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/kube/status.h"

static bool progress_is(const cJSON *conditions, const char *type, const char *status)
{
    return text_equal(json_string(status_condition(conditions, type), "status"), status);
}

void progress_request_init(struct progress_request *request, const cJSON *before)
{
    const cJSON *annotations = json_get_path(before, "metadata.annotations");
    clock_format_micro(clock_wall_ms(), request->token);
    request->asked_before = mem_string(json_string(annotations, GITMOOR_RECONCILE_ANNOTATION));
    request->handled_before = mem_string(json_string_path(before, "status.lastHandledReconcileAt"));
}

void progress_request_release(struct progress_request *request)
{
    free(request->asked_before);
    free(request->handled_before);
    *request = (struct progress_request){0};
}

static bool is_handled(const cJSON *status, const struct progress_request *request)
{
    const char *handled = json_string(status, "lastHandledReconcileAt");
    return handled && !text_equal(handled, request->handled_before) &&
           !text_equal(handled, request->asked_before);
}

enum progress progress_judge(const cJSON *object, const struct progress_request *request,
                             const char **ret_message)
{
    const cJSON *status = json_object(object, "status");
    const cJSON *conditions = json_array(status, "conditions");
    const cJSON *ready = status_condition(conditions, "Ready");
    if (request && !is_handled(status, request)) {
        *ret_message = "waiting for it to be taken up";
        return PROGRESS_WORKING;
    }
    if (json_int(json_object(object, "metadata"), "generation", 0) >
        json_int(status, "observedGeneration", 0)) {
        *ret_message = "waiting for the last change of its spec to be taken up";
        return PROGRESS_WORKING;
    }
    *ret_message = text_or_empty(json_string(ready, "message"));
    if (progress_is(conditions, "Ready", "True")) {
        return PROGRESS_READY;
    }
    /* What is being retried may yet succeed. */
    if (!progress_is(conditions, "Ready", "False") ||
        (progress_is(conditions, "Reconciling", "True") &&
         !progress_is(conditions, "Stalled", "True"))) {
        return PROGRESS_WORKING;
    }
    return PROGRESS_FAILED;
}
