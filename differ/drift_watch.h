/* Drift as the watch tells of it: noted in the application's log, with who did it, and told as an
 * Event where it was let through by break-glass or is not repaired. What is done about it is
 * decided in selection.c. */
#ifndef GITMOOR_DIFFER_DRIFT_WATCH_H
#define GITMOOR_DIFFER_DRIFT_WATCH_H

#include "differ/application.h"
#include "differ/live.h"

/* A live object that the application declares as `desired` came or changed (`object` is its tree),
 * or is gone (NULL). */
void drift_watch_take(struct application *application, struct desired_object *desired,
                      const struct live_object *live, const cJSON *object);

/* The object was written as Git declares it. */
void drift_watch_repaired(struct application *application, struct desired_object *desired,
                          const struct object_ref *ref);

#endif
