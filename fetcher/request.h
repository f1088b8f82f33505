/* The worker's request of a fetch: what the spec says, with what its Secrets hold. The Secrets are
 * read anew each time, so that a changed credential counts from the next fetch on. */
#ifndef GITMOOR_FETCHER_REQUEST_H
#define GITMOOR_FETCHER_REQUEST_H

#include "fetcher/repository.h"

/* `request` is valid during the callback; NULL: a Secret is not there or holds nothing that can be
 * used, and `problem` says which and what to do. */
typedef void (*request_fn)(struct repository *repository, const cJSON *request,
                           const char *problem);

/* Calls `done` once: at once if the spec names no Secret, else when the Secrets are there. One at a
 * time for each repository. */
void repository_request_gather(struct repository *repository, request_fn done);
/* No callback. */
void repository_request_cancel(struct repository *repository);

#endif
