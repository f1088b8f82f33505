#include "differ/plan.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/tenancy.h"

#include <stdio.h>
#include <string.h>

static void append_line(struct buf *out, const cJSON *line)
{
    json_write(line, out);
    buf_append_char(out, '\n');
}

void plan_begin(struct plan *plan, const struct plan_head *head)
{
    buf_init(&plan->text, PLAN_MAXIMUM);
    plan->operations = 0;
    AUTO_JSON cJSON *line = json_new_object();
    json_add_string(line, "id", head->id);
    json_add_string(line, "namespace", head->namespace_);
    json_add_string(line, "name", head->name);
    json_add_string(line, "uid", head->uid);
    json_add_string(line, "revision", head->revision);
    json_add_string(line, "mode", head->dry_run ? "dryRun" : "apply");
    json_add_bool(line, "preflight", head->preflight);
    if (head->heal) {
        json_add_string(line, "priority", "heal");
    }
    append_line(&plan->text, line);
}

void plan_release(struct plan *plan)
{
    buf_release(&plan->text);
}

static cJSON *new_operation(struct plan *plan, const char *word, unsigned stage,
                            const struct kube_resource *resource, const char *namespace_,
                            const char *name)
{
    AUTO_BUF struct buf path;
    buf_init(&path, 8192);
    kube_resource_path(resource, namespace_, name, &path);
    cJSON *line = json_new_object();
    json_add_string(line, "op", word);
    json_add_int(line, "stage", stage);
    json_add_string(line, "path", path.data);
    plan->operations++;
    return line;
}

static void add_object(struct plan *plan, const char *word, unsigned stage, int after,
                       const struct desired_object *object, const char *uid)
{
    AUTO_JSON cJSON *line = new_operation(plan, word, stage, &object->resource,
                                          object->ref.namespace_, object->ref.name);
    json_add_string(line, "uid", uid);
    if (after >= 0) {
        json_add_int(line, "after", after);
    }
    append_line(&plan->text, line);
    buf_append(&plan->text, object->text, object->size);
    buf_append_char(&plan->text, '\n');
}

void plan_apply(struct plan *plan, unsigned stage, int after, const struct desired_object *object)
{
    add_object(plan, "apply", stage, after, object, NULL);
}

void plan_recreate(struct plan *plan, unsigned stage, int after,
                   const struct desired_object *object, const char *uid)
{
    add_object(plan, "recreate", stage, after, object, uid);
}

void plan_owners(struct plan *plan, unsigned stage, const struct kube_resource *resource,
                 const char *namespace_, const char *name, uint64_t version, const char *owners)
{
    AUTO_JSON cJSON *line = new_operation(plan, "owners", stage, resource, namespace_, name);
    AUTO_FREE char *text = mem_format("%llu", (unsigned long long)version);
    json_add_string(line, "resourceVersion", text);
    append_line(&plan->text, line);
    buf_append_string(&plan->text, owners);
    buf_append_char(&plan->text, '\n');
}

void plan_delete(struct plan *plan, unsigned stage, const struct kube_resource *resource,
                 const char *namespace_, const char *name, const char *uid)
{
    AUTO_JSON cJSON *line = new_operation(plan, "delete", stage, resource, namespace_, name);
    json_add_string(line, "uid", uid);
    append_line(&plan->text, line);
}

void plan_delete_after_its_own(struct plan *plan, unsigned stage,
                               const struct kube_resource *resource, const char *namespace_,
                               const char *name, const char *uid)
{
    AUTO_JSON cJSON *line = new_operation(plan, "delete", stage, resource, namespace_, name);
    json_add_string(line, "uid", uid);
    json_add_bool(line, "foreground", true);
    append_line(&plan->text, line);
}

void plan_give_up(struct plan *plan, unsigned stage, const struct kube_resource *resource,
                  const char *namespace_, const char *name, const char *uid)
{
    AUTO_JSON cJSON *line = new_operation(plan, "release", stage, resource, namespace_, name);
    json_add_string(line, "uid", uid);
    append_line(&plan->text, line);
}

void plan_finalizer(struct plan *plan, unsigned stage, bool adds)
{
    AUTO_JSON cJSON *line = json_new_object();
    json_add_string(line, "op", "finalizer");
    json_add_int(line, "stage", stage);
    json_add_string(line, "action", adds ? "add" : "remove");
    plan->operations++;
    append_line(&plan->text, line);
}

/* ---- Results ---- */

/* Takes the next line off the text; false at the end. */
static bool next_line(const char **text, size_t *left, const char **ret_line, size_t *ret_size)
{
    if (*left == 0) {
        return false;
    }
    const char *end = memchr(*text, '\n', *left);
    size_t size = end ? (size_t)(end - *text) : *left;
    size_t step = end ? size + 1 : size;
    *ret_line = *text;
    *ret_size = size;
    *text += step;
    *left -= step;
    return true;
}

static const char *known_outcome(const char *word)
{
    static const char *const words[] = {"applied", "invalid", "failed", "cancelled"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (text_equal(word, words[i])) {
            return words[i];
        }
    }
    return NULL;
}

static bool parse_head(const char *line, size_t size, struct plan_result *result,
                       struct error *error)
{
    AUTO_JSON cJSON *head = NULL;
    if (!json_parse(line, size, NULL, &head, error)) {
        return error_prefix(error, "head of a plan's result");
    }
    result->outcome = known_outcome(json_string(head, "outcome"));
    result->not_allowed = text_equal(json_string(head, "reason"), TENANCY_REASON);
    result->requests = json_int(head, "requests", 0);
    snprintf(result->message, sizeof result->message, "%s",
             text_or_empty(json_string(head, "message")));
    if (!result->outcome) {
        return error_set(error, ERROR_INVALID, "a plan's result names no known outcome");
    }
    return true;
}

static bool parse_outcome(const char *line, size_t size, const struct plan_result *result,
                          struct error *error)
{
    AUTO_JSON cJSON *tree = NULL;
    if (!json_parse(line, size, NULL, &tree, error)) {
        return error_prefix(error, "line of a plan's result");
    }
    int64_t index = json_int(tree, "i", -1);
    if (index < 0) {
        return error_set(error, ERROR_INVALID, "a plan's result has a line without i");
    }
    struct plan_outcome outcome = {
        .index = (size_t)index,
        .preflight = text_equal(json_string(tree, "phase"), "preflight"),
        .ok = json_bool(tree, "ok", false),
        .uid = text_or_empty(json_string(tree, "uid")),
        .resource_version = text_or_empty(json_string(tree, "resourceVersion")),
        .status = (int)json_int(tree, "status", 0),
        .reason = text_or_empty(json_string(tree, "reason")),
        .message = text_or_empty(json_string(tree, "message")),
        .retryable = json_bool(tree, "retryable", false),
        .immutable = json_string(tree, "immutable"),
        .managers = json_string(tree, "managers"),
    };
    digest_from_hex(json_string(tree, "fingerprint"), &outcome.fingerprint);
    result->each(&outcome, result->context);
    return true;
}

bool plan_result_parse(const char *text, size_t size, struct plan_result *result,
                       struct error *error)
{
    const char *line;
    size_t line_size;
    if (!next_line(&text, &size, &line, &line_size)) {
        return error_set(error, ERROR_INVALID, "a plan's result is empty");
    }
    if (!parse_head(line, line_size, result, error)) {
        return false;
    }
    while (next_line(&text, &size, &line, &line_size)) {
        if (!parse_outcome(line, line_size, result, error)) {
            return false;
        }
    }
    return true;
}
