/* The record of an application's hooks (`status.hooks`): of the attempt, and of each hook that has
 * been run in it. hooks.c decides by it; hooks.h says when it is written. */
#ifndef GITMOOR_DIFFER_HOOK_RECORD_H
#define GITMOOR_DIFFER_HOOK_RECORD_H

#include "differ/hooks.h"

#define SUCCEEDED "Succeeded"
#define FAILED "Failed"
#define RUNNING "Running"

/* Whether the application's revision has hooks that may be run. */
bool hook_record_applies(const struct application *application);
/* Whether the record is of the revision that is to be applied. */
bool hook_record_is_current(const struct application *application);
/* Makes a new one of that revision. */
void hook_record_begin(struct application *application);

/* HOOK_RUN_ANNOTATION of the attempt's hooks; the caller frees. */
char *hook_record_run(const struct application *application, enum hook_moment moment);
bool hook_record_is_due(const struct application *application, const struct desired_hook *hook,
                        enum hook_moment moment);

/* What the record says of one hook, or NULL. */
cJSON *hook_record_find(const struct application *application, const struct desired_hook *hook,
                        enum hook_moment moment);
cJSON *hook_record_add(struct application *application, const struct desired_hook *hook,
                       enum hook_moment moment);
/* It has ended: an Event tells. `message` may be NULL. */
void hook_record_end(struct application *application, const struct desired_hook *hook,
                     enum hook_moment moment, cJSON *item, bool ok, const char *message);
/* Of an item; NULL is fine. */
bool hook_record_succeeded(const cJSON *item);
bool hook_record_failed(const cJSON *item);
bool hook_record_ended(const cJSON *item);

/* "before hook Job shop/migrate"; the caller frees. */
char *hook_record_describe(const struct desired_hook *hook, enum hook_moment moment);

#endif
