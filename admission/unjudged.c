#include "admission/unjudged.h"

#include "common/base/memory.h"
#include "common/data/json.h"
#include "common/data/object.h"

#include <string.h>

/* As Go writes the struct AdmissionReview. Source: k8s.io/api/admission/v1 types.go. */
static const char head[] = "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\","
                           "\"request\":{\"uid\":\"";
#define UID_SIZE ((size_t)36)

static bool is_uid(const char *text)
{
    return strspn(text, "0123456789abcdef-") == UID_SIZE;
}

bool unjudged_answer(const char *beginning, size_t size, const char *why, struct buf *ret_body)
{
    const size_t head_size = sizeof head - 1;
    if (size <= head_size + UID_SIZE || memcmp(beginning, head, head_size) != 0 ||
        beginning[head_size + UID_SIZE] != '"') {
        return false;
    }
    AUTO_FREE char *uid = mem_string_n(beginning + head_size, UID_SIZE);
    if (!is_uid(uid)) {
        return false;
    }
    AUTO_FREE char *message = mem_format(
        "this change cannot be judged, and so is not let through: the review of it cannot be read: "
        "%s. In an emergency use break-glass: impersonate the group " GITMOOR_BREAK_GLASS_GROUP
        " (--as-group), with the reason in the annotation " GITMOOR_BREAK_GLASS_ANNOTATION
        " of the object.",
        why);
    AUTO_JSON cJSON *answer = json_new_object();
    json_add_string(answer, "apiVersion", "admission.k8s.io/v1");
    json_add_string(answer, "kind", "AdmissionReview");
    cJSON *response = json_add_object(answer, "response");
    json_add_string(response, "uid", uid);
    json_add_bool(response, "allowed", false);
    cJSON *status = json_add_object(response, "status");
    json_add_int(status, "code", 403);
    json_add_string(status, "reason", "Forbidden");
    json_add_string(status, "message", message);
    return json_write(answer, ret_body);
}
