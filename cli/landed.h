/* Whether a commit has arrived: in what an application is made of (its GitRepository or
 * HelmRepository), and in the application itself, live and healthy. Of objects as the cluster holds
 * them. */
#ifndef GITMOOR_CLI_LANDED_H
#define GITMOOR_CLI_LANDED_H

#include "cli/progress.h"
#include "common/base/buf.h"

/* Ready: the source's status.revision is what is to be waited for: `wanted`, a revision or the
 * beginning of a commit, or, if that is NULL, whatever is the newest once `request` was handled.
 * `request` may be NULL with `wanted`. What there is to say is added to the message. */
enum progress landed_in_source(const cJSON *source, const char *wanted,
                               const struct progress_request *request, struct buf *message);

/* Whether the application was at `wanted` at some time, as its history tells. */
bool landed_before(const cJSON *application, const char *wanted);

/* Whether the application's status holds for the revision. */
bool landed_is_observed(const cJSON *application, const char *revision);

/* Whether the revision is refused, and nothing of it is applied: mostly for good, but a definition
 * or a webhook that it lacks may yet come. */
bool landed_is_refused(const cJSON *application, const char *revision);

/* Ready: what the revision declares is applied and healthy. Failed: it will not be by itself. What
 * is refused is working. */
enum progress landed_in_application(const cJSON *application, const char *revision,
                                    struct buf *message);

#endif
