#include "differ/render/json_stream.h"

#include "common/base/memory.h"

#include <string.h>

struct json_stream_value {
    cJSON *tree;
    unsigned line;
};

struct json_stream {
    struct json_stream_value *values;
    size_t count;
};

/* The size of the value that `text` begins with: up to the bracket that closes its first one,
 * whatever stands between, which json_parse judges. 0 if it is never closed. */
static size_t json_stream_measure(const char *text, size_t size)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        if (in_string) {
            i += text[i] == '\\';
            in_string = i < size && text[i] != '"';
        } else if (text[i] == '"') {
            in_string = true;
        } else if (text[i] == '{' || text[i] == '[') {
            depth++;
        } else if (text[i] == '}' || text[i] == ']') {
            if (depth <= 1) {
                return depth ? i + 1 : 0;
            }
            depth--;
        }
    }
    return 0;
}

static bool json_stream_collect(struct json_stream *stream, const char *text, size_t size,
                                const struct json_limits *limits)
{
    unsigned line = 1;
    for (size_t at = 0; at < size;) {
        if (memchr(" \t\r\n", text[at], 4)) {
            line += text[at++] == '\n';
            continue;
        }
        size_t length = json_stream_measure(text + at, size - at);
        cJSON *tree;
        if (length == 0 || !json_parse(text + at, length, limits, &tree, NULL)) {
            return false;
        }
        stream->values = mem_resize(stream->values, stream->count + 1, sizeof(*stream->values));
        stream->values[stream->count++] = (struct json_stream_value){tree, line};
        for (size_t end = at + length; at < end; at++) {
            line += text[at] == '\n';
        }
    }
    return stream->count > 0;
}

bool json_stream_read(const char *text, size_t size, const struct json_limits *limits,
                      void (*value)(cJSON *tree, unsigned line, void *context), void *context)
{
    struct json_stream stream = {0};
    bool ok = json_stream_collect(&stream, text, size, limits);
    for (size_t i = 0; i < stream.count; i++) {
        if (ok) {
            value(stream.values[i].tree, stream.values[i].line, context);
        } else {
            json_free(stream.values[i].tree);
        }
    }
    free(stream.values);
    return ok;
}
