/* Whether an object of ours has done what was asked of it: kstatus conventions, and the token of a
 * requested reconcile. */
#ifndef GITMOOR_CLI_PROGRESS_H
#define GITMOOR_CLI_PROGRESS_H

#include "common/data/json.h"

enum progress { PROGRESS_WORKING, PROGRESS_READY, PROGRESS_FAILED };

/* `token` is the value written to the annotation gitmoor.io/reconcile-requested-at; NULL: none was.
 * `ret_message` points into the object, or is a literal. */
enum progress progress_judge(const cJSON *object, const char *token, const char **ret_message);

#endif
