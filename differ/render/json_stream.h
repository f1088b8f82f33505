/* Several JSON values in one text, one after the other, as `kubectl get -o json` piped together or
 * jq print them; kubectl reads such files too. */
#ifndef GITMOOR_DIFFER_RENDER_JSON_STREAM_H
#define GITMOOR_DIFFER_RENDER_JSON_STREAM_H

#include "common/data/json.h"

/* Reads all values, which must be objects or arrays, before the first is handed out: `value` takes
 * each tree, with the line it starts on. False, and nothing handed out, if the text is anything
 * else; what is wrong is better told by the YAML reader, whose errors name a line. */
bool json_stream_read(const char *text, size_t size, const struct json_limits *limits,
                      void (*value)(cJSON *tree, unsigned line, void *context), void *context);

#endif
