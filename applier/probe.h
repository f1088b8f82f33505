/* Before an object is deleted to be made anew: whether the server would take the new one. It is
 * created in a dry-run under a name that is free, since its own is taken: schema, defaulting,
 * rights, policies and webhooks judge it as they will judge the real one.
 *
 * What that cannot tell: what binds an object to its name (a rule that allows one name only refuses
 * the probe, and so the object stays), and what the server looks up only when it writes: whether a
 * Service's clusterIP or nodePort is free. */
#ifndef GITMOOR_APPLIER_PROBE_H
#define GITMOOR_APPLIER_PROBE_H

#include "applier/plan.h"
#include "common/base/buf.h"

/* The collection's path and the object under its other name. False: the operation's body is no
 * object with a name. */
bool probe_build(const struct plan_operation *operation, struct buf *path, struct buf *body);

/* A name of the same sort, as long as the old one or within what all kinds take, and the same each
 * time; to be freed. */
char *probe_name(const char *name, const char *uid);

/* Whether a refusal is that of a quota which counts objects, and has no room for one more beside
 * the old one, but for one in its place. Quotas are asked last, when all else has passed. */
bool probe_lacks_room_only(const char *message);

#endif
