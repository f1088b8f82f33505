/* Plaintext is kept out of messages: whatever was decrypted is looked for in each that is told of
 * the application, since the programs that build quote what they cannot read.
 *
 * What is hidden: each value that was encrypted, each of its lines, and its base64, which is how a
 * Secret has it. Short values are hidden as words of their own only, or nothing could be read any
 * more. Cost: only when something has gone wrong. */
#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"
#include "differ/render/internal.h"

#include <ctype.h>
#include <string.h>

#define ENCRYPTED "ENC["
#define HIDDEN "***"
#define WORD_SIZE 6 /* shorter ones are words */
/* Each is looked for in each message; with more of them, no message is shown. */
#define HIDDEN_MAXIMUM 10000

static void hide_add(struct render_scan *scan, const char *text, size_t size)
{
    while (size && isspace((unsigned char)text[size - 1])) {
        size--;
    }
    while (size && isspace((unsigned char)*text)) {
        text++;
        size--;
    }
    if (!size) {
        return;
    }
    AUTO_FREE char *copy = mem_string_n(text, size);
    json_append(scan->options.plaintext, json_new_string(copy));
    if (scan->hidden_count < HIDDEN_MAXIMUM) {
        scan->hidden = mem_resize(scan->hidden, scan->hidden_count + 1, sizeof(*scan->hidden));
        scan->hidden[scan->hidden_count++] = copy;
        copy = NULL;
    }
}

/* The whole first, so that it is found before its lines are. */
static void hide_text(struct render_scan *scan, const char *text, size_t size)
{
    AUTO_FREE char *encoded = base64_encode(text, size);
    hide_add(scan, text, size);
    if (size) {
        hide_add(scan, encoded, strlen(encoded));
    }
    const char *end = text + size;
    while (memchr(text, '\n', (size_t)(end - text))) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        hide_add(scan, text, (size_t)(stop - text));
        text = stop + 1;
    }
    hide_add(scan, text, (size_t)(end - text));
}

/* ---- YAML and JSON ---- */

/* What stands in `after` where `before` has an encrypted value. */
static void hide_tree(struct render_scan *scan, const cJSON *before, const cJSON *after)
{
    if (cJSON_IsString(before) && text_has_prefix(before->valuestring, ENCRYPTED)) {
        const char *text = cJSON_IsString(after) ? after->valuestring : json_number_text(after);
        if (text) {
            hide_text(scan, text, strlen(text));
        }
        return;
    }
    if (cJSON_IsArray(before) && cJSON_IsArray(after)) {
        const cJSON *other = json_first(after);
        for (const cJSON *it = json_first(before); it && other; it = it->next) {
            hide_tree(scan, it, other);
            other = other->next;
        }
        return;
    }
    for (const cJSON *it = json_first(before); it && it->string; it = it->next) {
        hide_tree(scan, it, json_get(after, it->string));
    }
}

static bool hide_take(cJSON *tree, unsigned line, void *context, struct error *error)
{
    (void)line;
    (void)error;
    json_append(context, tree);
    return true;
}

static cJSON *hide_parse(const char *text, size_t size)
{
    cJSON *documents = json_new_array();
    yaml_parse(text, size, "", NULL, hide_take, documents, NULL);
    return documents;
}

/* ---- The others ---- */

/* Lines NAME=VALUE. */
static void hide_values(struct render_scan *scan, const char *text, size_t size)
{
    const char *end = text + size;
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        stop = stop ? stop : end;
        const char *equals = memchr(text, '=', (size_t)(stop - text));
        const char *start = equals ? equals + 1 : text;
        hide_text(scan, start, (size_t)(stop - start));
        text = stop + (stop < end);
    }
}

void render_hide_part(struct render_scan *scan, const struct render_decrypted *file, size_t number)
{
    const struct sops_part *part = &file->file.parts[number];
    const struct render_plaintext *text = &file->texts[number];
    if (text_equal(part->format, "yaml") || text_equal(part->format, "json")) {
        AUTO_JSON cJSON *before = hide_parse(file->source.data + part->start, part->size);
        AUTO_JSON cJSON *after = hide_parse(text->data, text->size);
        hide_tree(scan, before, after);
    } else if (text_equal(part->format, "binary")) {
        hide_text(scan, text->data, text->size);
    } else {
        hide_values(scan, text->data, text->size);
    }
}

/* ---- Messages ---- */

static bool hide_is_word(const char *text, const char *found, size_t size)
{
    return (found == text || !isalnum((unsigned char)found[-1])) &&
           !isalnum((unsigned char)found[size]);
}

static char *hide_one(char *text, const char *what)
{
    size_t size = strlen(what);
    char *found = strstr(text, what);
    while (found) {
        size_t at = (size_t)(found - text);
        if (size >= WORD_SIZE || hide_is_word(text, found, size)) {
            char *changed = mem_format("%.*s" HIDDEN "%s", (int)at, text, found + size);
            free(text);
            text = changed;
            at += strlen(HIDDEN);
        } else {
            at += size;
        }
        found = strstr(text + at, what);
    }
    return text;
}

char *render_hide(const struct render_scan *scan, const char *message)
{
    if (scan->hidden_count == HIDDEN_MAXIMUM) {
        return mem_string("something is wrong, but so much was decrypted that the message, which "
                          "might show some of it, is kept back");
    }
    char *text = mem_string(message);
    for (size_t i = 0; i < scan->hidden_count; i++) {
        text = hide_one(text, scan->hidden[i]);
    }
    return text;
}

static void hiding_object(cJSON *object, const char *file, unsigned line, void *context)
{
    const struct render_hiding *hiding = context;
    hiding->outer->object(object, file, line, hiding->outer->context);
}

static void hiding_error(const char *file, unsigned line, const char *message, void *context)
{
    const struct render_hiding *hiding = context;
    AUTO_FREE char *safe = render_hide(hiding->scan, message);
    hiding->outer->error(file, line, safe, hiding->outer->context);
}

void render_hiding_init(struct render_hiding *hiding, const struct render_scan *scan,
                        const struct render_sink *outer)
{
    *hiding = (struct render_hiding){scan, outer, {hiding_object, hiding_error, hiding}};
}
