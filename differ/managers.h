/* Lists of field managers, as settings and Applications write them: shell patterns, comma-separated
 * or one by one. A pattern with "!" before it takes out again what those before it let in. */
#ifndef GITMOOR_DIFFER_MANAGERS_H
#define GITMOOR_DIFFER_MANAGERS_H

#include <stdbool.h>
#include <stddef.h>

struct managers {
    char **patterns;
    size_t count;
};

void managers_init(struct managers *managers);
void managers_release(struct managers *managers);
/* Adds each of a comma-separated list; blanks around them do not count. NULL is fine. */
void managers_add(struct managers *managers, const char *list);

/* Whether the last pattern that matches the name, if any, lets it in. */
bool managers_match(const struct managers *managers, const char *name);

#endif
