/* What is read as YAML is written so that it is read back as the same value. */
#include "common/data/health.h"
#include "common/data/yaml.h"

#include <stdlib.h>

#define OUTPUT_MAXIMUM ((size_t)64 << 20)

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static bool keep(cJSON *tree, unsigned line, void *context, struct error *error)
{
    (void)line;
    (void)error;
    cJSON **kept = context;
    require(!*kept);
    *kept = tree;
    return true;
}

static bool check(cJSON *tree, unsigned line, void *context, struct error *error)
{
    (void)context;
    (void)error;
    AUTO_JSON cJSON *owned = tree;
    require(line > 0);
    AUTO_BUF struct buf text;
    buf_init(&text, OUTPUT_MAXIMUM);
    require(yaml_write(tree, &text));
    const struct yaml_limits limits = {.bytes = OUTPUT_MAXIMUM, .depth = 100, .nodes = 1000000};
    AUTO_JSON cJSON *again = NULL;
    require(yaml_parse(text.data, text.size, "again", &limits, keep, &again, NULL));
    require(again ? json_equal(tree, again) : cJSON_IsNull(tree));
    char message[HEALTH_MESSAGE_SIZE];
    health_judge(tree, message);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    if (!yaml_parse((const char *)data, size, "input", NULL, check, NULL, &error)) {
        require(error.code != ERROR_NONE && error.code != ERROR_INTERNAL && error.message[0]);
    }
    return 0;
}
