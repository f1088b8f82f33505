#include "admission/review.h"

#include "admission/message.h"
#include "common/base/text.h"

/* Objects nest less deeply than 100; FieldsV1 and the review around it add to that. */
static const struct json_limits review_limits = {
    .bytes = REVIEW_MAXIMUM,
    .depth = 200,
    .nodes = 1000000,
};

bool review_judge(const char *text, size_t size, const struct verdict_settings *settings,
                  const struct application_set *applications, struct review *ret,
                  struct error *error)
{
    struct review review = {0};
    arena_init(&review.arena);
    if (!json_parse_in(&review.arena, text, size, &review_limits, &review.tree, error) ||
        !request_from_json(review.tree, &review.request, error)) {
        arena_release(&review.arena);
        return false;
    }
    *ret = review;
    verdict_decide(&ret->request, settings, applications, &ret->arena, &ret->verdict);
    return true;
}

void review_release(struct review *review)
{
    arena_release(&review->arena);
    *review = (struct review){0};
}

/* The API server puts the webhook's name before each key. */
static void add_audit(cJSON *response, const struct review *review, struct arena *arena)
{
    const struct verdict *verdict = &review->verdict;
    cJSON *annotations = json_add_object(response, "auditAnnotations");
    json_add_string(annotations, "verdict", verdict_outcome_name(verdict->outcome));
    json_add_string(annotations, "rule", verdict_rule_name(verdict->rule));
    if (*verdict->label) {
        json_add_string(annotations, "application", verdict->label);
    }
    if (verdict->fields.count > 0) {
        json_add_string(annotations, "fields", message_fields(&verdict->fields, arena));
    }
    json_add_string(annotations, "reason", verdict->reason);
}

cJSON *review_answer(const struct review *review)
{
    const struct verdict *verdict = &review->verdict;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    cJSON *answer = json_new_object();
    json_add_string(answer, "apiVersion", "admission.k8s.io/v1");
    json_add_string(answer, "kind", "AdmissionReview");
    cJSON *response = json_add_object(answer, "response");
    json_add_string(response, "uid", review->request.uid);
    json_add_bool(response, "allowed", verdict->outcome != VERDICT_REFUSE);
    if (verdict->outcome == VERDICT_REFUSE) {
        cJSON *status = json_add_object(response, "status");
        json_add_int(status, "code", 403);
        json_add_string(status, "reason", "Forbidden");
        json_add_string(status, "message", verdict->message);
    } else if (verdict->message) {
        json_append(json_add_array(response, "warnings"), json_new_string(verdict->message));
    }
    if (verdict->message) {
        add_audit(response, review, &arena);
    }
    return answer;
}
