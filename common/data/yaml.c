/* Streams of manifests. What begins with "{" is read as JSON first, as kubectl reads it: YAML 1.1
 * does not know JSON's surrogate pairs. All else, and what is not JSON after all, is YAML. */
#include "common/data/yaml_internal.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json_internal.h"

#include <string.h>

const struct yaml_limits yaml_default_limits = {
    .bytes = (size_t)16 << 20,
    .depth = 100,
    .nodes = 1000000,
};

/* One document of a stream of JSON values. */
struct json_document {
    cJSON *tree;
    unsigned line;
};

struct json_stream {
    struct json_document *documents;
    size_t count, capacity;
};

static void release_json(struct json_stream *stream)
{
    for (size_t i = 0; i < stream->count; i++) {
        json_free(stream->documents[i].tree);
    }
    free(stream->documents);
}

/* Numbers become what kubectl makes of them. The recursion is bounded by the parser's depth. */
static void convert_numbers(cJSON *node)
{
    node->valueint = 0; /* what it holds in other trees: yaml_line */
    if (json_is_number(node)) {
        AUTO_JSON cJSON *converted = yaml_number_node(node->valuestring);
        char *text = node->valuestring;
        node->valuestring = converted->valuestring;
        converted->valuestring = text;
    }
    for (cJSON *child = json_first(node); child; child = child->next) {
        convert_numbers(child);
    }
}

static void add_json(struct json_stream *stream, cJSON *tree, unsigned line)
{
    if (stream->count == stream->capacity) {
        stream->capacity = stream->capacity ? stream->capacity * 2 : 4;
        stream->documents =
            mem_resize(stream->documents, stream->capacity, sizeof *stream->documents);
    }
    convert_numbers(tree);
    stream->documents[stream->count++] = (struct json_document){.tree = tree, .line = line};
}

static const char *skip_blanks(const char *at, const char *end, unsigned *line)
{
    for (; at < end && memchr(" \t\r\n", *at, 4); at++) {
        *line += *at == '\n';
    }
    return at;
}

/* All values of the text, or false: it is not JSON, for the reason in `error`. */
static bool read_json(struct yaml_stream *stream, const char *text, size_t size,
                      struct json_stream *ret, struct error *error)
{
    const char *at = text, *end = text + size;
    unsigned line = 1;
    size_t nodes = 0;
    for (at = skip_blanks(at, end, &line); at < end; at = skip_blanks(at, end, &line)) {
        struct json_limits limits = {.bytes = stream->limits.bytes,
                                     .depth = stream->limits.depth,
                                     .nodes = stream->limits.nodes - nodes};
        struct json_scan scan;
        cJSON *tree = NULL;
        json_scan_init(&scan, at, (size_t)(end - at), &limits);
        bool scanned = json_scan_value(&scan);
        size_t lines, column;
        json_scan_position(&scan, &lines, &column);
        bool ok = scanned ? json_parse_scanned(&scan, &tree, NULL)
                          : error_set(error, scan.code, "%s:%zu: %s", stream->name,
                                      line + lines - 1, scan.why);
        json_scan_release(&scan);
        if (!ok) {
            return false;
        }
        add_json(ret, tree, line);
        nodes += scan.nodes;
        line += (unsigned)lines - 1;
        at = scan.at;
    }
    stream->nodes = nodes;
    return true;
}

static bool deliver_json(struct yaml_stream *stream, struct json_stream *json, struct error *error)
{
    bool ok = true;
    for (size_t i = 0; ok && i < json->count; i++) {
        cJSON *tree = json->documents[i].tree;
        json->documents[i].tree = NULL;
        ok = stream->document(tree, json->documents[i].line, stream->context, error);
    }
    return ok;
}

/* Whether a person would call it JSON: an object whose first key stands in quotes. */
static bool looks_like_json(const char *text, const char *end)
{
    unsigned line = 1;
    const char *at = skip_blanks(text + 1, end, &line);
    return at < end && (*at == '"' || *at == '}');
}

static bool parse_braced(struct yaml_stream *stream, const char *text, size_t size,
                         struct error *error)
{
    struct json_stream json = {0};
    struct error why = {0};
    if (read_json(stream, text, size, &json, &why)) {
        bool ok = deliver_json(stream, &json, error);
        release_json(&json);
        return ok;
    }
    release_json(&json);
    if (yaml_stream_parse(stream, text, size, error)) {
        return true;
    }
    if (why.code == ERROR_INVALID && error && looks_like_json(text, text + size)) {
        *error = why; /* it is wrong as YAML too, but was meant as JSON */
    }
    return false;
}

static unsigned line_of_invalid_utf8(const char *text, size_t size)
{
    unsigned line = 1;
    const char *end = text + size;
    for (size_t length; text < end && (length = json_utf8_size(text, end)) > 0; text += length) {
        line += *text == '\n';
    }
    return line;
}

bool yaml_parse(const char *text, size_t size, const char *name, const struct yaml_limits *limits,
                bool (*document)(cJSON *tree, unsigned line, void *context, struct error *error),
                void *context, struct error *error)
{
    struct yaml_stream stream = {.name = name,
                                 .limits = limits ? *limits : yaml_default_limits,
                                 .document = document,
                                 .context = context};
    if (stream.limits.depth > JSON_DEPTH_MAXIMUM) {
        stream.limits.depth = JSON_DEPTH_MAXIMUM;
    }
    if (size > stream.limits.bytes) {
        return error_set(error, ERROR_LIMIT, "%s: %zu bytes are more than the %zu allowed", name,
                         size, stream.limits.bytes);
    }
    if (!text_is_utf8(text, size)) {
        return error_set(error, ERROR_INVALID, "%s:%u: invalid UTF-8", name,
                         line_of_invalid_utf8(text, size));
    }
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        size -= 3;
    }
    unsigned line = 1;
    const char *start = skip_blanks(text, text + size, &line);
    if (start < text + size && *start == '{') {
        return parse_braced(&stream, text, size, error);
    }
    return yaml_stream_parse(&stream, text, size, error);
}

unsigned yaml_line(const cJSON *node)
{
    return node && node->valueint > 0 ? (unsigned)node->valueint : 0;
}

bool yaml_is_plain(const cJSON *node)
{
    return cJSON_IsString(node) && node->valuedouble > 0;
}
