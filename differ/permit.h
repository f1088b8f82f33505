/* The tenancy settings, as the differ keeps to them: so that what they refuse is told early, with
 * file and line, and no plan is made of it. They are enforced by the applier and the fetcher. */
#ifndef GITMOOR_DIFFER_PERMIT_H
#define GITMOOR_DIFFER_PERMIT_H

#include "differ/selection.h"

/* Opens the file that --tenancy names, if any. */
bool permit_open(struct differ *differ, struct error *error);

/* Looks at an application's source, service account and declared objects; to be called when one of
 * them has changed. */
void permit_judge(struct application *application);

/* Takes what may not be deleted out of the list; it stays, and the status says so. */
void permit_prune(struct application *application, struct prune_list *list);

/* Whether the kind is Secret and this differ has nothing to do with those. */
bool permit_is_left_out(const struct differ *differ, const struct kube_resource *resource);

#endif
