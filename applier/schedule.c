#include "applier/schedule.h"

#include "applier/execute.h"
#include "applier/permit.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/data/object.h"
#include "common/run/metrics.h"

#include <event2/event.h>
#include <string.h>
#include <sys/queue.h>

static struct metric plans_total = {.name = "gitmoor_applier_plans_total",
                                    .help = "Plans finished, by outcome.",
                                    .type = METRIC_COUNTER,
                                    .label = "outcome"};

enum job_state {
    JOB_WAITING, /* for the plan of the same Application that runs */
    JOB_UNKNOWN, /* for its Application to be known */
    JOB_RUNNING,
};

struct job {
    TAILQ_ENTRY(job) turn; /* RUNNING: in one of the rotations; UNKNOWN: among the unknown */
    struct schedule *schedule;
    struct plan *plan;
    char *text;
    size_t size;
    enum job_state state;
    int64_t known_deadline_ms; /* UNKNOWN */
    struct execution *execution;
};
TAILQ_HEAD(job_list, job);

/* The plans of one Application, by its UID. At most one of each. */
struct queue {
    struct job *current; /* RUNNING or UNKNOWN */
    struct job *waiting;
};

enum { HEAL, ORDINARY, ROTATIONS };

struct schedule {
    struct schedule_options options;
    struct pace pace;
    uint64_t congested_before; /* of the client's statistics, when last looked at */
    struct map jobs;           /* plan id → job */
    struct map queues;         /* Application UID → queue */
    struct job_list rotations[ROTATIONS];
    struct job_list unknown;
    struct event *unknown_timer;
    size_t bytes;
};

static void begin(struct job *job);
static void pump(struct schedule *schedule);

/* ---- The end of a plan ---- */

static void job_free(struct job *job)
{
    execution_free(job->execution);
    plan_free(job->plan);
    free(job->text);
    free(job);
}

/* Takes the job out of everything and tells its result. The next plan of the Application begins. */
static void end(struct job *job, enum result_outcome outcome, char *text, size_t size)
{
    struct schedule *schedule = job->schedule;
    struct queue *queue = map_get(&schedule->queues, job->plan->uid);
    struct job *next = NULL;
    map_remove(&schedule->jobs, job->plan->id);
    schedule->bytes -= job->size;
    if (queue->waiting == job) {
        queue->waiting = NULL;
    } else {
        next = queue->waiting;
        queue->current = next;
        queue->waiting = NULL;
    }
    if (!queue->current) {
        map_remove(&schedule->queues, job->plan->uid);
        free(queue);
    }
    metric_add(&plans_total, result_outcome_name(outcome), 1);
    schedule->options.finished(job->plan->id, outcome, text, size, schedule->options.context);
    job_free(job);
    if (next) {
        begin(next);
    }
}

static void end_running(struct job *job)
{
    size_t size;
    char *text = execution_result(job->execution, &size);
    TAILQ_REMOVE(&job->schedule->rotations[job->plan->heal ? HEAL : ORDINARY], job, turn);
    end(job, execution_outcome(job->execution), text, size);
}

/* Ends a plan of which nothing was tried. */
static void end_untried(struct job *job, enum result_outcome outcome, const struct error *why)
{
    struct result nothing;
    result_init(&nothing);
    size_t size;
    char *text = result_finish(&nothing, job->plan->id, outcome, 0, why, &size);
    result_release(&nothing);
    if (job->state == JOB_UNKNOWN) {
        TAILQ_REMOVE(&job->schedule->unknown, job, turn);
    }
    end(job, outcome, text, size);
}

/* ---- Running ---- */

/* Whether the client met an overloaded server since it was last asked, retries included. */
static bool client_was_congested(struct schedule *schedule)
{
    uint64_t now = kube_client_stats(schedule->options.client)->congested;
    bool more = now != schedule->congested_before;
    schedule->congested_before = now;
    return more;
}

static void on_progress(struct execution *execution, bool answered, bool congested, void *context)
{
    struct job *job = context;
    struct schedule *schedule = job->schedule;
    if (answered) {
        bool client_congested = client_was_congested(schedule);
        pace_finished(&schedule->pace, congested || client_congested);
    }
    if (execution_is_finished(execution)) {
        end_running(job);
    }
    pump(schedule);
}

