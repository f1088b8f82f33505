/* What an apply would make of a live object, foretold without the server: for those who may not ask
 * it by a dry-run in the applier's name.
 *
 * What the schema would tell is read from managedFields: by which keys the items of a list are told
 * apart. Lists of which nothing is known are told apart by `name`, if all items have one, and are
 * replaced otherwise. What the server sets by default is not foretold. */
#ifndef GITMOOR_CLI_PREDICT_H
#define GITMOOR_CLI_PREDICT_H

#include "common/data/json.h"

/* The object for the caller to free. `owners`: managedFields as they are before the apply; NULL: as
 * the live object has them. */
cJSON *predict_apply(const cJSON *live, const cJSON *desired, const cJSON *owners);

/* Whether two texts are the same Kubernetes quantity: "1" and "1000m", "1Gi" and "1024Mi". */
bool predict_is_same_quantity(const char *left, const char *right);

#endif
