/* What has drifted now and lately: a list in the Application's status, newest first, so that it
 * outlives a restart and a change of replica, and bounded, since a status is. `gitmoor drift` shows
 * it. One entry for each object:
 *
 *   group, kind, namespace, name   the object
 *   change       Changed, or Deleted (deleted, or without our label: the watch does not tell)
 *   fields       at most ten paths; moreFields counts the rest
 *   manager, subresource, time     who wrote it last, and when, as managedFields has it
 *   reason       the break-glass reason that stood on the object
 *   seenAt       when the differ saw it first
 *   count        how often, while it is in the list
 *   state        Drifted, Repaired, Reverted (put back by others) or Removed (from Git); endedAt
 *
 * Never a value. The list is kept as the JSON that it is written as. */
#ifndef GITMOOR_DIFFER_DRIFT_LOG_H
#define GITMOOR_DIFFER_DRIFT_LOG_H

#include "common/data/object.h"
#include "differ/blame.h"

#define DRIFT_LOG_MAXIMUM 20

struct drift_note {
    const struct object_ref *ref;
    const struct blame *blame; /* NULL: it was deleted */
    const char *reason;        /* of break-glass, or NULL */
    int64_t now;               /* wall ms */
};

/* The object's entry, or NULL. */
const cJSON *drift_log_find(const cJSON *log, const struct object_ref *ref);

/* Notes that an object has drifted. False: that was known. */
bool drift_log_note(cJSON *log, const struct drift_note *note);

/* Notes that an object is as Git declares it again, if it was noted to have drifted. */
void drift_log_end(cJSON *log, const struct object_ref *ref, const char *state, int64_t now);

/* Ends whatever is noted as drifted and `is_declared` no longer says to be declared. */
void drift_log_sweep(cJSON *log,
                     bool (*is_declared)(const struct object_ref *ref, const void *context),
                     const void *context, int64_t now);

#endif
