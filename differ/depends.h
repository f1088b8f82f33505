/* spec.dependsOn: nothing of an application is written before those that it depends on are ready.
 * Repairs are: what is applied already was applied in order. */
#ifndef GITMOOR_DIFFER_DEPENDS_H
#define GITMOOR_DIFFER_DEPENDS_H

#include "common/base/buf.h"
#include "differ/application.h"

/* Whether it goes round: then nobody would ever be ready. `path` gets the round, "a → b → a". */
bool depends_go_round(const struct application *application, struct buf *path);

/* Whether all are ready; `reason` says which is not, and why. */
bool depends_are_ready(const struct application *application, struct buf *reason);

/* That application has become ready, or changed: those that depend on it look again. */
void depends_wake(struct differ *differ, const char *key);

#endif
