/* What leaves Git is deleted: live objects that carry the Application's label *and* a managedFields
 * entry of ours, and that nobody declares. Copies that controllers make of labelled objects lack
 * the entry, and so are never touched. */
#ifndef GITMOOR_DIFFER_PRUNE_H
#define GITMOOR_DIFFER_PRUNE_H

#include "differ/application.h"

struct prune_list {
    const struct live_object **objects; /* in the order in which they are deleted */
    size_t count;
};

void prune_select(const struct application *application, struct prune_list *ret);
/* The same of a given group (NULL: none), which prune_select looks up. */
void prune_select_from(const struct application *application, const struct live_group *group,
                       struct prune_list *ret);
void prune_release(struct prune_list *list);

/* Whether the list would delete everything that the application has, every Namespace of it, or
 * more of its `existing` objects than the limit allows; appends why, and notes each object in
 * `problems`. */
bool prune_is_dangerous(const struct prune_list *list, const struct desired_set *desired,
                        size_t existing, const struct prune_limit *limit, struct buf *reason,
                        struct problems *problems);

#endif
