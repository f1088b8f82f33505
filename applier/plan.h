/* Plans: what the differ asks the applier to do, as lines of JSON (ARCHITECTURE.md, "Plan"). The
 * parser is strict: an unknown member, a path that is not an object's, stages out of order are
 * errors. Whoever sends it, a plan names objects and their content; on whose behalf is not in it.
 */
#ifndef GITMOOR_APPLIER_PLAN_H
#define GITMOOR_APPLIER_PLAN_H

#include "common/base/arena.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define PLAN_TEXT_MAXIMUM ((size_t)256 << 20) /* as the differ's plans */
#define PLAN_LINE_MAXIMUM ((size_t)16384)     /* of the head and of an operation; not of objects */
#define PLAN_ID_MAXIMUM ((size_t)128)
#define PLAN_PATH_MAXIMUM ((size_t)4096)
#define PLAN_OPERATIONS_MAXIMUM ((size_t)200000)
#define PLAN_STAGE_MAXIMUM 9999

enum plan_verb {
    PLAN_APPLY,
    PLAN_DELETE,
    PLAN_RECREATE,  /* prove that it can be, delete, wait until it is gone, apply */
    PLAN_FINALIZER, /* our finalizer on the plan's own Application; by the applier itself */
    PLAN_OWNERS,    /* write managedFields and nothing else, in the very version that is named */
    PLAN_RELEASE,   /* take our marks off it: it stays, and is nobody's (release.h) */
};

struct plan_operation {
    enum plan_verb verb;
    int stage;
    int after;                    /* the stage that it depends on; -1: none */
    const char *path;             /* "/apis/apps/v1/namespaces/shop/deployments/web" */
    const char *uid;              /* of the object to delete, to make anew or to give up */
    bool adds;                    /* the finalizer; else it is taken away */
    bool foreground;              /* what depends on it is deleted first */
    const char *resource_version; /* of the object whose owners are written */
    /* The object to apply as it is sent, or managedFields, in the plan's text; of a release that
     * has been looked at, the patch. */
    const char *body;
    size_t body_size;
};

struct plan {
    const char *id;
    const char *namespace_, *name, *uid; /* of the Application */
    const char *revision;
    bool dry_run;
    bool preflight;
    bool heal;
    struct plan_operation *operations; /* stages ascending */
    size_t count;
};

/* `text` must outlive the plan: bodies point into it. Errors name the line. */
bool plan_parse(const char *text, size_t size, struct plan **ret, struct error *error);
void plan_free(struct plan *plan);

/* Whether it is the path of one object, without a subresource, a query or a way around:
 * /api/VERSION/[namespaces/NAMESPACE/]PLURAL/NAME, or the same under /apis/GROUP. */
bool plan_path_is_valid(const char *path);

/* What such a path names, decoded as the server decodes it, in the arena. */
struct plan_object {
    const char *group;      /* "" for core */
    const char *resource;   /* "deployments" */
    const char *namespace_; /* "" for what is cluster-scoped */
    const char *name;
};
bool plan_path_read(const char *path, struct arena *arena, struct plan_object *ret);

#endif
