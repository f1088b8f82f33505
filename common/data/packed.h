/* A JSON value that is looked at now and then: a tree while it is, a text of a tenth of the memory
 * while it rests. Making the tree costs what parsing costs, about 10 us a kilobyte. */
#ifndef GITMOOR_DATA_PACKED_H
#define GITMOOR_DATA_PACKED_H

#include "common/data/json.h"

struct packed;

/* Takes the tree, never NULL. */
struct packed *packed_new(cJSON *tree);
void packed_free(struct packed *packed); /* NULL is fine */

/* The tree, until it rests or is set; to be read only. */
const cJSON *packed_tree(struct packed *packed);

bool packed_is_at_rest(const struct packed *packed);

/* A copy of the tree for the caller; what rests goes on resting. */
cJSON *packed_copy(const struct packed *packed);

/* Replaces it; takes the tree. */
void packed_set(struct packed *packed, cJSON *tree);

/* The tree is not looked at for a while. */
void packed_rest(struct packed *packed);

#endif
