#include "applier/execute.h"

#include "applier/release.h"
#include "applier/request.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/run/metrics.h"

#include <event2/event.h>
#include <string.h>

/* A conflict is a race with another writer: kube-apiserver has tried five times itself. */
#define CONFLICT_ATTEMPTS 4
/* How long an object waits for its kind to be served, or its Namespace to be seen, after their
 * stage has been applied: a CustomResourceDefinition takes about a second. */
#define ARRIVAL_TIMEOUT_MS 20000
#define ARRIVAL_PAUSE_MS 100
/* How long one that is made anew may take to go, with all that depends on it: Pods have 30 s. */
#define RECREATE_TIMEOUT_MS 180000
#define RECREATE_PAUSE_MS 250

static const double second_bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                       1,     2.5,  5,     10,   30,  0};
static struct metric requests_total = {
    .name = "gitmoor_applier_requests_total",
    .help = "Requests for operations of plans, by what came of them.",
    .type = METRIC_COUNTER,
    .label = "result"};
static struct metric request_seconds = {
    .name = "gitmoor_applier_request_seconds",
    .help = "Time from a request to its answer, retries of the connection included.",
    .type = METRIC_HISTOGRAM,
    .label = "phase",
    .bounds = second_bounds};

/* One request in flight. */
struct attempt {
    struct execution *execution;
    struct attempt *next, **link; /* among those in flight */
    struct kube_call *call;
    size_t index;
    bool preflight;
    int64_t started_us;
};

/* The steps of making an object anew. */
enum recreation { RECREATE_PROVE, RECREATE_DELETE, RECREATE_WAIT, RECREATE_APPLY };
/* The steps of giving one up: what is taken off it depends on what it is now. */
enum release { RELEASE_LOOK, RELEASE_WRITE };

struct wave {
    bool preflight;
    int after_from, after_below; /* preflight: the operations whose `after` is in this range */
    int stage;                   /* otherwise */
    size_t next;                 /* the operation to look at next */
    int64_t arrival_deadline_ms; /* 0: nobody waits for an arrival */
};

struct execution {
    struct execution_options options;
    char *namespace_, *service_account, *extra_key, *extra_value;
    struct kube_impersonation as;
    const struct plan *plan;
    struct wave wave;
    int preflighted_below; /* what depends on stages below this has been dry-run */
    size_t applied;        /* operations before this one are applied */
    struct attempt *attempts;
    unsigned in_flight;
    uint8_t *tries;
    uint8_t *steps;  /* enum recreation or enum release, of each operation */
    char **releases; /* the patch of each that has been looked at; NULL: the plan has none */
    int64_t recreate_deadline_ms;
    uint32_t *again; /* operations to be tried again once `again_ms` is reached */
    size_t again_count;
    int64_t again_ms;
    struct event *again_timer;
    struct result result;
    uint64_t requests;
    unsigned refusals; /* failures that will be the same next time */
    bool written;      /* a request that was no dry-run has been sent */
    bool cancelled;
    bool given_up; /* the server does not answer: the rest is not tried */
    bool finished;
    enum result_outcome outcome;
};

/* ---- Waves ---- */

static bool is_in_wave(const struct wave *wave, const struct plan_operation *operation)
{
    if (wave->preflight) {
        return operation->after >= wave->after_from && operation->after < wave->after_below;
    }
    return operation->stage == wave->stage;
}

static void begin_preflight(struct execution *execution, int below)
{
    execution->wave = (struct wave){
        .preflight = true, .after_from = execution->preflighted_below, .after_below = below};
    execution->preflighted_below = below;
}

static void finish(struct execution *execution, enum result_outcome outcome)
{
    execution->finished = true;
    execution->outcome = outcome;
}

/* After a wave without failure, and at the beginning. */
static void begin_next_wave(struct execution *execution)
{
    const struct plan *plan = execution->plan;
    if (plan->dry_run || execution->applied == plan->count) {
        finish(execution, RESULT_APPLIED);
        return;
    }
    int stage = plan->operations[execution->applied].stage;
    if (plan->preflight && execution->preflighted_below < stage) {
        begin_preflight(execution, stage);
        return;
    }
    execution->wave = (struct wave){.stage = stage, .next = execution->applied};
}

static void end_wave(struct execution *execution)
{
    bool preflight = execution->wave.preflight;
    if (execution->cancelled) {
        finish(execution, RESULT_CANCELLED);
    } else if (execution->result.failures > 0 || execution->given_up) {
        bool invalid = preflight && !execution->written && execution->refusals > 0;
        finish(execution, invalid ? RESULT_INVALID : RESULT_FAILED);
    } else {
        if (!preflight) {
            execution->applied = execution->wave.next;
        }
        begin_next_wave(execution);
    }
}

