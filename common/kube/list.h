/* Internal to common/kube: taking a list apart, one item after the other. */
#ifndef GITMOOR_KUBE_LIST_H
#define GITMOOR_KUBE_LIST_H

#include "common/data/json.h"

/* Calls `item` (which takes the tree) for each of the list's items, so that no more than one is in
 * memory as a tree: those take eight times the space of their text. Stops quietly when it returns
 * false. `ret_metadata` gets the list's metadata, or NULL if it has none. */
bool kube_list_split(const char *text, size_t size, bool (*item)(cJSON *tree, void *context),
                     void *context, cJSON **ret_metadata, struct error *error);

#endif
