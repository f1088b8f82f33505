/* A packed chart, as a server sends it: what comes out is inside, small and a file. */
#include "fetcher/chart_unpack.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take(const char *path, const void *data, size_t size, void *context,
                 struct error *error)
{
    size_t *total = context;
    (void)data;
    (void)error;
    *total += size;
    if (*path == '/' || *path == '\0' || strstr(path, "../") || strlen(path) > CHART_PATH_MAXIMUM ||
        size > CHART_FILE_MAXIMUM || *total > CHART_TOTAL_MAXIMUM) {
        abort();
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t total = 0;
    struct error error;
    chart_unpack(data, size, take, &total, &error);
    return 0;
}
