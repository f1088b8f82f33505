#include "common/base/arena.h"

#include "common/base/memory.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_MINIMUM ((size_t)512)
#define BLOCK_MAXIMUM ((size_t)16384)

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t size;
    alignas(max_align_t) char memory[];
};

void arena_init(struct arena *arena)
{
    *arena = (struct arena){0};
}

void arena_release(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->total = 0;
}

/* Half of what there is already: many small arenas, as of small applications, waste little, and a
 * large one has few blocks. */
static size_t next_size(const struct arena *arena)
{
    size_t size = arena->total / 2;
    return size < BLOCK_MINIMUM ? BLOCK_MINIMUM : size > BLOCK_MAXIMUM ? BLOCK_MAXIMUM : size;
}

void *arena_new(struct arena *arena, size_t size)
{
    const size_t alignment = alignof(max_align_t);
    size = (size + alignment - 1) & ~(alignment - 1);
    struct arena_block *block = arena->blocks;
    if (!block || block->size - block->used < size) {
        size_t wanted = next_size(arena);
        size_t block_size = size > wanted ? size : wanted;
        block = mem_new(1, sizeof *block + block_size);
        block->size = block_size;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *memory = block->memory + block->used;
    block->used += size;
    arena->total += size;
    return memory;
}

char *arena_string_n(struct arena *arena, const char *text, size_t size)
{
    char *copy = arena_new(arena, size + 1);
    memcpy(copy, text, size);
    return copy;
}

char *arena_string(struct arena *arena, const char *text)
{
    return text ? arena_string_n(arena, text, strlen(text)) : NULL;
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = arena_new(arena, size < 0 ? 1 : (size_t)size + 1);
    if (size > 0) {
        vsnprintf(text, (size_t)size + 1, format, again);
    }
    va_end(again);
    return text;
}
