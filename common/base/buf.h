/* A growing byte buffer that cannot exist without a maximum.
 *
 * An append that would exceed the maximum appends nothing and marks the buffer `overflowed`, for
 * good until cleared; later appends do nothing. So a writer appends freely and asks once at the
 * end. `data` is always NUL-terminated (the NUL is not counted in `size`). */
#ifndef GITMOOR_BASE_BUF_H
#define GITMOOR_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* never NULL after buf_init */
    size_t size;
    size_t capacity;
    size_t maximum; /* bytes, without the NUL */
    bool overflowed;
};

void buf_init(struct buf *buf, size_t maximum);
void buf_release(struct buf *buf); /* frees; buf_init before the next use. Safe on a zeroed buf */
void buf_clear(struct buf *buf);   /* empties, keeps the memory and the maximum */

/* Each returns false if the buffer has overflowed. */
bool buf_append(struct buf *buf, const void *data, size_t size);
bool buf_append_string(struct buf *buf, const char *text);
bool buf_append_char(struct buf *buf, char character);
bool buf_append_format(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Percent-encodes all but unreserved characters (RFC 3986), as for a path segment or a query. */
bool buf_append_percent(struct buf *buf, const char *text);

/* Drops `size` bytes from the front. */
void buf_consume(struct buf *buf, size_t size);

/* Hands the memory to the caller (free()), NUL-terminated, and empties the buffer. */
char *buf_detach(struct buf *buf);

/* Reads a whole file, refused if it is larger than the buffer's maximum. Appends. */
struct error;
bool buf_read_file(struct buf *buf, const char *path, struct error *error);
/* Reads until end of file, refused past the maximum. Appends. */
bool buf_read_fd(struct buf *buf, int fd, const char *name, struct error *error);

#define AUTO_BUF __attribute__((cleanup(buf_release)))

#endif