/* The next request of the first plan in turn that has one. */
static bool start_one(struct schedule *schedule, struct job_list *rotation)
{
    struct job *job;
    TAILQ_FOREACH(job, rotation, turn)
    {
        if (execution_start_next(job->execution)) {
            pace_started(&schedule->pace);
            TAILQ_REMOVE(rotation, job, turn);
            TAILQ_INSERT_TAIL(rotation, job, turn);
            return true;
        }
    }
    return false;
}

static void pump(struct schedule *schedule)
{
    while (pace_has_room(&schedule->pace)) {
        if (!start_one(schedule, &schedule->rotations[HEAL]) &&
            !start_one(schedule, &schedule->rotations[ORDINARY])) {
            return;
        }
    }
}

/* Ends a plan that names what the tenancy settings refuse; of the rest nothing is tried either. */
static bool end_refused(struct job *job)
{
    struct result refused;
    result_init(&refused);
    bool ends = !permit_plan(tenancy_file_get(job->schedule->options.tenancy), job->plan, &refused);
    if (ends) {
        size_t size;
        char *text = result_finish(&refused, job->plan->id, RESULT_INVALID, 0, NULL, &size);
        end(job, RESULT_INVALID, text, size);
    }
    result_release(&refused);
    return ends;
}

/* The job is in no list. */
static void run(struct job *job, const struct kube_impersonation *found)
{
    struct schedule *schedule = job->schedule;
    if (end_refused(job)) {
        return;
    }
    struct kube_impersonation as = *found;
    as.extra_key = GITMOOR_APPLIER_EXTRA;
    as.extra_value = *schedule->options.user_name;
    struct execution_options options = {.base = schedule->options.base,
                                        .client = schedule->options.client,
                                        .plan = job->plan,
                                        .as = &as,
                                        .request_timeout_ms = schedule->options.request_timeout_ms,
                                        .progress = on_progress,
                                        .context = job};
    job->state = JOB_RUNNING;
    job->execution = execution_new(&options);
    TAILQ_INSERT_TAIL(&schedule->rotations[job->plan->heal ? HEAL : ORDINARY], job, turn);
    if (execution_is_finished(job->execution)) {
        end_running(job); /* it had no operations */
    }
}

static void arm_unknown_timer(struct schedule *schedule)
{
    const struct job *first = TAILQ_FIRST(&schedule->unknown);
    if (!first) {
        event_del(schedule->unknown_timer);
        return;
    }
    int64_t left = first->known_deadline_ms - clock_monotonic_ms();
    left = left < 0 ? 1 : left + 1;
    struct timeval pause = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
    event_add(schedule->unknown_timer, &pause);
}

/* Runs the plan if its Application is known; otherwise it waits, or is refused. */
static void begin(struct job *job)
{
    struct schedule *schedule = job->schedule;
    const struct plan *plan = job->plan;
    struct kube_impersonation as;
    struct error error;
    if (identities_find(schedule->options.identities, plan->namespace_, plan->name, plan->uid, &as,
                        &error)) {
        run(job, &as);
        return;
    }
    if (!error.retryable) {
        end_untried(job, RESULT_FAILED, &error);
        return;
    }
    job->state = JOB_UNKNOWN;
    job->known_deadline_ms = clock_monotonic_ms() + schedule->options.identity_timeout_ms;
    TAILQ_INSERT_TAIL(&schedule->unknown, job, turn);
    arm_unknown_timer(schedule);
}

/* Looks again at those that wait to be known. With `late`, those whose time is over are refused. */
static void look_at_unknown(struct schedule *schedule, bool late)
{
    struct job_list waiting = TAILQ_HEAD_INITIALIZER(waiting);
    TAILQ_CONCAT(&waiting, &schedule->unknown, turn);
    struct job *job;
    while ((job = TAILQ_FIRST(&waiting))) {
        TAILQ_REMOVE(&waiting, job, turn);
        const struct plan *plan = job->plan;
        struct kube_impersonation as;
        struct error error;
        if (identities_find(schedule->options.identities, plan->namespace_, plan->name, plan->uid,
                            &as, &error)) {
            run(job, &as);
            continue;
        }
        TAILQ_INSERT_TAIL(&schedule->unknown, job, turn);
        if (!error.retryable || (late && clock_monotonic_ms() >= job->known_deadline_ms)) {
            end_untried(job, RESULT_FAILED, &error);
        }
    }
    arm_unknown_timer(schedule);
    pump(schedule);
}

