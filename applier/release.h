/* Giving an object up that stays in the cluster: our marks are taken off it, and nothing else is
 * changed. From then on it is anybody's, and admission does not ask whose it was. */
#ifndef GITMOOR_APPLIER_RELEASE_H
#define GITMOOR_APPLIER_RELEASE_H

#include "common/data/json.h"

/* The patch that does it to the object as it was read, in this very version or not at all, as JSON
 * for the caller to free. NULL: there is nothing to give up, since it is another object than that
 * of the UID, or no longer carries the label of this application. */
char *release_make_patch(const cJSON *object, const char *uid, const char *label);

#endif
