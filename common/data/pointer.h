/* JSON pointers (RFC 6901): "/spec/replicas", "~1" for a slash, "~0" for a tilde. */
#ifndef GITMOOR_DATA_POINTER_H
#define GITMOOR_DATA_POINTER_H

#include "common/data/json.h"

bool pointer_is_valid(const char *pointer, struct error *error);
/* The node, or NULL. "" is the whole document. */
cJSON *pointer_get(const cJSON *document, const char *pointer);

/* With "*" as a token for every item or member of what it stands at: calls `visit` for each place
 * that the pointer leads to, with NULL for one that is not there. Without a "*" that is one place;
 * a "*" in what is neither array nor object, or empty, leads to none. Stops when `visit` returns
 * false. */
void pointer_each(const cJSON *document, const char *pointer,
                  bool (*visit)(const cJSON *node, void *context), void *context);
/* How many of its tokens are "*". */
size_t pointer_stars(const char *pointer);

/* Removes the node if it is there; returns whether it was. */
bool pointer_remove(cJSON *document, const char *pointer);

#endif
