/* Health rules, and what they say of an object: the text before the first NUL is the rules, the
 * rest the object. */
#include "common/base/memory.h"
#include "common/data/health_rules.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *end = memchr(text, '\0', size);
    size_t rules_size = end ? (size_t)(end - text) : size;
    struct health_rules *rules = NULL;
    struct error error;
    if (!health_rules_parse(text, rules_size, "rules.yaml", &rules, &error)) {
        return 0;
    }
    AUTO_JSON cJSON *object = NULL;
    if (end && json_parse(end + 1, size - rules_size - 1, NULL, &object, &error)) {
        const struct health_rules *const sets[] = {rules};
        char message[HEALTH_MESSAGE_SIZE];
        health_judge_by(sets, 1, object, message);
    }
    AUTO_FREE char *kind = health_rules_of_kind(rules, "example.org", "Database");
    health_rules_free(rules);
    return 0;
}
