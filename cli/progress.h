/* Whether an object of ours has done what was asked of it: kstatus conventions, and the token of a
 * requested reconcile. */
#ifndef GITMOOR_CLI_PROGRESS_H
#define GITMOOR_CLI_PROGRESS_H

#include "common/base/clock.h"
#include "common/data/json.h"

enum progress { PROGRESS_WORKING, PROGRESS_READY, PROGRESS_FAILED };

/* A reconcile that was asked for, and what was asked and handled before: whatever is handled beside
 * these is this request, or a later one that somebody else has put in its place. */
struct progress_request {
    char token[CLOCK_RFC3339_SIZE];      /* of the annotation gitmoor.io/reconcile-requested-at */
    char *asked_before, *handled_before; /* or NULL */
};

/* A new request, of an object as it was before. */
void progress_request_init(struct progress_request *request, const cJSON *before);
void progress_request_release(struct progress_request *request);

/* `request` NULL: none was made. `ret_message` points into the object, or is a literal. */
enum progress progress_judge(const cJSON *object, const struct progress_request *request,
                             const char **ret_message);

#endif
