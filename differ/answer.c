#include "differ/answer.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/application.h"
#include "differ/builds.h"
#include "differ/repository.h"
#include "differ/whole.h"

#include <string.h>

static struct metric renders = {
    .name = "gitmoor_differ_renders_total",
    .help = "Applications rendered, by result: rendered, unchanged or failed.",
    .type = METRIC_COUNTER,
    .label = "result",
};

/* One application's part of the answer: the head line, then pairs of lines for its objects. */
struct part {
    cJSON *head;
    struct desired_input *inputs;
    size_t count;
};

struct cursor {
    const char *at, *end;
};

/* Without its newline. False: there is no whole line. */
static bool take_line(struct cursor *cursor, const char **ret_line, size_t *ret_size)
{
    const char *stop = memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at));
    if (!stop) {
        return false;
    }
    *ret_line = cursor->at;
    *ret_size = (size_t)(stop - cursor->at);
    cursor->at = stop + 1;
    return true;
}

static void take_render_problems(struct application *application, const cJSON *errors)
{
    for (const cJSON *item = json_first(errors); item; item = item->next) {
        problems_add(&application->render_problems, "", json_string(item, "file"),
                     (unsigned)json_int(item, "line", 0), "%s",
                     text_or_empty(json_string(item, "message")));
    }
}

static void build_desired(struct application *application, const struct part *part,
                          const char *render_key, const char *revision)
{
    problems_clear(&application->render_problems);
    map_release(&application->unknown_kinds, NULL);
    take_render_problems(application, json_get(part->head, "errors"));
    struct desired_options options = {
        .namespace_ = application->namespace_,
        .application = application->name,
        .target_namespace = application->spec.target_namespace,
        .ignore = &application->spec.ignore,
        .default_namespace =
            json_string(json_object(application->spec.render, "helm"), "namespace"),
        .discovery = application->differ->discovery,
        .before = application->desired,
    };
    struct desired_set *set =
        desired_build(&options, part->inputs, part->count, &application->render_problems,
                      &application->unknown_kinds);
    if (application->render_problems.total > 0) {
        desired_free(set);
        set = NULL;
    }
    metric_add(&renders, set ? "rendered" : "failed", 1);
    log_debug("application rendered", "application", application->key, "revision", revision,
              "result", set ? "rendered" : "failed");
    application_set_desired(application, set, render_key, revision);
    if (!set && render_key) {
        rollback_stand_in(application);
    }
}

/* Reads the pairs of lines that follow a head, which are all of `lines`. */
static bool take_objects(struct cursor lines, struct part *part, struct arena *arena,
                         struct error *error)
{
    int64_t count = json_int(part->head, "objects", 0);
    if (count < 0 || count > lines.end - lines.at) {
        return error_set(error, ERROR_INTERNAL, "the render worker's answer counts wrongly");
    }
    part->inputs = mem_new((size_t)count, sizeof *part->inputs);
    for (; part->count < (size_t)count; part->count++) {
        struct desired_input *input = &part->inputs[part->count];
        AUTO_JSON cJSON *place = NULL;
        const char *line;
        size_t size;
        if (!take_line(&lines, &line, &size) || !json_parse(line, size, NULL, &place, error) ||
            !take_line(&lines, &input->text, &input->size)) {
            return error_set(error, ERROR_INTERNAL, "the render worker's answer lacks an object");
        }
        input->file = arena_string(arena, text_or_empty(json_string(place, "file")));
        input->line = (unsigned)json_int(place, "line", 0);
    }
    return lines.at == lines.end ||
           error_set(error, ERROR_INTERNAL, "the render worker's answer has more than it says");
}

/* The newest revision is the one that was left, or is again: what it was rolled back to stays. */
static void take_left(const struct run *run, struct application *application,
                      const char *render_key)
{
    rollback_note_left(application, run->commit, render_key);
    if (!application->rollback->needs_render) {
        problems_clear(&application->render_problems);
        map_release(&application->unknown_kinds, NULL);
    }
    application->unread = 0;
    waiting_drop(application);
    metric_add(&renders, "unchanged", 1);
    application_wake(application);
}

/* Files and lines of an earlier commit would be looked for in the newest. */
static void tell_not_rendered(struct application *application)
{
    if (application->render_problems.total > 0) {
        problems_add(&application->render_problems, "", "", 0,
                     "this is of the earlier revision %s: it cannot be put back, and what was "
                     "applied last stays in force",
                     application->rollback->to);
    }
}

/* The earlier revision, unless it is not wanted any more. */
static void take_rolled_back(const struct run *run, struct application *application,
                             const struct part *part)
{
    struct rollback *rollback = application->rollback;
    if (!rollback || !text_equal(rollback->to, run->revision)) {
        return;
    }
    rollback->needs_render = false;
    application->since = run->repository->sequence;
    if (!rollback->stands_in) {
        build_desired(application, part, NULL, run->revision);
        tell_not_rendered(application);
        return;
    }
    /* What is wrong with the newest revision stays told. */
    struct problems problems = application->render_problems;
    struct map unknown_kinds = application->unknown_kinds;
    problems_init(&application->render_problems);
    map_init(&application->unknown_kinds);
    build_desired(application, part, NULL, run->revision);
    problems_release(&application->render_problems);
    map_release(&application->unknown_kinds, NULL);
    application->render_problems = problems;
    application->unknown_kinds = unknown_kinds;
}

