#include "common/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *check(void *memory)
{
    if (!memory) {
        static const char message[] = "gitmoor: out of memory\n";
        ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
        (void)ignored;
        _exit(70);
    }
    return memory;
}

void *mem_new(size_t count, size_t size)
{
    return check(calloc(count ? count : 1, size ? size : 1));
}

void *mem_resize(void *memory, size_t count, size_t size)
{
    if (count == 0 || size == 0) {
        count = size = 1;
    }
    return check(reallocarray(memory, count, size));
}

char *mem_string(const char *text)
{
    return text ? check(strdup(text)) : NULL;
}

char *mem_string_n(const char *text, size_t size)
{
    char *copy = mem_new(size + 1, 1);
    memcpy(copy, text, size);
    return copy;
}

char *mem_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    return check(size < 0 ? NULL : text);
}

void mem_close_cleanup(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}
