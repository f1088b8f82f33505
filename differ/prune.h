/* What leaves Git is deleted: live objects that carry the Application's label *and* a managedFields
 * entry of ours, and that nobody declares. Copies that controllers make of labelled objects lack
 * the entry, and so are never touched.
 *
 * What is to stay all the same (keep.h, spec.prune) is given up: our label and entry are taken off
 * it. If they stayed, admission would refuse every edit of an object that nobody can change in Git
 * any more. What an object lies in, its Namespace or the definition of its kind, stays with it. */
#ifndef GITMOOR_DIFFER_PRUNE_H
#define GITMOOR_DIFFER_PRUNE_H

#include "differ/application.h"

struct prune_list {
    const struct live_object **objects; /* to be deleted, in that order */
    const struct live_object **kept;    /* to be given up, in that order */
    const struct live_object **unclear; /* neither: their annotation says nothing that is known, or
                                         * that of something in them */
    size_t count, kept_count, unclear_count;
};

void prune_select(const struct application *application, struct prune_list *ret);
/* The same of a given group (NULL: none), which prune_select looks up. */
void prune_select_from(const struct application *application, const struct live_group *group,
                       struct prune_list *ret);
void prune_release(struct prune_list *list);

/* Nothing is deleted: all of it is to be given up. */
void prune_keep_all(struct prune_list *list);
/* Tells of the unclear ones, which are left as they are. */
void prune_leave_unclear(struct application *application, const struct prune_list *list);
/* Whether there is nothing to be done. */
bool prune_is_empty(const struct prune_list *list);

/* Notes each object that it would delete or give up in `problems`. */
void prune_tell(const struct prune_list *list, struct problems *problems, const char *message);

/* Whether the list would delete (what is given up does not count) everything that the application
 * has, every Namespace of it that exists, or more of its objects, `group` (NULL: none), than the
 * limit allows; appends why, and notes each object in `problems`. */
bool prune_is_dangerous(const struct prune_list *list, const struct desired_set *desired,
                        const struct live_group *group, const struct prune_limit *limit,
                        struct buf *reason, struct problems *problems);

#endif
