/* Conditions by the conventions of the API (metav1.Condition) and kstatus, and writing a status.
 * See status.h. */
#include "common/kube/status.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/internal.h"

#include <string.h>

#define MESSAGE_MAXIMUM 32768 /* metav1.Condition */
#define STATUS_MAXIMUM (3U << 20)
#define PATH_MAXIMUM 65536

size_t kube_text_cut(const char *text, size_t maximum)
{
    size_t size = strlen(text);
    if (size <= maximum) {
        return size;
    }
    while (maximum > 0 && ((unsigned char)text[maximum] & 0xc0) == 0x80) {
        maximum--;
    }
    return maximum;
}

static cJSON *find(const cJSON *conditions, const char *type)
{
    for (cJSON *item = json_first(conditions); item; item = item->next) {
        if (text_equal(json_string(item, "type"), type)) {
            return item;
        }
    }
    return NULL;
}

const cJSON *status_condition(const cJSON *conditions, const char *type)
{
    return find(conditions, type);
}

/* Returns whether it changed. */
static bool set_text(cJSON *condition, const char *name, const char *text)
{
    if (text_equal(json_string(condition, name), text)) {
        return false;
    }
    json_set(condition, name, json_new_string(text));
    return true;
}

bool status_set_condition(cJSON *conditions, const char *type, const char *status,
                          const char *reason, const char *message, int64_t generation)
{
    const char *whole = text_or_empty(message);
    AUTO_FREE char *text = mem_string_n(whole, kube_text_cut(whole, MESSAGE_MAXIMUM));
    cJSON *condition = find(conditions, type);
    bool changed = false;
    if (!condition) {
        condition = json_append(conditions, json_new_object());
        json_add_string(condition, "type", type);
    }
    if (set_text(condition, "status", status)) {
        char now[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(clock_wall_ms(), now);
        json_set(condition, "lastTransitionTime", json_new_string(now));
        changed = true;
    }
    changed = set_text(condition, "reason", reason) || changed;
    changed = set_text(condition, "message", text) || changed;
    if (json_int(condition, "observedGeneration", -1) != generation) {
        json_set(condition, "observedGeneration", json_new_int(generation));
        changed = true;
    }
    return changed;
}

bool status_remove_condition(cJSON *conditions, const char *type)
{
    cJSON *condition = find(conditions, type);
    if (!condition) {
        return false;
    }
    json_free(cJSON_DetachItemViaPointer(conditions, condition));
    return true;
}

struct kube_call *status_patch(struct kube_client *client, const char *path, cJSON *status,
                               kube_response_fn done, void *context)
{
    AUTO_BUF struct buf body = {0};
    AUTO_BUF struct buf where = {0};
    /* A JSON patch: "add" replaces the member as a whole, while a merge patch would leave what the
     * new status lacks. It says nothing of metadata, so it conflicts with nobody. */
    AUTO_JSON cJSON *patch = json_new_array();
    cJSON *step = json_append(patch, json_new_object());
    json_add_string(step, "op", "add");
    json_add_string(step, "path", "/status");
    json_add(step, "value", status);
    buf_init(&body, STATUS_MAXIMUM);
    buf_init(&where, PATH_MAXIMUM);
    json_write(patch, &body);
    buf_append_string(&where, path);
    buf_append_string(&where, "/status");
    struct kube_request request = {
        .method = KUBE_PATCH,
        .path = where.overflowed ? NULL : where.data,
        .content_type = KUBE_JSON_PATCH_TYPE,
        .body = body.data,
        .body_size = body.size,
    };
    return kube_client_call(client, &request, done, context);
}
