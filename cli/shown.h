/* Objects as a diff shows them: without what the server keeps for itself, and without what is
 * secret. */
#ifndef GITMOOR_CLI_SHOWN_H
#define GITMOOR_CLI_SHOWN_H

#include "common/data/json.h"

/* Takes out of a tree what no declaration is about: managedFields, resourceVersion, uid,
 * generation, creationTimestamp, status. */
void shown_strip(cJSON *object);

/* Replaces the values of a Secret on both sides (either may be NULL): "***" where they are equal,
 * "*** (before)" and "*** (after)" where they differ, as kubectl diff does. Other kinds stay. */
void shown_mask(cJSON *before, cJSON *after);

/* Likewise, of any kind: the strings of `after` that hold one of these texts, and what stands in
 * their places in `before`. */
void shown_hide(cJSON *before, cJSON *after, const cJSON *texts);

#endif
