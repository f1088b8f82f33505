/* What one look at everything finds to do for an application: objects to be applied, for the first
 * time or to repair drift, and objects to be pruned or given up. */
#ifndef GITMOOR_DIFFER_SELECTION_H
#define GITMOOR_DIFFER_SELECTION_H

#include "differ/application.h"
#include "differ/prune.h"

enum finalizer_action { FINALIZER_LEAVE, FINALIZER_ADD, FINALIZER_REMOVE };

struct selection {
    struct desired_object **applies;
    bool *heals;  /* applies[i] repairs drift */
    bool *owners; /* its owners are written first */
    size_t count;
    size_t owner_count;            /* of them whose owners are written */
    struct desired_object **later; /* of waves after the one under way */
    size_t later_count;
    struct desired_object **asks; /* to be dry-run first: has it drifted? */
    size_t ask_count;
    struct prune_list prune;
    struct prune_list prune_later; /* once others have been rendered (whole.h) */
    size_t prune_later_count;
    enum finalizer_action finalizer; /* what becomes of the Application's, in the end */
    bool standing;                   /* of no revision: a newer one is no reason to stop */
    const struct desired_set *set;   /* that the objects are of */
    const char *revision;            /* that they are of; NULL: the one in force */
    struct map new_namespaces;       /* that the plan creates: name → "" */
    bool new_roles;                  /* it creates or changes roles */
    bool repairs_wait;               /* a repair has failed lately, and is for later */
    bool unwatched; /* something was applied whose kind is not known to be served */
};

/* `repairs_only`: the revision must not be applied (yet), but what was in sync is kept so. Counts
 * into application->counts; release it in any case. */
void selection_make(struct application *application, bool repairs_only, struct selection *ret);
/* What the revision deletes or gives up, in the end: also while waves hold that back. */
void selection_make_prune(struct application *application, struct prune_list *ret);
/* What the waiting revision changes, to be dry-run. */
void selection_make_waiting(const struct application *application, struct selection *ret);
void selection_release(struct selection *selection);

/* Whether there is nothing to do. */
bool selection_is_empty(const struct selection *selection);
/* Whether there are repairs and nothing else. */
bool selection_only_heals(const struct selection *selection);

#endif
