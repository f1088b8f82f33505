/* A range, a line end, and versions: what users and servers write. */
#include "common/base/memory.h"
#include "fetcher/versions.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = mem_string_n((const char *)data, size);
    char *rest = strchr(text, '\n');
    struct versions versions AUTO_VERSIONS = {0};
    if (rest) {
        *rest++ = '\0';
    }
    for (char *next; rest; rest = next) {
        next = strchr(rest, '\n');
        if (next) {
            *next++ = '\0';
        }
        versions_add(&versions, rest, NULL);
    }
    struct error error;
    struct semver_range *range = semver_range_new(text, &error);
    if (range) {
        struct buf out AUTO_BUF;
        buf_init(&out, 65536);
        versions_highest(&versions, range);
        versions_describe(&versions, range, &out);
    }
    semver_range_free(range);
    return 0;
}
