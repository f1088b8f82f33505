#include "cli/progress.h"

#include "common/base/text.h"
#include "common/kube/status.h"

static bool progress_is(const cJSON *conditions, const char *type, const char *status)
{
    return text_equal(json_string(status_condition(conditions, type), "status"), status);
}

enum progress progress_judge(const cJSON *object, const char *token, const char **ret_message)
{
    const cJSON *status = json_object(object, "status");
    const cJSON *conditions = json_array(status, "conditions");
    const cJSON *ready = status_condition(conditions, "Ready");
    if (token && !text_equal(json_string(status, "lastHandledReconcileAt"), token)) {
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
