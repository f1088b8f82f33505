/* Patterns of gitignore(5). Each is split at its slashes when it is read; matching compares name by
 * name, with one point to return to for the last `*` within a name and the last `**` between names.
 * So a match costs at most (length of the pattern) × (length of the path), whatever a stranger
 * writes: there is no recursion and no exponential case. */
#include "differ/render/ignore.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

#define IGNORE_PARTS_MAXIMUM 64 /* names in one pattern, and in one path that is matched */

struct ignore_pattern {
    const char *directory; /* of the file that holds it; "" is the root */
    char **parts;          /* the names between slashes */
    size_t part_count;
    bool negated;
    bool only_directories;
    bool anchored; /* matched from `directory` on; otherwise against the last name alone */
};

/* What Flux's source-controller leaves out by default, and hidden directories. */
static const char ignore_defaults[] = ".*/\n"
                                      ".gitignore\n.gitmodules\n.gitattributes\n"
                                      ".travis.yml\n.gitlab-ci.yml\nappveyor.yml\n.drone.yml\n"
                                      "cloudbuild.yaml\ncodeship-services.yml\ncodeship-steps.yml\n"
                                      ".goreleaser.yml\n.sops.yaml\n.flux.yaml\n";

void ignore_init(struct ignore *ignore)
{
    *ignore = (struct ignore){0};
    arena_init(&ignore->arena);
    ignore_add(ignore, "", "defaults", ignore_defaults, sizeof(ignore_defaults) - 1, NULL);
}

void ignore_release(struct ignore *ignore)
{
    arena_release(&ignore->arena);
    free(ignore->patterns);
    *ignore = (struct ignore){0};
}

/* ---- Reading ---- */

/* Cuts unescaped blanks at the end, as Git does, and a carriage return. */
static size_t ignore_trim(const char *line, size_t size)
{
    if (size && line[size - 1] == '\r') {
        size--;
    }
    while (size && line[size - 1] == ' ' && !(size > 1 && line[size - 2] == '\\')) {
        size--;
    }
    return size;
}

/* Splits at slashes outside of escapes. False if there are too many parts or the pattern is empty.
 */
static bool ignore_split(struct arena *arena, const char *text, struct ignore_pattern *pattern)
{
    size_t slashes = 0;
    for (const char *at = text; *at; at++) {
        slashes += *at == '/';
    }
    if (*text == '\0' || slashes >= IGNORE_PARTS_MAXIMUM) {
        return false;
    }
    pattern->parts = arena_new(arena, (slashes + 1) * sizeof(char *));
    for (;;) {
        const char *slash = strchr(text, '/');
        size_t length = slash ? (size_t)(slash - text) : strlen(text);
        pattern->parts[pattern->part_count++] = arena_string_n(arena, text, length);
        if (!slash) {
            return true;
        }
        text = slash + 1;
    }
}

/* One line. False if it holds no pattern. */
static bool ignore_parse(struct arena *arena, const char *line, size_t size,
                         struct ignore_pattern *pattern)
{
    size = ignore_trim(line, size);
    if (size == 0 || line[0] == '#') {
        return false;
    }
    if (line[0] == '!') {
        pattern->negated = true;
        line++;
        size--;
    }
    if (size && line[size - 1] == '/') {
        pattern->only_directories = true;
        size--;
    }
    pattern->anchored = size && memchr(line, '/', size);
    if (size && line[0] == '/') {
        line++;
        size--;
    }
    return ignore_split(arena, arena_string_n(arena, line, size), pattern);
}

static void ignore_push(struct ignore *ignore, const struct ignore_pattern *pattern)
{
    if (ignore->count == ignore->capacity) {
        ignore->capacity = ignore->capacity ? ignore->capacity * 2 : 32;
        ignore->patterns =
            mem_resize(ignore->patterns, ignore->capacity, sizeof(*ignore->patterns));
    }
    ignore->patterns[ignore->count++] = *pattern;
}

bool ignore_add(struct ignore *ignore, const char *directory, const char *name, const char *text,
                size_t size, struct error *error)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    const char *owned = arena_string(&ignore->arena, directory);
    if (size > IGNORE_FILE_MAXIMUM) {
        return error_set(error, ERROR_LIMIT, "%s is larger than %zu bytes", name,
                         IGNORE_FILE_MAXIMUM);
    }
    if (size >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
        text += 3;
        size -= 3;
    }
    while (size) {
        struct ignore_pattern pattern = {.directory = owned};
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;
        if (ignore_parse(&ignore->arena, text, length, &pattern)) {
            if (ignore->count >= IGNORE_PATTERNS_MAXIMUM) {
                return error_set(error, ERROR_LIMIT,
                                 "%s: the repository has more than %d ignore patterns", name,
                                 IGNORE_PATTERNS_MAXIMUM);
            }
            ignore_push(ignore, &pattern);
        }
        text += length + (end ? 1 : 0);
        size -= length + (end ? 1 : 0);
    }
    return true;
}

/* ---- Matching ---- */

/* "[:alpha:]" and kin at `at` (after its "["). Returns what follows, or NULL if it is not one. */
static const char *ignore_class(const char *at, unsigned char byte, bool *ret_match)
{
    static const struct {
        const char *name;
        const char *ranges; /* pairs of first and last */
    } classes[] = {
        {":alnum:]", "azAZ09"}, {":alpha:]", "azAZ"}, {":blank:]", "  \t\t"},
        {":digit:]", "09"},     {":lower:]", "az"},   {":punct:]", "!/:@[`{~"},
        {":space:]", "  \t\r"}, {":upper:]", "AZ"},   {":xdigit:]", "09afAF"},
    };
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (text_has_prefix(at, classes[i].name)) {
            for (const char *range = classes[i].ranges; *range; range += 2) {
                *ret_match |= byte >= (unsigned char)range[0] && byte <= (unsigned char)range[1];
            }
            return at + strlen(classes[i].name);
        }
    }
    return NULL;
}

