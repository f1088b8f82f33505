/* Decoding what a watch sends: one JSON object a line, {"type":…,"object":…}. Whole lines are
 * parsed where they lie; only what is left at the end is copied. See watch.h. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/kube/watch.h"

#include <string.h>

#define DEPTH_MAXIMUM 100
#define NODES_MAXIMUM 2000000

struct kube_stream {
    struct buf rest; /* the beginning of a line that has not ended yet */
    size_t line_maximum;
    bool (*event)(const char *type, cJSON *object, void *context);
    void *context;
};

struct kube_stream *kube_stream_new(size_t line_maximum,
                                    bool (*event)(const char *type, cJSON *object, void *context),
                                    void *context)
{
    struct kube_stream *stream = NEW(struct kube_stream);
    buf_init(&stream->rest, line_maximum);
    stream->line_maximum = line_maximum;
    stream->event = event;
    stream->context = context;
    return stream;
}

void kube_stream_free(struct kube_stream *stream)
{
    if (stream) {
        buf_release(&stream->rest);
        free(stream);
    }
}

static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!strchr(" \t\r", line[i]) || line[i] == '\0') {
            return false;
        }
    }
    return true;
}

/* One line. Sets `*stop` if the consumer wants no more. */
static bool decode(struct kube_stream *stream, const char *line, size_t size, bool *stop,
                   struct error *error)
{
    struct json_limits limits = {stream->line_maximum, DEPTH_MAXIMUM, NODES_MAXIMUM};
    AUTO_JSON cJSON *tree = NULL;
    const char *lost;
    if (size > stream->line_maximum) {
        return error_set(error, ERROR_LIMIT, "a watch event is over the limit of %zu bytes",
                         stream->line_maximum);
    }
    if (is_blank(line, size)) {
        return true;
    }
    if (!json_parse_forgiving(line, size, &limits, &tree, &lost, error)) {
        return error_prefix(error, "a watch event");
    }
    const char *type = json_string(tree, "type");
    cJSON *object = json_object(tree, "object");
    if (!type || !object) {
        return error_set(error, ERROR_INVALID, "a watch event has no type or no object");
    }
    cJSON_DetachItemViaPointer(tree, object);
    json_add_string(object, OBJECT_DAMAGED, lost);
    *stop = !stream->event(type, object, stream->context);
    return true;
}

bool kube_stream_feed(struct kube_stream *stream, const char *data, size_t size,
                      struct error *error)
{
    bool stop = false;
    while (size > 0 && !stop) {
        const char *end = memchr(data, '\n', size);
        size_t part = end ? (size_t)(end - data) : size;
        const char *line = data;
        size_t line_size = part;
        if ((stream->rest.size || !end) && !buf_append(&stream->rest, data, part)) {
            return error_set(error, ERROR_LIMIT, "a watch event is over the limit of %zu bytes",
                             stream->line_maximum);
        }
        if (!end) {
            return true;
        }
        if (stream->rest.size) {
            line = stream->rest.data;
            line_size = stream->rest.size;
        }
        if (!decode(stream, line, line_size, &stop, error)) {
            return false;
        }
        buf_clear(&stream->rest);
        data += part + 1;
        size -= part + 1;
    }
    return true;
}