/* Moves wave.next to an operation that is in the wave; false at the end. */
static bool find_next(struct execution *execution)
{
    struct wave *wave = &execution->wave;
    const struct plan *plan = execution->plan;
    while (wave->next < plan->count && !is_in_wave(wave, &plan->operations[wave->next])) {
        if (!wave->preflight) {
            return false; /* the next stage begins */
        }
        wave->next++;
    }
    return wave->next < plan->count;
}

static bool may_start_more(const struct execution *execution)
{
    return !execution->finished && !execution->cancelled && !execution->given_up;
}

bool execution_is_finished(struct execution *execution)
{
    while (!execution->finished && execution->in_flight == 0) {
        bool more = execution->again_count > 0 || find_next(execution);
        if (more && may_start_more(execution)) {
            break;
        }
        end_wave(execution);
    }
    return execution->finished;
}

/* ---- Answers ---- */

static bool is_congestion(const struct kube_response *response)
{
    return response->status == 429 || response->status == 503 || response->status == 504 ||
           response->error.code == ERROR_TIMEOUT;
}

static const char *kind_of_answer(const struct kube_response *response)
{
    if (response->ok) {
        return "ok";
    }
    if (is_congestion(response)) {
        return "congested";
    }
    switch (response->error.code) {
    case ERROR_CONFLICT:
        return "conflict";
    case ERROR_DENIED:
        return "denied";
    case ERROR_INVALID:
        return "invalid";
    case ERROR_NOT_FOUND:
        return "not-found";
    default:
        return "failed";
    }
}

static void on_again(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct execution *execution = context;
    execution->again_ms = 0;
    execution->options.progress(execution, false, false, execution->options.context);
}

static void try_again(struct execution *execution, size_t index, int64_t pause_ms)
{
    execution->again[execution->again_count++] = (uint32_t)index;
    if (pause_ms > 0) {
        struct timeval pause = {.tv_usec = (suseconds_t)pause_ms * 1000};
        execution->again_ms = clock_monotonic_ms() + pause_ms;
        event_add(execution->again_timer, &pause);
    }
}

/* Whether the failure is one that passes by itself, and the operation will be tried again. */
static bool is_tried_again(struct execution *execution, size_t index,
                           const struct kube_response *response)
{
    const struct plan_operation *operation = &execution->plan->operations[index];
    struct wave *wave = &execution->wave;
    if (execution->cancelled) {
        return false;
    }
    if (response->error.code == ERROR_CONFLICT && operation->verb != PLAN_OWNERS &&
        operation->verb != PLAN_RELEASE && execution->tries[index] < CONFLICT_ATTEMPTS) {
        try_again(execution, index, 0);
        return true;
    }
    /* It has changed since it was looked at: a patch of what is not there any more is invalid. */
    if (operation->verb == PLAN_RELEASE && execution->steps[index] == RELEASE_WRITE &&
        (response->status == 409 || response->status == 422) &&
        execution->tries[index] < CONFLICT_ATTEMPTS * 2) {
        execution->steps[index] = RELEASE_LOOK;
        try_again(execution, index, 0);
        return true;
    }
    if (response->error.code == ERROR_NOT_FOUND && operation->verb == PLAN_APPLY &&
        operation->after >= 0) {
        int64_t now = clock_monotonic_ms();
        if (wave->arrival_deadline_ms == 0) {
            wave->arrival_deadline_ms = now + ARRIVAL_TIMEOUT_MS;
        }
        if (now < wave->arrival_deadline_ms) {
            execution->tries[index] = 0;
            try_again(execution, index, ARRIVAL_PAUSE_MS);
            return true;
        }
    }
    /* Quotas learn of a deletion a moment later. */
    if (execution->steps[index] == RECREATE_APPLY && response->status == 403 &&
        strstr(response->error.message, "exceeded quota") &&
        clock_monotonic_ms() < execution->recreate_deadline_ms) {
        execution->tries[index] = 0;
        try_again(execution, index, RECREATE_PAUSE_MS);
        return true;
    }
    return false;
}

static void take_failure(struct execution *execution, const struct attempt *attempt,
                         const struct kube_response *response, const struct request_answer *answer)
{
    const struct error *error = &answer->error;
    if (is_tried_again(execution, attempt->index, response)) {
        return;
    }
    const struct result_failure failure = {
        .status = response->status, .reason = response->reason, .immutable = answer->immutable};
    result_add_failure(&execution->result, attempt->index, attempt->preflight, &failure, error);
    if (!error->retryable) {
        execution->refusals++;
    } else if (response->status == 0 || is_congestion(response)) {
        /* The client has tried until the deadline; the rest would wait as long, one by one. */
        execution->given_up = true;
    }
}

