/* Hooks: objects that are run at a moment of a revision instead of being kept as they are declared.
 * What an object says of that (annotations of ours, of Helm, or of Argo CD), and how a live one has
 * ended. */
#ifndef GITMOOR_DIFFER_HOOK_H
#define GITMOOR_DIFFER_HOOK_H

#include "common/base/error.h"
#include "common/data/health.h"
#include "common/data/object.h"

#define HOOK_ANNOTATION "gitmoor.io/hook"
#define HOOK_POLICY_ANNOTATION "gitmoor.io/hook-delete-policy"
/* On the live object: for which attempt, and which moment of it, it runs. */
#define HOOK_RUN_ANNOTATION "gitmoor.io/hook-run"

enum hook_moment {
    HOOK_BEFORE,  /* before anything else of the commit */
    HOOK_AFTER,   /* when everything is healthy */
    HOOK_FAILURE, /* when a hook has failed, or the objects are not healthy (in time) */
    HOOK_MOMENTS
};

/* "before", "after", "failure". */
const char *hook_moment_name(enum hook_moment moment);

/* When the application is applied for the first time, and later. */
enum { HOOK_FIRST = 1, HOOK_LATER = 2, HOOK_ALWAYS = 3 };

/* When it is deleted. */
enum { HOOK_DELETE_BEFORE = 1, HOOK_DELETE_SUCCEEDED = 2, HOOK_DELETE_FAILED = 4 };

struct hook_spec {
    unsigned char moments[HOOK_MOMENTS]; /* 0: not then; else HOOK_FIRST, HOOK_LATER */
    unsigned deletes;
    int wave;
    bool has_wave; /* of another tool's annotation; else gitmoor.io/wave counts */
};

/* Reads what the object's metadata says; `ret_is_hook` false: it is none. A hook of moments that
 * Gitmoor does not have (pre-delete, …) is one that never runs. False: it is not understood, and
 * the message says what is wrong. */
bool hook_read(const cJSON *metadata, bool *ret_is_hook, struct hook_spec *ret,
               struct error *error);
bool hook_never_runs(const struct hook_spec *spec);

/* Whether objects of the kind run to an end (Job, Pod); others have done their work once they are
 * Current. Those that do are always replaced, never patched. */
bool hook_kind_ends(const char *group, const char *kind);

enum hook_end { HOOK_RUNS, HOOK_SUCCEEDED, HOOK_FAILED };

/* Has the live object, whose health is given with a message (or NULL), done its work? The message
 * says why it has failed, or what it does. */
enum hook_end hook_judge(const cJSON *object, enum health_status health, const char *health_message,
                         char ret_message[HEALTH_MESSAGE_SIZE]);
/* Why a Pod has failed: the first container's exit code, reason and last words. */
void hook_tell_pod(const cJSON *pod, char ret_message[HEALTH_MESSAGE_SIZE]);

#endif
