/* Up to which commit of its source an Application's status holds: status.observedRevision.
 *
 * A commit that changes nothing of an application is no reason to write its status, or a commit to
 * a repository of five hundred would cost five hundred writes. So it is told with whatever else is
 * written, and by itself only when somebody waits for that very commit, whom the annotation
 * gitmoor.io/awaited-revision names: a revision, or the commit alone. */
#ifndef GITMOOR_DIFFER_OBSERVED_H
#define GITMOOR_DIFFER_OBSERVED_H

#include "differ/application.h"

/* Whether it is to be written now, though nothing else of the status has changed. */
bool observed_is_due(const struct application *application);

/* Sets it in the status that is about to be written. It stays as it was while the newest commit is
 * still being looked at, or built. */
void observed_set(const struct application *application, cJSON *status);

#endif
