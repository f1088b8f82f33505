/* The expression language is read and evaluated in one pass, from a cursor. What is not to be
 * evaluated (a default that is not needed) is only looked at for its end. */
#include "differ/render/substitute.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"
#include "differ/render/pattern.h"

#include <ctype.h>
#include <string.h>

#define NESTING_MAXIMUM 8 /* of expressions in defaults and arguments */

struct substitution {
    const cJSON *variables;
    size_t maximum; /* bytes of any one result, and what functions may cost */
    size_t work;    /* that they have cost: bytes looked at */
    unsigned depth;
    struct error *error;
};

/* Where an expression is refused, it is named by its variable. */
static bool refuse(const struct substitution *run, const char *name, const char *why)
{
    return error_set(run->error, ERROR_INVALID, "${%s}: %s", name, why);
}

static bool too_large(const struct substitution *run)
{
    return error_set(run->error, ERROR_LIMIT, "what is substituted is too large");
}

/* ---- Text ---- */

/* The brace that ends what begins at `at`, expressions within it skipped; NULL: there is none. */
static const char *find_end(const char *at, const char *end)
{
    size_t open = 0;
    for (; at < end; at++) {
        if (at[0] == '$' && at + 1 < end && at[1] == '{') {
            open++;
            at++;
        } else if (*at == '}' && open-- == 0) {
            return at;
        }
    }
    return NULL;
}

static bool evaluate(struct substitution *run, const char *at, const char *end, struct buf *out);

static bool expand(struct substitution *run, const char *text, const char *end, struct buf *out)
{
    for (const char *at = text; at < end;) {
        size_t left = (size_t)(end - at);
        if (left >= 3 && memcmp(at, "$${", 3) == 0) {
            if (!buf_append_string(out, "${")) {
                return too_large(run);
            }
            at += 3;
        } else if (left >= 2 && at[0] == '$' && at[1] == '{') {
            const char *close = find_end(at + 2, end);
            if (!close) {
                return error_set(run->error, ERROR_INVALID,
                                 "\"${\" has no \"}\"; write $${ for the text itself");
            }
            if (!evaluate(run, at + 2, close, out)) {
                return false;
            }
            at = close + 1;
        } else if (!buf_append_char(out, *at++)) {
            return too_large(run);
        }
    }
    return true;
}

/* Functions make little of much: that is bounded too, or a file could keep its reader for hours. */
static bool charge(struct substitution *run, size_t work)
{
    run->work += work;
    return run->work <= run->maximum || too_large(run);
}

/* An argument, for the caller to free; NULL with the error. */
static char *expand_argument(struct substitution *run, const char *at, const char *end)
{
    AUTO_BUF struct buf text;
    buf_init(&text, run->maximum);
    return expand(run, at, end, &text) ? mem_string(text.size ? text.data : "") : NULL;
}

/* ---- Functions ---- */

static size_t count_characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++) {
        count += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return count;
}

static const char *skip_characters(const char *text, size_t count)
{
    for (; *text && (count || ((unsigned char)*text & 0xC0) == 0x80); text++) {
        unsigned char next = (unsigned char)text[1];
        count -= (next & 0xC0) != 0x80;
    }
    return text;
}

/* The first of `which` outside of expressions; the end if there is none. Behind a backslash it does
 * not count. */
static const char *find_divider(const char *at, const char *end, char which)
{
    for (; at < end; at++) {
        const char *close = NULL;
        if (*at == '\\' && at + 1 < end && at[1] == which) {
            at++;
        } else if (*at == which) {
            return at;
        } else if (*at == '$' && at + 1 < end && at[1] == '{') {
            close = find_end(at + 2, end);
        }
        at = close ? close : at;
    }
    return end;
}

static bool read_number(struct substitution *run, const char *at, const char *end, int64_t *ret)
{
    AUTO_FREE char *text = expand_argument(run, at, end);
    const char *start = text;
    while (start && *start == ' ') {
        start++;
    }
    return text && (text_parse_int(start, ret) ||
                    error_set(run->error, ERROR_INVALID, "an offset or length is no number"));
}

