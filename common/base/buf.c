#include "common/base/buf.h"

#include "common/base/error.h"
#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_CAPACITY 256

void buf_init(struct buf *buf, size_t maximum)
{
    *buf = (struct buf){.maximum = maximum};
    buf->capacity = maximum < FIRST_CAPACITY ? maximum : FIRST_CAPACITY;
    buf->data = mem_new(buf->capacity + 1, 1);
}

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->overflowed = false;
    buf->data[0] = '\0';
}

/* Makes room for `size` more bytes and the NUL. */
static bool reserve(struct buf *buf, size_t size)
{
    if (buf->overflowed || size > buf->maximum - buf->size) {
        buf->overflowed = true;
        return false;
    }
    size_t needed = buf->size + size;
    if (needed > buf->capacity) {
        size_t capacity = buf->capacity > buf->maximum / 2 ? buf->maximum : buf->capacity * 2;
        if (capacity < needed) {
            capacity = needed;
        }
        buf->data = mem_resize(buf->data, capacity + 1, 1);
        buf->capacity = capacity;
    }
    return true;
}

bool buf_append(struct buf *buf, const void *data, size_t size)
{
    if (!reserve(buf, size)) {
        return false;
    }
    if (size > 0) {
        memcpy(buf->data + buf->size, data, size);
    }
    buf->size += size;
    buf->data[buf->size] = '\0';
    return true;
}

bool buf_append_string(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

bool buf_append_char(struct buf *buf, char character)
{
    return buf_append(buf, &character, 1);
}

bool buf_append_format(struct buf *buf, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t room = buf->capacity - buf->size;
    int wanted = vsnprintf(buf->data + buf->size, room + 1, format, arguments);
    va_end(arguments);
    bool fits = wanted >= 0 && reserve(buf, (size_t)wanted);
    if (fits) {
        if ((size_t)wanted > room) {
            vsnprintf(buf->data + buf->size, (size_t)wanted + 1, format, again);
        }
        buf->size += (size_t)wanted;
    } else {
        buf->data[buf->size] = '\0';
        buf->overflowed = true;
    }
    va_end(again);
    return fits;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

bool buf_append_percent(struct buf *buf, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (is_unreserved(*c)) {
            buf_append_char(buf, (char)*c);
        } else {
            buf_append_format(buf, "%%%02X", *c);
        }
    }
    return !buf->overflowed;
}

void buf_consume(struct buf *buf, size_t size)
{
    if (size > buf->size) {
        size = buf->size;
    }
    memmove(buf->data, buf->data + size, buf->size - size + 1);
    buf->size -= size;
}

char *buf_detach(struct buf *buf)
{
    char *data = buf->data;
    buf_init(buf, buf->maximum);
    return data;
}

bool buf_read_fd(struct buf *buf, int fd, const char *name, struct error *error)
{
    char chunk[16384];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return error_set_errno(error, errno, "cannot read %s", name);
        }
        if (got == 0) {
            return true;
        }
        if (!buf_append(buf, chunk, (size_t)got)) {
            return error_set(error, ERROR_LIMIT, "%s is larger than %zu bytes", name, buf->maximum);
        }
    }
}

bool buf_read_file(struct buf *buf, const char *path, struct error *error)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        bool missing = errno == ENOENT;
        error_set_errno(error, errno, "cannot open %s", path);
        if (missing && error) {
            error->code = ERROR_NOT_FOUND;
        }
        return false;
    }
    return buf_read_fd(buf, fd, path, error);
}
