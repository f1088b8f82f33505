#include "admission/webhook.h"

#include "admission/application.h"
#include "admission/report.h"
#include "admission/review.h"
#include "admission/unjudged.h"
#include "admission/webhooks.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"

#include <string.h>

static const double seconds[] = {0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 0};
static struct metric reviews = {.name = "gitmoor_admission_reviews_total",
                                .help = "AdmissionReviews answered, by verdict.",
                                .type = METRIC_COUNTER,
                                .label = "verdict"};
static struct metric broken_rules = {.name = "gitmoor_admission_findings_total",
                                     .help = "Requests that broke a rule, by rule, whatever "
                                             "followed.",
                                     .type = METRIC_COUNTER,
                                     .label = "rule"};
static struct metric duration = {.name = "gitmoor_admission_review_seconds",
                                 .help = "Time to read, judge and answer a review.",
                                 .type = METRIC_HISTOGRAM,
                                 .bounds = seconds};
static struct metric malformed = {.name = "gitmoor_admission_malformed_total",
                                  .help = "Bodies that were no AdmissionReview, or one that "
                                          "cannot be judged.",
                                  .type = METRIC_COUNTER};
static struct metric unreported = {.name = "gitmoor_admission_reports_lost_total",
                                   .help = "Verdicts that the bus did not take.",
                                   .type = METRIC_COUNTER};

/* The differ that has the application: they are shared by repository. */
static struct bus_peer *owner_of(const struct webhook *webhook, const char *label)
{
    const struct application *application = application_set_find(webhook->applications, label);
    AUTO_FREE char *share = application ? mem_format("%s/%s", application->source_namespace,
                                                     text_or_empty(application->repository))
                                        : mem_string(label);
    return members_owner(webhook->members, "differ", share);
}

static void note(const struct webhook *webhook, const struct review *review)
{
    const struct verdict *verdict = &review->verdict;
    metric_add(&reviews, verdict_outcome_name(verdict->outcome), 1);
    if (verdict->rule != RULE_NONE) {
        metric_add(&broken_rules, verdict_rule_name(verdict->rule), 1);
    }
    if (verdict->outcome == VERDICT_ALLOW) {
        return;
    }
    log_info(verdict_outcome_name(verdict->outcome), "object", verdict->object, "operation",
             operation_name(review->request.operation), "user", review->request.user, "rule",
             verdict_rule_name(verdict->rule), "application", verdict->label, "reason",
             verdict->reason, "dryRun", review->request.dry_run ? "true" : NULL);
    if (!webhook->bus) {
        return;
    }
    struct bus_peer *differ = owner_of(webhook, verdict->label);
    if (!differ || !report_send(webhook->bus, differ, review)) {
        metric_add(&unreported, NULL, 1);
    }
}

const char *webhook_noted_reason(const char *uid, void *context)
{
    const struct webhook *webhook = context;
    return reasons_find(webhook->reasons, uid, clock_monotonic_ms());
}

/* A reason that is written on an object by break-glass may be meant for its /scale. */
static void remember_reason(const struct webhook *webhook, const struct request *request)
{
    const char *uid = json_string_path(request->old, "metadata.uid");
    const char *reason = request_reason(request);
    if (request->operation == OPERATION_UPDATE && *request->subresource == '\0' &&
        !request->dry_run && uid && reason &&
        request_user_in_group(request, GITMOOR_BREAK_GLASS_GROUP)) {
        reasons_note(webhook->reasons, uid, reason, clock_monotonic_ms());
    }
}

static bool is_judged(const char *path)
{
    return strcmp(path, WEBHOOKS_REVIEW_PATH) == 0 || strcmp(path, WEBHOOKS_SCALE_PATH) == 0;
}

/* What comes to the path of reasons is exempt already: nothing is refused there. */
static bool refuse_unread(const char *path, const char *beginning, size_t size, const char *why,
                          struct buf *ret_body)
{
    metric_add(&malformed, NULL, 1);
    if (is_judged(path) && unjudged_answer(beginning, size, why, ret_body)) {
        metric_add(&reviews, verdict_outcome_name(VERDICT_REFUSE), 1);
        log_warn("a review cannot be judged, and is refused", "because", why);
        return true;
    }
    return false;
}

int webhook_handle_too_large(const char *path, const char *beginning, size_t size,
                             struct buf *ret_body, void *context)
{
    (void)context;
    AUTO_FREE char *why = mem_format("it is larger than %zu bytes", REVIEW_MAXIMUM);
    return refuse_unread(path, beginning, size, why, ret_body) ? 200 : 413;
}

int webhook_handle(const char *path, const char *body, size_t size, struct buf *ret_body,
                   void *context)
{
    const struct webhook *webhook = context;
    bool is_reason = strcmp(path, WEBHOOKS_REASON_PATH) == 0; /* exempt: to be remembered only */
    if (!is_reason && !is_judged(path)) {
        return 404;
    }
    int64_t start = clock_monotonic_us();
    struct review review;
    struct error error;
    if (!review_judge(body, size, &webhook->rules, webhook->applications, &review, &error)) {
        if (refuse_unread(path, body, size, error.message, ret_body)) {
            return 200;
        }
        buf_append_format(ret_body, "not an AdmissionReview: %s\n", error.message);
        return 400;
    }
    AUTO_JSON cJSON *answer = review_answer(&review);
    json_write(answer, ret_body);
    if (is_reason) {
        remember_reason(webhook, &review.request);
    } else {
        note(webhook, &review);
    }
    review_release(&review);
    metric_observe(&duration, NULL, (double)(clock_monotonic_us() - start) / 1e6);
    return 200;
}