/* Behind "v:". */
static bool put_part(struct substitution *run, const char *value, const char *at, const char *end,
                     struct buf *out)
{
    const char *colon = find_divider(at, end, ':');
    int64_t total = (int64_t)count_characters(value);
    int64_t from, length = total;
    if (!read_number(run, at, colon, &from) ||
        (colon < end && !read_number(run, colon + 1, end, &length))) {
        return false;
    }
    if (from < 0 && from >= -total) {
        from += total;
    }
    if (from < 0 || from > total) {
        return true; /* as a shell has it: nothing */
    }
    int64_t left = total - from;
    length = length < -left ? 0 : length < 0 ? left + length : length > left ? left : length;
    const char *start = skip_characters(value, (size_t)from);
    const char *stop = skip_characters(start, (size_t)length);
    return buf_append(out, start, (size_t)(stop - start)) || too_large(run);
}

/* Without the backslashes before slashes. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++) {
        at += at[0] == '\\' && at[1] == '/';
        *to++ = *at;
    }
    *to = '\0';
}

static bool put_replaced(const char *value, const char *what, const char *by, char mode,
                         struct buf *out)
{
    size_t length = strlen(what);
    size_t size = strlen(value);
    if (length == 0 && mode == '#') {
        return buf_append_string(out, by) && buf_append_string(out, value);
    }
    if (length == 0 && mode == '%') {
        return buf_append_string(out, value) && buf_append_string(out, by);
    }
    if (length == 0 || (mode == '%' && !text_has_suffix(value, what)) ||
        (mode == '#' && !text_has_prefix(value, what))) {
        return buf_append_string(out, value);
    }
    const char *found = mode == '%' ? value + (size - length) : strstr(value, what);
    while (found) {
        if (!buf_append(out, value, (size_t)(found - value)) || !buf_append_string(out, by)) {
            return false;
        }
        value = found + length;
        found = mode == '/' ? strstr(value, what) : NULL;
    }
    return buf_append_string(out, value);
}

/* Behind "v/". */
static bool put_replacement(struct substitution *run, const char *value, const char *at,
                            const char *end, struct buf *out)
{
    char mode = at < end && memchr("/#%", *at, 3) ? *at++ : '\0';
    const char *slash = find_divider(at, end, '/');
    AUTO_FREE char *what = expand_argument(run, at, slash);
    AUTO_FREE char *by = what ? expand_argument(run, slash < end ? slash + 1 : end, end) : NULL;
    if (!by) {
        return false;
    }
    unescape(what);
    unescape(by);
    return put_replaced(value, what, by, mode, out) || too_large(run);
}

/* Behind "v#" or "v%": the fewest characters that match go, behind "v##" or "v%%" the most. */
static bool put_trimmed(struct substitution *run, const char *value, char operation, const char *at,
                        const char *end, struct buf *out)
{
    bool longest = at < end && *at == operation;
    AUTO_FREE char *pattern = expand_argument(run, at + longest, end);
    enum pattern_side side = operation == '#' ? PATTERN_START : PATTERN_END;
    size_t gone, work;
    if (!pattern) {
        return false;
    }
    if (!pattern_match(pattern, value, side, longest, &gone, &work)) {
        return error_set(run->error, ERROR_LIMIT, "a pattern has more than %d characters",
                         PATTERN_MAXIMUM);
    }
    const char *start = side == PATTERN_START ? value + gone : value;
    return charge(run, work) && (buf_append(out, start, strlen(value) - gone) || too_large(run));
}

static bool put_case(struct substitution *run, const char *value, char operation, bool all,
                     struct buf *out)
{
    for (const char *at = value; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        int turned = operation == '^' ? toupper(byte) : tolower(byte);
        bool turns = byte < 0x80 && (all || at == value);
        if (!buf_append_char(out, turns ? (char)turned : *at)) {
            return too_large(run);
        }
    }
    return true;
}

