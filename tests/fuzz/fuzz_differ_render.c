/* A manifest as a stranger may commit it: the first byte chooses between YAML and JSON. */
#include "differ/render/render.h"

#include "common/data/json.h"

#include <stdint.h>

static void take_object(cJSON *object, const char *file, unsigned line, void *context)
{
    (void)file;
    (void)line;
    (void)context;
    /* What is handed out has what the contract promises. */
    if (!json_string(object, "apiVersion") || !json_string(object, "kind")) {
        __builtin_trap();
    }
    json_free(object);
}

static void take_error(const char *file, unsigned line, const char *message, void *context)
{
    (void)file;
    (void)line;
    size_t *errors = context;
    if (!*message || ++*errors > RENDER_ERRORS_MAXIMUM) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t errors = 0;
    const struct render_sink sink = {take_object, take_error, &errors};
    if (size > 0) {
        AUTO_BUF struct buf text; /* terminated, as the worker's is */
        buf_init(&text, size);
        buf_append(&text, data + 1, size - 1);
        render_text(text.data, text.size, data[0] & 1 ? "a.json" : "a.yaml", NULL, &sink);
    }
    return 0;
}
