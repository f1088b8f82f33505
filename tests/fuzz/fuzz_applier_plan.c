/* Fuzz target: plans, as the applier reads them. What is taken must keep what the parser promises.
 */
#include "applier/plan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct plan *plan = NULL;
    struct error error;
    if (!plan_parse(text, size, &plan, &error)) {
        require(error.code != ERROR_NONE && error.message[0] != '\0');
        return 0;
    }
    require(plan->id[0] && plan->namespace_[0] && plan->name[0] && plan->uid[0]);
    int stage = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_operation *operation = &plan->operations[i];
        require(operation->stage >= stage && operation->after < operation->stage);
        require(plan_path_is_valid(operation->path) && !strpbrk(operation->path, "?#\r\n "));
        if (operation->verb != PLAN_DELETE && operation->verb != PLAN_RELEASE) {
            require(operation->verb != PLAN_OWNERS || operation->resource_version[0] != '\0');
            require(operation->body > text && operation->body_size > 0);
            require(operation->body + operation->body_size <= text + size);
            require(!memchr(operation->body, '\n', operation->body_size));
        } else {
            require(operation->uid[0] != '\0');
        }
        stage = operation->stage;
    }
    plan_free(plan);
    return 0;
}
