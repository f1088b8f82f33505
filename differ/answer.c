#include "differ/answer.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/application.h"

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

static bool take_line(char **cursor, char *end, char **ret_line, size_t *ret_size)
{
    if (*cursor >= end) {
        return false;
    }
    char *stop = memchr(*cursor, '\n', (size_t)(end - *cursor));
    *ret_line = *cursor;
    *ret_size = (size_t)((stop ? stop : end) - *cursor);
    *cursor = stop ? stop + 1 : end;
    return true;
}

static bool take_json_line(char **cursor, char *end, cJSON **ret, struct error *error)
{
    char *line;
    size_t size;
    if (!take_line(cursor, end, &line, &size)) {
        return error_set(error, ERROR_INTERNAL, "the render worker's answer ends early");
    }
    return json_parse(line, size, NULL, ret, error);
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

/* Reads the pairs of lines that follow a head. */
static bool take_objects(char **cursor, char *end, struct part *part, struct arena *arena,
                         struct error *error)
{
    int64_t count = json_int(part->head, "objects", 0);
    if (count < 0 || count > end - *cursor) {
        return error_set(error, ERROR_INTERNAL, "the render worker's answer counts wrongly");
    }
    part->inputs = mem_new((size_t)count, sizeof *part->inputs);
    for (; part->count < (size_t)count; part->count++) {
        struct desired_input *input = &part->inputs[part->count];
        AUTO_JSON cJSON *place = NULL;
        char *line;
        if (!take_json_line(cursor, end, &place, error)) {
            return false;
        }
        if (!take_line(cursor, end, &line, &input->size)) {
            return error_set(error, ERROR_INTERNAL, "the render worker's answer ends early");
        }
        input->text = line;
        input->file = arena_string(arena, text_or_empty(json_string(place, "file")));
        input->line = (unsigned)json_int(place, "line", 0);
    }
    return true;
}

/* The newest revision is the one that was left, or is again: what it was rolled back to stays. */
static void take_left(struct application *application)
{
    free(application->render_key);
    application->render_key = mem_string(application->rollback->key);
    problems_clear(&application->render_problems);
    map_release(&application->unknown_kinds, NULL);
    waiting_drop(application);
    metric_add(&renders, "unchanged", 1);
    application_wake(application);
}

/* The earlier revision, unless it is not wanted any more. */
static void take_rolled_back(struct repository *repository, struct application *application,
                             const struct part *part)
{
    struct rollback *rollback = application->rollback;
    if (!rollback || !text_equal(rollback->to, repository->worker_revision)) {
        return;
    }
    rollback->needs_render = false;
    if (!rollback->stands_in) {
        build_desired(application, part, NULL, repository->worker_revision);
        return;
    }
    /* What is wrong with the newest revision stays told. */
    struct problems problems = application->render_problems;
    struct map unknown_kinds = application->unknown_kinds;
    problems_init(&application->render_problems);
    map_init(&application->unknown_kinds);
    build_desired(application, part, NULL, repository->worker_revision);
    problems_release(&application->render_problems);
    map_release(&application->unknown_kinds, NULL);
    application->render_problems = problems;
    application->unknown_kinds = unknown_kinds;
}

static bool take_rendering(struct repository *repository, struct application *application,
                           const struct part *part, struct error *error)
{
    if (text_equal(json_string(part->head, "renderKey"), "")) {
        application->rendered = true; /* so far as it can be: nobody need wait for it */
        return error_set(
            error, ERROR_UNAVAILABLE, "%s: %s", application->key,
            text_or_empty(json_string(json_first(json_array(part->head, "errors")), "message")));
    }
    application->rendering = false;
    application->rendered = true;
    application->is_chart = json_bool(part->head, "chart", false);
    const char *render_key = json_string(part->head, "renderKey");
    if (repository->worker_rolls_back) {
        take_rolled_back(repository, application, part);
    } else if (application->rollback && !application->rollback->stands_in &&
               text_equal(render_key, application->rollback->key)) {
        take_left(application);
    } else if (json_bool(part->head, "unchanged", false)) {
        metric_add(&renders, "unchanged", 1);
        application_wake(application);
    } else {
        build_desired(application, part, render_key, repository->worker_revision);
    }
    return true;
}

static bool take_part(struct repository *repository, char **cursor, char *end, struct error *error)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_JSON cJSON *head = NULL;
    if (!take_json_line(cursor, end, &head, error)) {
        return false;
    }
    struct part part = {.head = head};
    bool taken = take_objects(cursor, end, &part, &arena, error);
    AUTO_FREE struct desired_input *inputs = part.inputs;
    (void)inputs;
    if (!taken) {
        return false;
    }
    const char *key = text_or_empty(json_string(head, "application"));
    struct application *application = map_get(&repository->differ->applications, key);
    if (!application || !application->rendering || application->deleting ||
        application_repository(application) != repository) {
        return true; /* it was deleted or changed meanwhile */
    }
    return take_rendering(repository, application, &part, error);
}

bool answer_take(struct repository *repository, char *output, size_t size,
                 bool *ret_objects_missing, struct error *error)
{
    char *cursor = output, *end = output + size;
    AUTO_JSON cJSON *head = NULL;
    *ret_objects_missing = false;
    if (!take_json_line(&cursor, end, &head, error)) {
        return false;
    }
    if (!json_bool(head, "ok", false)) {
        const char *reason = text_or_empty(json_string(head, "reason"));
        *ret_objects_missing =
            text_equal(reason, "missing-objects") || text_equal(reason, "invalid-pack");
        return error_set(error, ERROR_INVALID, "%s: %s", reason,
                         text_or_empty(json_string(head, "message")));
    }
    bool taken = true;
    while (cursor < end) {
        if (!take_part(repository, &cursor, end, error)) {
            taken = false; /* the other applications have no part in it */
        }
    }
    return taken;
}
