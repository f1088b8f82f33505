/* Small questions about strings that C's library does not answer. NULL is never equal to anything
 * but NULL, and has no prefix. */
#ifndef GITMOOR_BASE_TEXT_H
#define GITMOOR_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool text_equal(const char *left, const char *right);
bool text_is_empty(const char *text); /* NULL or "" */
bool text_has_prefix(const char *text, const char *prefix);
bool text_has_suffix(const char *text, const char *suffix);
/* "" for NULL, for printing. */
const char *text_or_empty(const char *text);

/* A Go duration as Kubernetes objects write it: "1m", "90s", "1h30m", "1.5s", "200ms". Returns
 * milliseconds; refuses negative ones, unknown units and more than ten years. */
bool text_parse_duration(const char *text, int64_t *ret_milliseconds);

/* Whole decimal integers, no blanks, no overflow. */
bool text_parse_int(const char *text, int64_t *ret);

bool text_is_utf8(const char *text, size_t size);

#endif