/* ---- Expressions ---- */

static size_t name_length(const char *at, const char *end)
{
    const char *start = at;
    while (at < end && (isalpha((unsigned char)*at) || *at == '_' ||
                        (at > start && isdigit((unsigned char)*at)))) {
        at++;
    }
    return (size_t)(at - start);
}

static bool put_length(struct substitution *run, const char *at, const char *end, struct buf *out)
{
    size_t length = name_length(at, end);
    AUTO_FREE char *name = mem_string_n(at, length);
    const char *value = json_string(run->variables, name);
    if (length == 0 || at + length != end) {
        return refuse(run, "#…", "what follows # is no variable's name");
    }
    if (!value) {
        return refuse(run, name, "the variable is not set");
    }
    return buf_append_format(out, "%zu", count_characters(value)) || too_large(run);
}

/* What follows the name. */
static bool put_function(struct substitution *run, const char *name, const char *value,
                         const char *at, const char *end, struct buf *out)
{
    size_t left = (size_t)(end - at);
    if (left == 0) {
        return buf_append_string(out, value) || too_large(run);
    }
    if (!charge(run, strlen(value))) {
        return false;
    }
    if (*at == '^' || *at == ',') {
        bool all = left == 2 && at[1] == *at;
        if (all || left == 1) {
            return put_case(run, value, *at, all, out);
        }
    } else if (*at == '/') {
        return put_replacement(run, value, at + 1, end, out);
    } else if (*at == '#' || *at == '%') {
        return put_trimmed(run, value, *at, at + 1, end, out) ||
               error_prefix(run->error, "${%s}", name);
    } else if (*at == ':' && left > 1 && !memchr("+?", at[1], 2)) {
        return put_part(run, value, at + 1, end, out) || error_prefix(run->error, "${%s}", name);
    }
    return refuse(run, name, "what follows the name is no function that is known");
}

/* Between the braces. */
static bool evaluate_inner(struct substitution *run, const char *at, const char *end,
                           struct buf *out)
{
    if (at < end && *at == '#') {
        return put_length(run, at + 1, end, out);
    }
    size_t length = name_length(at, end);
    if (length == 0) {
        return error_set(run->error, ERROR_INVALID,
                         "what follows \"${\" is no variable's name; write $${ for the text "
                         "itself");
    }
    AUTO_FREE char *name = mem_string_n(at, length);
    const char *value = json_string(run->variables, name);
    at += length;
    bool colon = end - at >= 2 && at[0] == ':' && (at[1] == '-' || at[1] == '=');
    if (colon || (at < end && (*at == '-' || *at == '='))) {
        bool use = colon ? text_is_empty(value) : !value;
        return use ? expand(run, at + (colon ? 2 : 1), end, out)
                   : buf_append_string(out, value) || too_large(run);
    }
    if (!value) {
        return error_set(run->error, ERROR_INVALID,
                         "${%s}: the variable is not set; set it in spec.substitute, give a "
                         "default (${%s:-…}), or write $${ for the text itself",
                         name, name);
    }
    return put_function(run, name, value, at, end, out);
}

static bool evaluate(struct substitution *run, const char *at, const char *end, struct buf *out)
{
    if (run->depth == NESTING_MAXIMUM) {
        return error_set(run->error, ERROR_LIMIT, "expressions are nested more than %d deep",
                         NESTING_MAXIMUM);
    }
    run->depth++;
    bool ok = evaluate_inner(run, at, end, out);
    run->depth--;
    return ok;
}

static bool substitute(const char *text, const cJSON *variables, struct buf *out, size_t *ret_work,
                       struct error *error)
{
    struct error ignored = {0};
    struct substitution run = {
        .variables = variables, .maximum = out->maximum, .error = error ? error : &ignored};
    bool ok = expand(&run, text, text + strlen(text), out);
    *ret_work = run.work;
    return ok;
}

