/* Ignore patterns and a path: the patterns, a NUL, the path. */
#include "differ/render/ignore.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *divider = memchr(data, '\0', size);
    if (!divider) {
        return 0;
    }
    char path[4096];
    size_t patterns = (size_t)(divider - data);
    size_t length = size - patterns - 1;
    if (length >= sizeof(path)) {
        return 0;
    }
    memcpy(path, divider + 1, length);
    path[length] = '\0';
    struct ignore ignore;
    ignore_init(&ignore);
    ignore_add(&ignore, "", "root", (const char *)data, patterns, NULL);
    ignore_add(&ignore, "a", "nested", (const char *)data, patterns, NULL);
    ignore_matches(&ignore, path, false);
    ignore_matches(&ignore, path, true);
    ignore_release(&ignore);
    return 0;
}
