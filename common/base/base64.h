/* Base64 (RFC 4648, the standard alphabet, padded). */
#ifndef GITMOOR_BASE_BASE64_H
#define GITMOOR_BASE_BASE64_H

#include "common/base/buf.h"

/* Appends what the text stands for; blanks and line ends are skipped. False if it is not base64 or
 * the buffer overflows; then something may have been appended. */
bool base64_decode(const char *text, size_t size, struct buf *out);

/* As a string to be freed; NULL for NULL, for what is not base64, and for what holds a NUL byte. */
char *base64_decode_text(const char *text);

/* To be freed. */
char *base64_encode(const void *data, size_t size);

#endif
