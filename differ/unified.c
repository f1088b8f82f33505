#include "differ/unified.h"

#include <git2.h>
#include <string.h>

struct unified {
    void (*line)(char origin, const char *text, size_t size, void *context);
    void *context;
};

/* libgit2 hands out lines with their line breaks. */
static void pass(const struct unified *unified, char origin, const char *text, size_t size)
{
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
        size--;
    }
    unified->line(origin, text, size, unified->context);
}

static int on_hunk(const git_diff_delta *delta, const git_diff_hunk *hunk, void *context)
{
    (void)delta;
    /* What follows the second "@@" is the line above: of no use in YAML. */
    const char *end = strstr(hunk->header + 2, "@@");
    pass(context, '@', hunk->header, end ? (size_t)(end - hunk->header) + 2 : hunk->header_len);
    return 0;
}

static int on_line(const git_diff_delta *delta, const git_diff_hunk *hunk,
                   const git_diff_line *line, void *context)
{
    (void)delta, (void)hunk;
    if (strchr(" +-", line->origin)) { /* not the remark that there is no line break at the end */
        pass(context, line->origin, line->content, line->content_len);
    }
    return 0;
}

bool unified_diff(const char *before, const char *after, unsigned context_lines,
                  void (*line)(char origin, const char *text, size_t size, void *context),
                  void *context, struct error *error)
{
    struct unified unified = {line, context};
    git_libgit2_init();
    git_diff_options options;
    git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
    options.context_lines = context_lines;
    options.flags = GIT_DIFF_FORCE_TEXT | GIT_DIFF_INDENT_HEURISTIC;
    int code = git_diff_buffers(before, strlen(before), NULL, after, strlen(after), NULL, &options,
                                NULL, NULL, on_hunk, on_line, &unified);
    const git_error *reason = code < 0 ? git_error_last() : NULL;
    bool done = code == 0 || error_set(error, ERROR_INTERNAL, "two texts cannot be compared: %s",
                                       reason ? reason->message : "unknown error");
    git_libgit2_shutdown();
    return done;
}
