/* JSON pointers (RFC 6901): "/spec/replicas", "~1" for a slash, "~0" for a tilde. */
#ifndef GITMOOR_DATA_POINTER_H
#define GITMOOR_DATA_POINTER_H

#include "common/data/json.h"

bool pointer_is_valid(const char *pointer, struct error *error);
/* The node, or NULL. "" is the whole document. */
cJSON *pointer_get(const cJSON *document, const char *pointer);
/* Removes the node if it is there; returns whether it was. */
bool pointer_remove(cJSON *document, const char *pointer);

#endif
