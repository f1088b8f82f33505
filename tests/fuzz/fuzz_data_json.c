/* What the reader takes, the writers write so that it is read back as the same value, and the
 * canonical form is a fixed point. */
#include "common/data/json.h"
#include "common/data/object.h"

#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAXIMUM ((size_t)64 << 20)

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static cJSON *read_back(const struct buf *text)
{
    /* Escapes may make the canonical form longer than the text was. */
    const struct json_limits limits = {.bytes = OUTPUT_MAXIMUM, .depth = 100, .nodes = 2000000};
    cJSON *tree = NULL;
    require(json_parse(text->data, text->size, &limits, &tree, NULL));
    return tree;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON cJSON *tree = NULL;
    struct error error = {0};
    if (!json_parse((const char *)data, size, NULL, &tree, &error)) {
        require(error.code != ERROR_NONE && error.code != ERROR_INTERNAL && error.message[0]);
        return 0;
    }
    AUTO_BUF struct buf first, second;
    buf_init(&first, OUTPUT_MAXIMUM);
    buf_init(&second, OUTPUT_MAXIMUM);
    require(json_write(tree, &first));
    AUTO_JSON cJSON *again = read_back(&first);
    require(json_equal(tree, again) && json_write(again, &second));
    require(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    buf_clear(&second);
    require(json_write_pretty(tree, &second));
    AUTO_JSON cJSON *pretty = read_back(&second);
    AUTO_JSON cJSON *copy = json_copy(tree);
    require(json_equal(pretty, copy));
    struct digest digest;
    object_fingerprint(tree, &digest);
    return 0;
}
