/* Makes of a rendered object what is sent to the server: without what is not Git's to declare, and
 * in the form that server-side apply can merge (PITFALLS §2). */
#ifndef GITMOOR_DIFFER_NORMALISE_H
#define GITMOOR_DIFFER_NORMALISE_H

#include "common/data/json.h"

/* Changes `object` in place:
 * - removes `status` and the metadata that only the server writes (managedFields, uid,
 *   resourceVersion, generation, creationTimestamp, selfLink), also null creationTimestamps in
 *   templates;
 * - folds a Secret's stringData into data;
 * - gives ports without a protocol the default TCP: it is part of their merge key
 *   (kubernetes#98576);
 * - leaves the rules of an aggregated ClusterRole to the controller that writes them. */
void normalise_object(cJSON *object);

#endif
