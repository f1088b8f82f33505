/* Heap allocation that does not fail, and clean-up at the end of a scope.
 *
 * Sizes that come from outside are checked against named limits before they get here, so that
 * running out of memory is never a peer's doing. Then ending the process is the honest answer: all
 * state is in the Kubernetes API and in Git, and a restart converges. */
#ifndef GITMOOR_BASE_MEMORY_H
#define GITMOOR_BASE_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

/* Zeroed. Never NULL, also for size 0. Multiplication is checked. */
void *mem_new(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_resize(void *memory, size_t count, size_t size) __attribute__((returns_nonnull));
char *mem_string(const char *text) __attribute__((malloc)); /* NULL for NULL */
char *mem_string_n(const char *text, size_t size) __attribute__((malloc, returns_nonnull));
char *mem_format(const char *format, ...) __attribute__((malloc, format(printf, 1, 2)));

#define NEW(type) ((type *)mem_new(1, sizeof(type)))

static inline void mem_cleanup(void *pointer)
{
    free(*(void **)pointer);
}
/* `AUTO_FREE char *name = …;` frees at the end of the scope. */
#define AUTO_FREE __attribute__((cleanup(mem_cleanup)))

void mem_close_cleanup(int *fd);
/* `AUTO_CLOSE int fd = …;` closes at the end of the scope, unless negative. */
#define AUTO_CLOSE __attribute__((cleanup(mem_close_cleanup)))

#endif
