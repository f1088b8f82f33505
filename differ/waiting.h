/* A revision that waits for a sync window. What was applied before it stays in force, and is kept
 * as it is; the server dry-runs the new one meanwhile. Once the window opens, or a person says so,
 * it takes the place of the other. One whose apply has begun is finished, whatever the clock says.
 *
 * After a restart the revision that is in force is rendered again from Git (rollback_stand_in),
 * unless the spec has changed since: nobody knows then what it was made of. */
#ifndef GITMOOR_DIFFER_WAITING_H
#define GITMOOR_DIFFER_WAITING_H

#include "differ/desired.h"

#include <stdbool.h>

struct application;

struct waiting {
    struct desired_set *desired;
    char *revision;
    bool counted;                     /* the next two are right */
    size_t changed, pruned, released; /* against what is in force */
    int64_t opens_at;                 /* wall ms; 0: to be found out; INT64_MAX: never */
};

void waiting_drop(struct application *application);

enum waiting_verdict {
    WAITING_INSTALL,       /* it may be applied */
    WAITING_INSTALL_BEGUN, /* it was applied before, in part or all of it */
    WAITING_HELD,          /* it was taken, and waits */
};
/* A set of the newest revision has been rendered. */
enum waiting_verdict waiting_take(struct application *application, struct desired_set *desired,
                                  const char *revision);

/* The newest revision is in force, nothing of it has been written, and no window is open (any
 * more): if `true`, it has been taken back, to wait. */
bool waiting_take_back(struct application *application);

/* Lets it go if its time has come; else sees to it that somebody looks again then. */
void waiting_step(struct application *application);

/* Whether what is drifted waits for a window. */
bool waiting_holds_repairs(const struct application *application);

/* "main@sha1:… waits for …", for people. */
char *waiting_describe(const struct application *application);

void waiting_set_status(const struct application *application, cJSON *status);

#endif
