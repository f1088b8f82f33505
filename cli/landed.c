#include "cli/landed.h"

#include "cli/revision.h"
#include "common/base/text.h"
#include "common/kube/status.h"

static bool is_suspended(const cJSON *object)
{
    return json_bool(json_object(object, "spec"), "suspend", false);
}

static const char *name_of(const cJSON *object)
{
    return text_or_empty(json_string_path(object, "metadata.name"));
}

enum progress landed_in_source(const cJSON *source, const char *wanted,
                               const struct progress_request *request, struct buf *message)
{
    const char *kind = text_or_empty(json_string(source, "kind"));
    const char *revision = json_string_path(source, "status.revision");
    const char *text;
    if (wanted && revision_is_meant(revision, wanted)) {
        return PROGRESS_READY;
    }
    if (is_suspended(source)) {
        buf_append_format(message, "%s %s is suspended, and nothing new is fetched: gitmoor resume",
                          kind, name_of(source));
        return PROGRESS_FAILED;
    }
    enum progress progress = progress_judge(source, request, &text);
    if (progress == PROGRESS_READY && !wanted) {
        return PROGRESS_READY;
    }
    if (progress != PROGRESS_READY) {
        buf_append_format(message, "%s %s: %s", kind, name_of(source), text);
        return progress;
    }
    buf_append_format(message,
                      "%s %s is at %s: %s is not there yet, or something newer is there already",
                      kind, name_of(source), revision, wanted);
    return PROGRESS_WORKING;
}

bool landed_before(const cJSON *application, const char *wanted)
{
    const cJSON *history = json_array(json_object(application, "status"), "history");
    for (const cJSON *entry = json_first(history); entry; entry = entry->next) {
        if (revision_is_meant(json_string(entry, "revision"), wanted)) {
            return true;
        }
    }
    return false;
}

bool landed_is_observed(const cJSON *application, const char *revision)
{
    const cJSON *status = json_object(application, "status");
    return revision_is_same(json_string(status, "observedRevision"), revision) ||
           revision_is_same(json_string(status, "lastAttemptedRevision"), revision);
}

bool landed_is_refused(const cJSON *application, const char *revision)
{
    const cJSON *conditions = json_array(json_object(application, "status"), "conditions");
    const cJSON *ready = status_condition(conditions, "Ready");
    return landed_is_observed(application, revision) &&
           text_equal(json_string(ready, "reason"), "Invalid");
}

/* Ready is about what was applied; with health.wait: false it says nothing of health. */
static enum progress judge_health(const cJSON *application, struct buf *message)
{
    const cJSON *conditions = json_array(json_object(application, "status"), "conditions");
    const cJSON *healthy = status_condition(conditions, "Healthy");
    const char *status = json_string(healthy, "status");
    if (text_equal(status, "True")) {
        return PROGRESS_READY;
    }
    buf_append_format(message, "applied, but not healthy%s: %s",
                      text_equal(status, "False") ? "" : " yet",
                      text_or_empty(json_string(healthy, "message")));
    return text_equal(status, "False") ? PROGRESS_FAILED : PROGRESS_WORKING;
}

enum progress landed_in_application(const cJSON *application, const char *revision,
                                    struct buf *message)
{
    const char *text;
    if (json_string_path(application, "metadata.deletionTimestamp")) {
        buf_append_string(message, "it is being deleted");
        return PROGRESS_FAILED;
    }
    if (is_suspended(application)) {
        buf_append_string(message, "it is suspended, and nothing is applied: gitmoor resume");
        return PROGRESS_FAILED;
    }
    enum progress progress = progress_judge(application, NULL, &text);
    if (!landed_is_observed(application, revision)) {
        buf_append_format(message, "waiting for %s%s%s", revision,
                          progress == PROGRESS_READY || !*text ? "" : "; until then: ",
                          progress == PROGRESS_READY ? "" : text);
        return PROGRESS_WORKING;
    }
    if (progress == PROGRESS_READY) {
        return judge_health(application, message);
    }
    buf_append_string(message, text);
    return landed_is_refused(application, revision) ? PROGRESS_WORKING : progress;
}
