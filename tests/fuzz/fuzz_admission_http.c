/* Any bytes as the head of a request: what is complete lies within the data and its limits. */
#include "admission/http.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAXIMUM 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head head;
    int status = 0;
    enum http_progress progress =
        http_parse_head((const char *)data, size, BODY_MAXIMUM, &head, &status);
    if (progress == HTTP_COMPLETE &&
        (head.size > size || head.size > HTTP_HEAD_MAXIMUM || head.body_size > BODY_MAXIMUM ||
         !memchr(head.path, '\0', sizeof head.path))) {
        abort();
    }
    if (progress == HTTP_REFUSED && status < 400) {
        abort();
    }
    return 0;
}
