/* Expressions as a stranger may commit them. */
#include "differ/render/substitute.h"

#include <stdint.h>
#include <string.h>

#define RESULT_MAXIMUM 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char known[] = "{\"v\":\"h\u00e9llo/w\",\"n\":\"-3\",\"e\":\"\"}";
    AUTO_JSON cJSON *variables = NULL;
    AUTO_BUF struct buf text, out;
    struct error error = {0};
    buf_init(&text, size + 1);
    buf_init(&out, RESULT_MAXIMUM);
    buf_append(&text, data, size);
    if (!json_parse(known, strlen(known), NULL, &variables, NULL)) {
        __builtin_trap();
    }
    /* Refused means that somebody is told why. */
    if (text.size && !substitute_text(text.data, variables, &out, &error) && !*error.message) {
        __builtin_trap();
    }
    return 0;
}
