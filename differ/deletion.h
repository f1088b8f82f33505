/* spec.deletionPolicy. Orphan: the Application goes, and what it manages stays as it is. Delete: a
 * finalizer holds the Application until everything that it manages is gone, in the reverse of the
 * order in which it was applied. The finalizer is put there before anything is applied; the applier
 * writes it, on a plan's word.
 *
 * What is left to be done is read from the cluster each time: a restart in between changes
 * nothing. */
#ifndef GITMOOR_DIFFER_DELETION_H
#define GITMOOR_DIFFER_DELETION_H

#include "common/data/json.h"

struct application;

/* What the object says of it. */
void deletion_take(struct application *application, const cJSON *object);

/* Does what is due; true: so that nothing else is to be done now. */
bool deletion_step(struct application *application);

/* The applier has written the finalizer, or taken it away. */
void deletion_note_finalizer(struct application *application, bool is_there);

#endif
