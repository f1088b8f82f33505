#include "applier/immutable.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"

#include <string.h>

#define FIELDS_MAXIMUM 4096 /* bytes */

/* How the validation of Kubernetes' own kinds words it (pkg/apis/…/validation, and
 * apimachinery's ValidateImmutableField), and rules of CustomResourceDefinitions mostly do. There
 * is no machine-readable mark. */
static const char *const words[] = {
    "field is immutable",
    "is immutable",
    "updates to statefulset spec for fields other than",
    "pod updates may not change fields other than",
    "may not change once set",
    "may not be changed",
    "cannot change roleRef",
    "updates to parameters are forbidden",
    "updates to provisioner are forbidden",
    "updates to reclaimPolicy are forbidden",
    "may not be changed in an update",
};

static bool is_immutability(const cJSON *cause)
{
    const char *message = text_or_empty(json_string(cause, "message"));
    const char *reason = json_string(cause, "reason");
    if (!text_equal(reason, "FieldValueInvalid") && !text_equal(reason, "FieldValueForbidden")) {
        return false;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(message, words[i])) {
            return true;
        }
    }
    return false;
}

char *immutable_fields(const char *body, size_t size)
{
    AUTO_JSON cJSON *status = NULL;
    if (!body || !json_parse(body, size, NULL, &status, NULL) ||
        !text_equal(json_string(status, "reason"), "Invalid")) {
        return NULL;
    }
    AUTO_BUF struct buf fields;
    buf_init(&fields, FIELDS_MAXIMUM);
    for (const cJSON *cause = json_first(json_get_path(status, "details.causes")); cause;
         cause = cause->next) {
        const char *field = json_string(cause, "field");
        if (!is_immutability(cause)) {
            return NULL;
        }
        if (!text_is_empty(field) && !(fields.size > 0 && strstr(fields.data, field))) {
            buf_append_format(&fields, "%s%s", fields.size > 0 ? ", " : "", field);
        }
    }
    return fields.size > 0 && !fields.overflowed ? buf_detach(&fields) : NULL;
}
