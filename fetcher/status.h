/* The status of a GitRepository, by the kstatus conventions: Ready tells whether the last fetch
 * succeeded; Reconciling is there while a change of the spec is being dealt with and while failures
 * are retried; Stalled is there when only a change of the spec can help. SourceVerified is there
 * with spec.verify only. A status is written only when it differs from what is there. */
#ifndef GITMOOR_FETCHER_STATUS_H
#define GITMOOR_FETCHER_STATUS_H

#include "fetcher/repository.h"

/* A fetch begins: told if the spec is one that was not dealt with before. */
void repository_status_begin(struct repository *repository);
/* The mirror holds repository->revision. `signer`: who signed it; NULL: nobody looked. */
void repository_status_succeeded(struct repository *repository, const char *signer);
void repository_status_failed(struct repository *repository, enum fetch_reason reason,
                              const char *message);
/* The spec is suspended: seen, and no fetch under way. */
void repository_status_suspended(struct repository *repository);

#endif