/* The operation as it is to be asked for now: of one that takes several, the step that is due. */
static struct plan_operation step_of(const struct execution *execution, size_t index)
{
    struct plan_operation operation = execution->plan->operations[index];
    uint8_t step = execution->steps[index];
    if (operation.verb == PLAN_RECREATE && step != RECREATE_PROVE) {
        operation.foreground = step != RECREATE_APPLY;
        operation.verb = operation.foreground ? PLAN_DELETE : PLAN_APPLY;
    }
    if (operation.verb == PLAN_RELEASE && step == RELEASE_WRITE) {
        operation.body = execution->releases[index];
        operation.body_size = strlen(operation.body);
    }
    return operation;
}

/* It could be made: it may be deleted. */
static void take_proof(struct execution *execution, size_t index)
{
    execution->steps[index] = RECREATE_DELETE;
    execution->tries[index] = 0;
    try_again(execution, index, 0);
}

/* It is deleted: on to the next step, or wait until it is gone. Answers whether there is another
 * try. */
static bool go_on_recreating(struct execution *execution, const struct attempt *attempt,
                             const struct result_success *success, struct error *error)
{
    uint8_t *step = &execution->steps[attempt->index];
    int64_t now = clock_monotonic_ms();
    if (execution->recreate_deadline_ms == 0) {
        execution->recreate_deadline_ms = now + RECREATE_TIMEOUT_MS;
    }
    if (success->gone || success->replaced) {
        *step = RECREATE_APPLY;
    } else if (now < execution->recreate_deadline_ms) {
        *step = RECREATE_WAIT;
    } else {
        error_set(error, ERROR_TIMEOUT,
                  "it is to be made anew, and was deleted, but is not gone after %d s: look for "
                  "finalizers of it and of what depends on it",
                  RECREATE_TIMEOUT_MS / 1000);
        error->retryable = true;
        return false;
    }
    execution->tries[attempt->index] = 0;
    try_again(execution, attempt->index, *step == RECREATE_WAIT ? RECREATE_PAUSE_MS : 0);
    return true;
}

/* A step of making anew that is not the last of its wave has succeeded. Answers whether the answer
 * is dealt with. */
static bool take_step(struct execution *execution, const struct attempt *attempt,
                      struct request_answer *answer, bool *ok)
{
    uint8_t *step = &execution->steps[attempt->index];
    if (*step == RECREATE_PROVE) {
        take_proof(execution, attempt->index);
        return true;
    }
    if (attempt->preflight) {
        *step = RECREATE_PROVE; /* again, when its turn comes: much may have changed by then */
        return false;
    }
    if (*step == RECREATE_APPLY || execution->cancelled) {
        return false;
    }
    *ok = go_on_recreating(execution, attempt, &answer->success, &answer->error);
    return *ok;
}

/* The object that is to be given up, as it is now. Answers whether there is something to be written
 * to it. */
static bool take_look(struct execution *execution, const struct attempt *attempt,
                      struct request_answer *answer)
{
    const struct plan *plan = execution->plan;
    size_t index = attempt->index;
    char label[OBJECT_LABEL_VALUE_SIZE];
    if (execution->steps[index] != RELEASE_LOOK || answer->success.gone) {
        return false;
    }
    object_label_value(plan->namespace_, plan->name, label);
    char *patch = release_make_patch(answer->object, plan->operations[index].uid, label);
    if (!patch) {
        answer->success.replaced = true;
        return false;
    }
    if (!execution->releases) {
        execution->releases = mem_new(plan->count, sizeof *execution->releases);
    }
    free(execution->releases[index]);
    execution->releases[index] = patch;
    execution->steps[index] = RELEASE_WRITE;
    try_again(execution, index, 0);
    return true;
}

static void take_answer(struct execution *execution, const struct attempt *attempt,
                        const struct kube_response *response)
{
    const struct plan_operation operation = step_of(execution, attempt->index);
    enum plan_verb verb = execution->plan->operations[attempt->index].verb;
    struct request_answer answer = {0};
    /* What a dry-run made of the object is asked for by nobody, unless it is all that is done. */
    bool is_checked = response->ok && attempt->preflight && !execution->plan->dry_run;
    bool ok = is_checked || request_read_answer(&operation, response, &answer);
    bool has_next = verb == PLAN_RECREATE ? ok && take_step(execution, attempt, &answer, &ok)
                    : verb == PLAN_RELEASE
                        ? ok && !attempt->preflight && take_look(execution, attempt, &answer)
                        : false;
    if (has_next) {
        request_answer_release(&answer);
        return;
    }
    if (ok) {
        if (execution->plan->dry_run) {
            request_find_managers(&answer);
        }
        result_add_success(&execution->result, attempt->index, attempt->preflight, &answer.success);
    } else {
        take_failure(execution, attempt, response, &answer);
    }
    request_answer_release(&answer);
}

