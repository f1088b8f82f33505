/* An arena: memory of one unit of work (a reconcile, a request), freed all at once.
 * Allocation costs a pointer bump; nothing in an arena is freed singly. */
#ifndef GITMOOR_BASE_ARENA_H
#define GITMOOR_BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t total;               /* bytes handed out, for metrics and limits */
};

void arena_init(struct arena *arena);
void arena_release(struct arena *arena); /* frees everything; ready for use again */

/* Zeroed, aligned for any type. Never NULL. */
void *arena_new(struct arena *arena, size_t size) __attribute__((malloc, returns_nonnull));
char *arena_string(struct arena *arena, const char *text); /* NULL for NULL */
char *arena_string_n(struct arena *arena, const char *text, size_t size);
char *arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define AUTO_ARENA __attribute__((cleanup(arena_release)))

#endif
