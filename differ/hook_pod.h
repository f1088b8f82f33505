/* Why a Job has failed, in the words of its Pod: its exit code, and what it wrote to the
 * terminationMessagePath. The Pods of a Job carry no label of ours, so no watch tells of them; they
 * are asked for once, when the Job has failed. */
#ifndef GITMOOR_DIFFER_HOOK_POD_H
#define GITMOOR_DIFFER_HOOK_POD_H

#include "differ/application.h"

struct hook_pod;

/* Whether the answer is there: "" if nothing can be told. Else it is asked for, and wakes the
 * application when it comes. One Job at a time. */
bool hook_pod_tell(struct application *application, const struct live_object *job,
                   const char **ret_message);
void hook_pod_free(struct hook_pod *pod); /* NULL is fine */

#endif