bool substitute_text(const char *text, const cJSON *variables, struct buf *out, struct error *error)
{
    size_t work;
    return substitute(text, variables, out, &work, error);
}

/* ---- Objects ---- */

struct walk {
    const cJSON *variables;
    size_t *budget;
    bool ok;
    void (*problem)(unsigned line, const char *message, void *context);
    void *context;
};

static bool is_disabled(const cJSON *object)
{
    const cJSON *metadata = json_object(object, "metadata");
    return text_equal(json_string(json_object(metadata, "labels"), SUBSTITUTE_LABEL), "disabled") ||
           text_equal(json_string(json_object(metadata, "annotations"), SUBSTITUTE_LABEL),
                      "disabled");
}

/* What Kubernetes has as text and nothing else stays text: Kustomize takes quotes away. `texts`:
 * whether the member's object is within such. */
static bool holds_texts(const cJSON *member, bool texts)
{
    static const char *const lists[] = {"env", "command", "args"};
    const char *name = text_or_empty(member->string);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (cJSON_IsArray(member) && strcmp(name, lists[i]) == 0) {
            return true;
        }
    }
    return strcmp(name, "metadata") == 0 ||
           (texts && strcmp(name, "valueFrom") != 0 && strcmp(name, "ownerReferences") != 0);
}

/* Of a member of the object itself. */
static bool holds_data(const cJSON *object, const cJSON *member)
{
    const char *kind = json_string(object, "kind");
    return (text_equal(kind, "ConfigMap") && text_equal(member->string, "data")) ||
           (text_equal(kind, "Secret") &&
            (text_equal(member->string, "data") || text_equal(member->string, "stringData")));
}

/* The node becomes what the text is. */
static bool replace_node(cJSON *node, const char *text, bool texts, struct error *error)
{
    AUTO_JSON cJSON *made =
        !texts && yaml_is_plain(node) ? yaml_plain_node(text) : json_new_string(text);
    if (!made) {
        return error_set(error, ERROR_INVALID,
                         "what is substituted makes a number that JSON cannot hold; put it in "
                         "quotes");
    }
    char *old = node->valuestring;
    node->type = made->type;
    node->valuestring = made->valuestring;
    node->valuedouble = made->valuedouble;
    made->valuestring = old;
    return true;
}

static void walk_string(struct walk *walk, cJSON *node, bool texts)
{
    struct error error = {0};
    AUTO_BUF struct buf text;
    size_t work = 0;
    buf_init(&text, *walk->budget);
    bool ok = substitute(node->valuestring, walk->variables, &text, &work, &error) &&
              replace_node(node, text.size ? text.data : "", texts, &error);
    size_t spent = text.size > work ? text.size : work;
    *walk->budget -= spent < *walk->budget ? spent : *walk->budget;
    if (!ok) {
        walk->ok = false;
        walk->problem(yaml_line(node), error.message, walk->context);
    }
}

/* The recursion is bounded by the depth that the readers allow. */
static void walk_node(struct walk *walk, cJSON *node, bool texts)
{
    if (cJSON_IsString(node) && strstr(node->valuestring, "${")) {
        walk_string(walk, node, texts);
    }
    if (cJSON_IsObject(node) || cJSON_IsArray(node)) {
        for (cJSON *child = json_first(node); child; child = child->next) {
            walk_node(walk, child, holds_texts(child, texts));
        }
    }
}

bool substitute_object(cJSON *object, const cJSON *variables, size_t *budget,
                       void (*problem)(unsigned line, const char *message, void *context),
                       void *context)
{
    struct walk walk = {variables, budget, true, problem, context};
    bool disabled = is_disabled(object);
    for (cJSON *child = json_first(object); child && !disabled; child = child->next) {
        if (strcmp(child->string, "apiVersion") != 0 && strcmp(child->string, "kind") != 0) {
            walk_node(&walk, child, holds_texts(child, holds_data(object, child)));
        }
    }
    return walk.ok;
}
