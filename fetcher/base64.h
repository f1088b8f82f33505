/* Base64 (RFC 4648) as Secrets, keys and armours hold it: standard alphabet, white space ignored,
 * padding required. */
#ifndef GITMOOR_FETCHER_BASE64_H
#define GITMOOR_FETCHER_BASE64_H

#include "common/base/buf.h"

/* Appends the bytes. False if the text is malformed or the buffer overflows. */
bool base64_decode(const char *text, size_t size, struct buf *out);

#endif