/* Another look at the same files says nothing new; but a build of other files may have come between
 * the question and the answer. */
static void take_unchanged(struct application *application, const char *render_key)
{
    application->needs_render |= !text_equal(render_key, application->render_key);
    metric_add(&renders, "unchanged", 1);
    application_wake(application);
}

/* A build is of the files that were looked at since it began, too, if they have the same key. */
static void note_sequence(const struct run *run, struct application *application,
                          const char *render_key)
{
    const struct build *build = &application->build;
    bool is_still_so = run->is_build && !build->is_due && text_equal(render_key, build->key);
    uint64_t sequence = is_still_so ? application->looked : run->sequence;
    if (!run->is_build) {
        application->looked = sequence;
    }
    if (sequence > application->answered) {
        application->answered = sequence;
    }
}

static void take_newest(const struct run *run, struct application *application,
                        const struct part *part, const char *render_key)
{
    bool was_left = rollback_is_left(application->rollback, run->commit, render_key);
    if (json_bool(part->head, "deferred", false) && !was_left) {
        application->looked = run->sequence;
        builds_want(application, render_key);
        return;
    }
    note_sequence(run, application, render_key);
    application->rendered = true;
    if (run->is_build) {
        builds_note_answer(application);
    } else {
        builds_drop(application);
    }
    if (was_left) {
        take_left(run, application, render_key);
    } else if (json_bool(part->head, "unchanged", false)) {
        take_unchanged(application, render_key);
    } else {
        application->since = application->answered;
        build_desired(application, part, render_key, run->revision);
        bool failed = application->render_problems.total > 0;
        application->unread = failed ? application->answered : 0;
    }
}

/* It is not its files' doing. */
static void take_failure(struct run *run, struct application *application, const struct part *part)
{
    const char *message =
        text_or_empty(json_string(json_first(json_array(part->head, "errors")), "message"));
    application->rendered = true; /* so far as it can be: nobody need wait for it */
    if (run->is_build) {
        builds_note_failure(application, message);
    } else {
        error_set(&run->failure, ERROR_UNAVAILABLE, "%s: %s", application->key, message);
    }
}

static void take_rendering(struct run *run, struct application *application,
                           const struct part *part)
{
    const char *render_key = text_or_empty(json_string(part->head, "renderKey"));
    if (!*render_key) {
        take_failure(run, application, part);
        return;
    }
    application->is_chart = json_bool(part->head, "chart", false);
    if (run->is_newest) {
        application->looking &= run->is_build; /* a look has looked */
        take_newest(run, application, part, render_key);
    } else {
        builds_note_answer(application);
        take_rolled_back(run, application, part);
    }
}

static bool take_part(struct run *run, const cJSON *head, struct cursor lines, struct error *error)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    struct part part = {.head = (cJSON *)head};
    bool taken = take_objects(lines, &part, &arena, error);
    AUTO_FREE struct desired_input *inputs = part.inputs;
    (void)inputs;
    if (!taken) {
        return false;
    }
    run->answered++;
    const char *key = text_or_empty(json_string(head, "application"));
    struct application *application = map_get(&run->repository->differ->applications, key);
    /* It may have been deleted or changed meanwhile. */
    if (application && !application->deleting && run_is_for(run, application)) {
        take_rendering(run, application, &part);
    }
    return true;
}

static bool take_head(struct run *run, const cJSON *head, struct error *error)
{
    if (json_bool(head, "ok", false)) {
        run->begun = true;
        if (!run->is_build && run->is_newest) {
            repository_set_whole(run->repository, run);
        }
        return true;
    }
    const char *reason = text_or_empty(json_string(head, "reason"));
    run->objects_missing =
        text_equal(reason, "missing-objects") || text_equal(reason, "invalid-pack");
    return error_set(error, ERROR_INVALID, "%s: %s", reason,
                     text_or_empty(json_string(head, "message")));
}

/* The first line, or an application's part. False: it is not whole yet, or wrong. */
static bool take_next(struct run *run, struct cursor *cursor)
{
    AUTO_JSON cJSON *head = NULL;
    struct cursor ahead = *cursor;
    struct error error;
    const char *line;
    size_t size;
    if (!take_line(&ahead, &line, &size)) {
        return false;
    }
    bool ok = json_parse(line, size, NULL, &head, &error);
    if (ok && !run->begun) {
        ok = take_head(run, head, &error);
    } else if (ok) {
        int64_t bytes = json_int(head, "bytes", 0);
        if (bytes > ahead.end - ahead.at) {
            return false;
        }
        const struct cursor lines = {ahead.at, ahead.at + (bytes > 0 ? bytes : 0)};
        ok = take_part(run, head, lines, &error);
        ahead.at = lines.end;
    }
    if (!ok) {
        run->failure = error;
        run->broken = true;
    }
    cursor->at = ahead.at;
    return ok;
}

size_t answer_take(struct run *run, const char *output, size_t size)
{
    struct cursor cursor = {output, output + size};
    size_t answered = run->answered;
    while (!run->broken && cursor.at < cursor.end && take_next(run, &cursor)) {
    }
    if (run->answered > answered) {
        whole_wake(run->repository->differ);
    }
    return run->broken ? size : (size_t)(cursor.at - output);
}