/* A bracket expression at `at`, after its "[". Returns what follows it, or NULL if it never ends:
 * such a pattern matches nothing, as in Git. */
static const char *ignore_bracket(const char *at, unsigned char byte, bool *ret_match)
{
    bool negated = *at == '!' || *at == '^';
    bool match = false;
    at += negated;
    for (const char *start = at; *at && (*at != ']' || at == start);) {
        const char *after = *at == '[' ? ignore_class(at + 1, byte, &match) : NULL;
        if (after) {
            at = after;
            continue;
        }
        at += at[0] == '\\' && at[1];
        unsigned char low = (unsigned char)*at++;
        unsigned char high = low;
        if (at[0] == '-' && at[1] && at[1] != ']') {
            at++;
            at += at[0] == '\\' && at[1];
            high = (unsigned char)*at++;
        }
        match |= byte >= low && byte <= high;
    }
    if (*at != ']') {
        return NULL;
    }
    *ret_match = match != negated;
    return at + 1;
}

/* Matches one element of the pattern against one byte; what follows the element, or NULL. */
static const char *ignore_element(const char *pattern, unsigned char byte)
{
    bool match;
    const char *after;
    switch (*pattern) {
    case '?':
        return pattern + 1;
    case '[':
        after = ignore_bracket(pattern + 1, byte, &match);
        return after && match ? after : NULL;
    case '\\':
        if (pattern[1]) {
            return (unsigned char)pattern[1] == byte ? pattern + 2 : NULL;
        }
        return NULL;
    default:
        return (unsigned char)*pattern == byte ? pattern + 1 : NULL;
    }
}

/* One name against one part of a pattern; `size` bytes of text, none of them a slash. */
static bool ignore_match_name(const char *pattern, const char *text, size_t size)
{
    const char *star = NULL; /* after the last '*' met */
    size_t star_at = 0;      /* where the text stood then, moved on with each retry */
    size_t at = 0;
    while (at < size || *pattern == '*') {
        if (*pattern == '*') {
            star = ++pattern;
            star_at = at;
            continue;
        }
        const char *after = *pattern ? ignore_element(pattern, (unsigned char)text[at]) : NULL;
        if (after) {
            pattern = after;
            at++;
        } else if (star) {
            pattern = star;
            at = ++star_at;
        } else {
            return false;
        }
    }
    return *pattern == '\0';
}

struct ignore_name {
    const char *text;
    size_t size;
};

static size_t ignore_split_path(const char *path, struct ignore_name ret[IGNORE_PARTS_MAXIMUM])
{
    size_t count = 0;
    while (count < IGNORE_PARTS_MAXIMUM) {
        const char *slash = strchr(path, '/');
        ret[count].text = path;
        ret[count++].size = slash ? (size_t)(slash - path) : strlen(path);
        if (!slash) {
            return count;
        }
        path = slash + 1;
    }
    return 0; /* deeper than any pattern can say */
}

/* "**"; more stars are the same to Git. */
static bool ignore_is_deep(const char *part)
{
    return part[0] == '*' && part[1] == '*' && part[strspn(part, "*")] == '\0';
}

static bool ignore_match_parts(char **parts, size_t part_count, const struct ignore_name *names,
                               size_t name_count)
{
    size_t part = 0;
    size_t name = 0;
    size_t star = part_count; /* the part after the last "**" met; part_count: none yet */
    size_t star_name = 0;
    bool starred = false;
    while (name < name_count) {
        bool deep = part < part_count && ignore_is_deep(parts[part]);
        if (deep) {
            /* In front and in the middle it stands for any number of names; at the end for one or
             * more, which is what is left. */
            if (part + 1 == part_count) {
                return true;
            }
            starred = true;
            star = ++part;
            star_name = name;
        } else if (part < part_count &&
                   ignore_match_name(parts[part], names[name].text, names[name].size)) {
            part++;
            name++;
        } else if (starred) {
            part = star;
            name = ++star_name;
        } else {
            return false;
        }
    }
    return part == part_count;
}

bool ignore_glob(const char *pattern, const char *text)
{
    return ignore_match_name(pattern, text, strlen(text));
}

/* `path` below the pattern's directory, or NULL if it is elsewhere. */
static const char *ignore_below(const char *directory, const char *path)
{
    size_t length = strlen(directory);
    if (length == 0) {
        return path;
    }
    return strncmp(path, directory, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

static bool ignore_pattern_matches(const struct ignore_pattern *pattern, const char *path,
                                   bool is_directory)
{
    const char *below = ignore_below(pattern->directory, path);
    if (!below || (pattern->only_directories && !is_directory)) {
        return false;
    }
    if (!pattern->anchored) {
        const char *slash = strrchr(below, '/');
        const char *name = slash ? slash + 1 : below;
        return ignore_match_name(pattern->parts[0], name, strlen(name));
    }
    struct ignore_name names[IGNORE_PARTS_MAXIMUM];
    size_t count = ignore_split_path(below, names);
    return count && ignore_match_parts(pattern->parts, pattern->part_count, names, count);
}

bool ignore_matches(const struct ignore *ignore, const char *path, bool is_directory)
{
    for (size_t i = ignore->count; i > 0; i--) {
        const struct ignore_pattern *pattern = &ignore->patterns[i - 1];
        if (ignore_pattern_matches(pattern, path, is_directory)) {
            return !pattern->negated;
        }
    }
    return false;
}
