#include "applier/result.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"
#include "common/run/tenancy.h"

#include <string.h>

/* The first failures are told in full, the others in short: nobody reads the thousandth. */
#define FULL_FAILURES 200
#define SHORT_MESSAGE 256
#define HEAD_MAXIMUM ((size_t)65536)

const char *result_outcome_name(enum result_outcome outcome)
{
    static const char *const names[] = {[RESULT_APPLIED] = "applied",
                                        [RESULT_INVALID] = "invalid",
                                        [RESULT_FAILED] = "failed",
                                        [RESULT_CANCELLED] = "cancelled"};
    return names[outcome];
}

void result_init(struct result *result)
{
    *result = (struct result){0};
    buf_init(&result->lines, RESULT_TEXT_MAXIMUM);
}

void result_release(struct result *result)
{
    buf_release(&result->lines);
}

static cJSON *new_line(size_t index, bool preflight, bool ok)
{
    cJSON *line = json_new_object();
    json_add_int(line, "i", (int64_t)index);
    json_add_string(line, "phase", preflight ? "preflight" : "apply");
    json_add_bool(line, "ok", ok);
    return line;
}

static void append_line(struct buf *out, const cJSON *line)
{
    json_write(line, out);
    buf_append_char(out, '\n');
}

void result_add_success(struct result *result, size_t index, bool preflight,
                        const struct result_success *success)
{
    AUTO_JSON cJSON *line = new_line(index, preflight, true);
    json_add_string(line, "uid", success->uid);
    json_add_string(line, "resourceVersion", success->resource_version);
    if (!digest_is_zero(&success->fingerprint)) {
        char hex[DIGEST_HEX_SIZE];
        digest_to_hex(&success->fingerprint, hex);
        json_add_string(line, "fingerprint", hex);
    }
    json_add_string(line, "managers", success->managers);
    if (success->gone) {
        json_add_bool(line, "gone", true);
    }
    if (success->replaced) {
        json_add_bool(line, "replaced", true);
    }
    append_line(&result->lines, line);
}

/* Adds at most `size` bytes of the text, whole characters only. */
static void add_message(cJSON *line, const char *text, size_t size)
{
    size_t end = strnlen(text, size);
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80) {
        end--;
    }
    AUTO_FREE char *message = mem_string_n(text, end);
    json_add_string(line, "message", message);
}

void result_add_failure(struct result *result, size_t index, bool preflight,
                        const struct result_failure *failure, const struct error *error)
{
    AUTO_JSON cJSON *line = new_line(index, preflight, false);
    json_add_int(line, "status", failure->status);
    json_add_string(line, "reason", text_or_empty(failure->reason));
    json_add_string(line, "immutable", failure->immutable);
    bool full = result->failures++ < FULL_FAILURES;
    add_message(line, error->message, full ? sizeof error->message : SHORT_MESSAGE);
    json_add_bool(line, "retryable", error->retryable);
    append_line(&result->lines, line);
}

char *result_finish(const struct result *result, const char *id, enum result_outcome outcome,
                    uint64_t requests, const struct error *why, size_t *ret_size)
{
    AUTO_JSON cJSON *head = json_new_object();
    json_add_string(head, "id", id);
    json_add_string(head, "outcome", result_outcome_name(outcome));
    json_add_int(head, "requests", (int64_t)requests);
    if (why) {
        add_message(head, why->message, sizeof why->message);
        json_add_bool(head, "retryable", why->retryable);
        json_add_string(head, "reason", why->code == ERROR_DENIED ? TENANCY_REASON : NULL);
    }
    AUTO_BUF struct buf text;
    buf_init(&text, RESULT_TEXT_MAXIMUM + HEAD_MAXIMUM);
    append_line(&text, head);
    buf_append(&text, result->lines.data, result->lines.size);
    *ret_size = text.size;
    return buf_detach(&text);
}
