#include "differ/problem.h"

#include "common/base/text.h"

#include <stdarg.h>
#include <stdio.h>

#define DESCRIBED_MAXIMUM 10 /* more would make a condition that nobody reads */
#define MESSAGE_MAXIMUM 1024

void problems_init(struct problems *problems)
{
    arena_init(&problems->arena);
    problems->list = NULL;
    problems->count = problems->total = 0;
}

void problems_release(struct problems *problems)
{
    arena_release(&problems->arena);
    problems->list = NULL;
    problems->count = problems->total = 0;
}

void problems_clear(struct problems *problems)
{
    problems_release(problems);
}

void problems_add(struct problems *problems, const char *object, const char *file, unsigned line,
                  const char *format, ...)
{
    problems->total++;
    if (problems->count == PROBLEMS_MAXIMUM) {
        return;
    }
    if (!problems->list) {
        problems->list = arena_new(&problems->arena, PROBLEMS_MAXIMUM * sizeof *problems->list);
    }
    char message[MESSAGE_MAXIMUM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    problems->list[problems->count++] = (struct problem){
        .object = arena_string(&problems->arena, text_or_empty(object)),
        .file = arena_string(&problems->arena, text_or_empty(file)),
        .line = line,
        .message = arena_string(&problems->arena, message),
    };
}

static void describe_one(const struct problem *problem, struct buf *out)
{
    if (*problem->file) {
        buf_append_string(out, problem->file);
        if (problem->line > 0) {
            buf_append_format(out, ":%u", problem->line);
        }
        buf_append_string(out, ": ");
    }
    if (*problem->object) {
        buf_append_format(out, "%s: ", problem->object);
    }
    buf_append_string(out, problem->message);
}

void problems_describe(const struct problems *problems, struct buf *out)
{
    size_t shown = problems->count < DESCRIBED_MAXIMUM ? problems->count : DESCRIBED_MAXIMUM;
    for (size_t i = 0; i < shown; i++) {
        if (i > 0) {
            buf_append_string(out, "; ");
        }
        describe_one(&problems->list[i], out);
    }
    if (problems->total > shown) {
        buf_append_format(out, "; and %zu more", problems->total - shown);
    }
}
