#include "differ/managers.h"

#include "common/base/memory.h"

#include <fnmatch.h>
#include <string.h>

#define BLANKS " \t\n"

void managers_init(struct managers *managers)
{
    *managers = (struct managers){0};
}

void managers_release(struct managers *managers)
{
    for (size_t i = 0; i < managers->count; i++) {
        free(managers->patterns[i]);
    }
    free(managers->patterns);
    managers_init(managers);
}

void managers_add(struct managers *managers, const char *list)
{
    while (list && *list) {
        list += strspn(list, BLANKS ",");
        size_t size = strcspn(list, ",");
        const char *next = list + size;
        while (size > 0 && strchr(BLANKS, list[size - 1])) {
            size--;
        }
        if (size > 0) {
            managers->patterns =
                mem_resize(managers->patterns, managers->count + 1, sizeof *managers->patterns);
            managers->patterns[managers->count++] = mem_string_n(list, size);
        }
        list = next;
    }
}

bool managers_match(const struct managers *managers, const char *name)
{
    for (size_t i = managers->count; i > 0; i--) {
        const char *pattern = managers->patterns[i - 1];
        bool out = *pattern == '!';
        if (fnmatch(pattern + out, name, 0) == 0) {
            return !out;
        }
    }
    return false;
}
