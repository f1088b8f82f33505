/* What the API server holds and the strict reader refuses, made readable: one pass over the text.
 * Whoever may write one object could otherwise keep everybody from reading the list that it is in.
 *
 * Strings keep apart what is apart: a zero byte becomes U+FFFD and "0", and U+FFFD itself twice
 * that, or two keys of an object might become one. */
#include "common/data/json_internal.h"

#include "common/base/buf.h"

#include <string.h>
#include <strings.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

struct forgiving {
    const char *at, *end;
    struct buf out;
    unsigned depth, maximum;
    const char *lost; /* what could not be kept, or NULL */
};

static bool is_escape(const struct forgiving *it, const char *escape)
{
    return it->end - it->at >= 6 && strncasecmp(it->at, escape, 6) == 0;
}

/* Copies the string that begins here. */
static void copy_string(struct forgiving *it)
{
    buf_append_char(&it->out, *it->at++);
    while (it->at < it->end && *it->at != '"') {
        size_t size = *it->at == '\\' && it->at + 1 < it->end ? 2 : 1;
        if (is_escape(it, "\\u0000")) {
            it->lost = "a string in it holds a zero byte";
            buf_append_string(&it->out, REPLACEMENT "0");
            size = 6;
        } else if (is_escape(it, "\\ufffd")) {
            buf_append_string(&it->out, REPLACEMENT REPLACEMENT);
            size = 6;
        } else if (it->end - it->at >= 3 && memcmp(it->at, REPLACEMENT, 3) == 0) {
            buf_append_string(&it->out, REPLACEMENT REPLACEMENT);
            size = 3;
        } else {
            buf_append(&it->out, it->at, size);
        }
        it->at += size;
    }
    if (it->at < it->end) {
        buf_append_char(&it->out, *it->at++);
    }
}

static void skip_string(struct forgiving *it)
{
    it->at++;
    while (it->at < it->end && *it->at != '"') {
        it->at += *it->at == '\\' && it->at + 1 < it->end ? 2 : 1;
    }
    it->at += it->at < it->end;
}

static void skip_container(struct forgiving *it)
{
    unsigned depth = 0;
    do {
        if (*it->at == '"') {
            skip_string(it);
        } else {
            depth += *it->at == '{' || *it->at == '[';
            depth -= *it->at == '}' || *it->at == ']';
            it->at++;
        }
    } while (depth && it->at < it->end);
}

static void copy_all(struct forgiving *it)
{
    while (it->at < it->end) {
        bool opens = *it->at == '{' || *it->at == '[';
        if (*it->at == '"') {
            copy_string(it);
        } else if (opens && it->depth == it->maximum) {
            it->lost = "it is nested too deeply";
            buf_append_string(&it->out, "null");
            skip_container(it);
        } else {
            it->depth += opens;
            it->depth -= it->depth && (*it->at == '}' || *it->at == ']');
            buf_append_char(&it->out, *it->at++);
        }
    }
}

bool json_parse_forgiving(const char *text, size_t size, const struct json_limits *limits,
                          cJSON **ret, const char **ret_lost, struct error *error)
{
    struct json_limits enough = limits ? *limits : json_default_limits;
    struct error why = {0};
    *ret_lost = NULL;
    if (json_parse(text, size, &enough, ret, &why)) {
        return true;
    }
    struct forgiving it = {.at = text, .end = text + size, .maximum = enough.depth};
    buf_init(&it.out, size <= enough.bytes ? 2 * size : 0);
    copy_all(&it);
    enough.bytes = it.out.maximum;
    bool ok = it.lost && json_parse(it.out.data, it.out.size, &enough, ret, NULL);
    buf_release(&it.out);
    if (ok) {
        *ret_lost = it.lost;
    } else if (error) {
        *error = why;
    }
    return ok;
}