static void on_unknown_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    look_at_unknown(context, true);
}

void schedule_identities_changed(struct schedule *schedule)
{
    if (!TAILQ_EMPTY(&schedule->unknown)) {
        look_at_unknown(schedule, false);
    }
}

/* ---- From outside ---- */

struct schedule *schedule_new(const struct schedule_options *options)
{
    struct schedule *schedule = NEW(struct schedule);
    schedule->options = *options;
    pace_init(&schedule->pace, options->window_maximum);
    for (unsigned i = 0; i < ROTATIONS; i++) {
        TAILQ_INIT(&schedule->rotations[i]);
    }
    TAILQ_INIT(&schedule->unknown);
    schedule->unknown_timer = event_new(options->base, -1, 0, on_unknown_timer, schedule);
    return schedule;
}

static void free_job(void *value)
{
    job_free(value);
}

void schedule_free(struct schedule *schedule)
{
    if (!schedule) {
        return;
    }
    map_release(&schedule->jobs, free_job);
    map_release(&schedule->queues, free);
    event_free(schedule->unknown_timer);
    free(schedule);
}

void schedule_submit(struct schedule *schedule, struct plan *plan, char *text, size_t size)
{
    struct job *job = NEW(struct job);
    job->schedule = schedule;
    job->plan = plan;
    job->text = text;
    job->size = size;
    map_set(&schedule->jobs, plan->id, job);
    schedule->bytes += size;
    struct queue *queue = map_get(&schedule->queues, plan->uid);
    if (!queue) {
        queue = NEW(struct queue);
        map_set(&schedule->queues, plan->uid, queue);
    }
    if (!queue->current) {
        queue->current = job;
        begin(job);
        pump(schedule);
        return;
    }
    struct job *older = queue->current->state == JOB_UNKNOWN ? queue->current : queue->waiting;
    queue->waiting = job;
    job->state = JOB_WAITING;
    if (older) {
        struct error why;
        error_set(&why, ERROR_CONFLICT, "a newer plan for the same Application has come");
        if (older != queue->current) {
            /* `end` clears queue->waiting for the job that it finds there. */
            queue->waiting = older;
            end_untried(older, RESULT_CANCELLED, &why);
            queue->waiting = job;
        } else {
            end_untried(older, RESULT_CANCELLED, &why); /* the new one begins */
        }
        pump(schedule);
    }
}

bool schedule_has(const struct schedule *schedule, const char *id)
{
    return map_has(&schedule->jobs, id);
}

static void cancel_job(struct job *job)
{
    if (job->state != JOB_RUNNING) {
        end_untried(job, RESULT_CANCELLED, NULL);
        return;
    }
    execution_cancel(job->execution);
    if (execution_is_finished(job->execution)) {
        end_running(job);
    }
}

void schedule_cancel(struct schedule *schedule, const char *id)
{
    struct job *job = map_get(&schedule->jobs, id);
    if (job) {
        cancel_job(job);
        pump(schedule);
    }
}

void schedule_cancel_all(struct schedule *schedule)
{
    struct map_slot *slot;
    /* Those that wait first, so that none of them begins when another ends. */
    for (slot = map_first(&schedule->queues); slot; slot = map_next(&schedule->queues, slot)) {
        struct queue *queue = slot->value;
        if (queue->waiting) {
            end_untried(queue->waiting, RESULT_CANCELLED, NULL);
        }
    }
    AUTO_FREE const char **ids = map_sorted_keys(&schedule->jobs);
    AUTO_FREE struct job **jobs = mem_new(schedule->jobs.count, sizeof *jobs);
    size_t count = schedule->jobs.count;
    for (size_t i = 0; i < count; i++) {
        jobs[i] = map_get(&schedule->jobs, ids[i]);
    }
    for (size_t i = 0; i < count; i++) {
        cancel_job(jobs[i]);
    }
}

size_t schedule_count(const struct schedule *schedule)
{
    return schedule->jobs.count;
}

size_t schedule_bytes(const struct schedule *schedule)
{
    return schedule->bytes;
}

const struct pace *schedule_pace(const struct schedule *schedule)
{
    return &schedule->pace;
}