static void unlink_attempt(struct attempt *attempt)
{
    *attempt->link = attempt->next;
    if (attempt->next) {
        attempt->next->link = attempt->link;
    }
    free(attempt);
}

static void on_answer(const struct kube_response *response, void *context)
{
    struct attempt *attempt = context;
    struct execution *execution = attempt->execution;
    metric_add(&requests_total, kind_of_answer(response), 1);
    metric_observe(&request_seconds, attempt->preflight ? "preflight" : "apply",
                   (double)(clock_monotonic_us() - attempt->started_us) / 1e6);
    take_answer(execution, attempt, response);
    execution->in_flight--;
    bool congested = is_congestion(response);
    unlink_attempt(attempt);
    execution->options.progress(execution, true, congested, execution->options.context);
}

/* ---- Requests ---- */

static void start(struct execution *execution, size_t index)
{
    struct attempt *attempt = NEW(struct attempt);
    bool preflight = execution->wave.preflight;
    const struct plan_operation step = step_of(execution, index);
    bool looks = step.verb == PLAN_RELEASE && !step.body;
    bool writes = !preflight && step.verb != PLAN_RECREATE && !looks;
    bool waits = execution->steps[index] == RECREATE_WAIT;
    attempt->execution = execution;
    attempt->index = index;
    attempt->preflight = preflight;
    attempt->started_us = clock_monotonic_us();
    attempt->next = execution->attempts;
    attempt->link = &execution->attempts;
    if (attempt->next) {
        attempt->next->link = &attempt->next;
    }
    execution->attempts = attempt;
    execution->in_flight++;
    execution->requests++;
    execution->tries[index]++;
    execution->written = execution->written || writes;
    attempt->call =
        request_start(execution->options.client, &step, preflight || waits, &execution->as,
                      execution->options.request_timeout_ms, on_answer, attempt);
}

bool execution_start_next(struct execution *execution)
{
    if (execution_is_finished(execution) || !may_start_more(execution)) {
        return false;
    }
    if (execution->again_count > 0 && clock_monotonic_ms() >= execution->again_ms) {
        start(execution, execution->again[--execution->again_count]);
        return true;
    }
    if (find_next(execution)) {
        start(execution, execution->wave.next++);
        return true;
    }
    return false;
}

/* ---- Life ---- */

static void copy_identity(struct execution *execution, const struct kube_impersonation *as)
{
    execution->namespace_ = mem_string(as->namespace_);
    execution->service_account = mem_string(as->service_account);
    execution->extra_key = mem_string(as->extra_key);
    execution->extra_value = mem_string(as->extra_value);
    execution->as = (struct kube_impersonation){.namespace_ = execution->namespace_,
                                                .service_account = execution->service_account,
                                                .extra_key = execution->extra_key,
                                                .extra_value = execution->extra_value};
}

struct execution *execution_new(const struct execution_options *options)
{
    struct execution *execution = NEW(struct execution);
    execution->options = *options;
    execution->plan = options->plan;
    copy_identity(execution, options->as);
    execution->preflighted_below = -1;
    execution->tries = mem_new(options->plan->count, sizeof *execution->tries);
    execution->steps = mem_new(options->plan->count, sizeof *execution->steps);
    execution->again = mem_new(options->plan->count, sizeof *execution->again);
    execution->again_timer = event_new(options->base, -1, 0, on_again, execution);
    result_init(&execution->result);
    if (options->plan->dry_run) {
        begin_preflight(execution, 0); /* what depends on nothing; the rest cannot be known */
    } else {
        begin_next_wave(execution);
    }
    return execution;
}

void execution_free(struct execution *execution)
{
    if (!execution) {
        return;
    }
    while (execution->attempts) {
        kube_call_cancel(execution->attempts->call);
        unlink_attempt(execution->attempts);
    }
    event_free(execution->again_timer);
    result_release(&execution->result);
    free(execution->tries);
    for (size_t i = 0; execution->releases && i < execution->plan->count; i++) {
        free(execution->releases[i]);
    }
    free(execution->releases);
    free(execution->steps);
    free(execution->again);
    free(execution->namespace_);
    free(execution->service_account);
    free(execution->extra_key);
    free(execution->extra_value);
    free(execution);
}

void execution_cancel(struct execution *execution)
{
    execution->cancelled = true;
}

char *execution_result(const struct execution *execution, size_t *ret_size)
{
    return result_finish(&execution->result, execution->plan->id, execution->outcome,
                         execution->requests, NULL, ret_size);
}

enum result_outcome execution_outcome(const struct execution *execution)
{
    return execution->outcome;
}
