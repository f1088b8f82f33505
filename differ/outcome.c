/* What came of an application's newest revision: kept for its status, and told as an Event when it
 * changes for the worse. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "differ/application.h"

#define RETRY_MINIMUM_MS 2000
#define RETRY_MAXIMUM_MS 60000

void outcome_set(struct application *application, enum application_outcome outcome,
                 const char *message)
{
    bool changed =
        application->outcome != outcome || !text_equal(application->outcome_message, message);
    application->outcome = outcome;
    application->judged |= outcome != OUTCOME_NONE && outcome != OUTCOME_WAITING;
    if (!changed) {
        return;
    }
    free(application->outcome_message);
    application->outcome_message = mem_string(message);
    if (outcome == OUTCOME_DELETING) {
        log_info("application waits for its objects to go", "application", application->key,
                 "message", message);
    }
    if (outcome == OUTCOME_ADOPTION) {
        status_event(application, "Warning", "AdoptionNotApproved", "Reconcile", message);
    }
    if (outcome == OUTCOME_WINDOW) {
        status_event(application, "Normal", "SyncWindowClosed", "Wait", message);
    }
    if (outcome == OUTCOME_INVALID || outcome == OUTCOME_DENIED || outcome == OUTCOME_FAILED ||
        outcome == OUTCOME_HELD) {
        static const char *const reasons[] = {
            [OUTCOME_INVALID] = "Invalid",
            [OUTCOME_DENIED] = TENANCY_REASON,
            [OUTCOME_FAILED] = "ApplyFailed",
            [OUTCOME_HELD] = "Held",
        };
        log_warn("application is not applied", "application", application->key, "reason",
                 reasons[outcome], "message", message);
        status_event(application, "Warning", reasons[outcome], "Reconcile", message);
    }
}

void outcome_set_from_problems(struct application *application, enum application_outcome outcome,
                               const struct problems *problems)
{
    AUTO_BUF struct buf message;
    buf_init(&message, 16384);
    problems_describe(problems, &message);
    outcome_set(application, outcome, message.data);
}

void outcome_back_off(struct application *application)
{
    application->retry_at =
        clock_monotonic_ms() +
        clock_backoff_ms(RETRY_MINIMUM_MS, application->failures++, RETRY_MAXIMUM_MS);
}
