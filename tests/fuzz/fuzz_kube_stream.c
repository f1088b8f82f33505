/* Fuzz target: what a watch reads, as a stream and as a list. The first byte says into how large
 * pieces the stream is cut; the result must not depend on it. */
#include "common/kube/list.h"
#include "common/kube/watch.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_event(const char *type, cJSON *object, void *context)
{
    unsigned *count = context;
    if (!type || !cJSON_IsObject(object)) {
        abort();
    }
    ++*count;
    json_free(object);
    return true;
}

static bool on_item(cJSON *tree, void *context)
{
    return on_event("", tree, context);
}

static unsigned decode(const char *text, size_t size, size_t piece, bool *good)
{
    unsigned count = 0;
    struct error error;
    struct kube_stream *stream = kube_stream_new(4096, on_event, &count);
    *good = true;
    for (size_t at = 0; *good && at < size; at += piece) {
        *good = kube_stream_feed(stream, text + at, size - at < piece ? size - at : piece, &error);
    }
    kube_stream_free(stream);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned count = 0;
    bool good, good_cut;
    struct error error;
    AUTO_JSON cJSON *metadata = NULL;
    if (size == 0) {
        return 0;
    }
    const char *text = (const char *)data + 1;
    unsigned whole = decode(text, size - 1, size, &good);
    unsigned cut = decode(text, size - 1, data[0] + 1U, &good_cut);
    if (whole != cut || good != good_cut) {
        abort();
    }
    kube_list_split(text, size - 1, on_item, &count, &metadata, &error);
    return 0;
}
