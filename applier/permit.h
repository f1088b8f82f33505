/* What the tenancy settings let a plan touch. The plan comes from the differ, which may be in a
 * stranger's hands; the namespace that it is judged by is that of the Application, which the
 * applier knows by itself (identity.h), and the objects are what the paths name, since the server
 * goes by nothing else. */
#ifndef GITMOOR_APPLIER_PERMIT_H
#define GITMOOR_APPLIER_PERMIT_H

#include "applier/plan.h"
#include "applier/result.h"
#include "common/run/tenancy.h"

/* Whether all operations are allowed. Those that are not become failures of `refused`: then nothing
 * of the plan is carried out. `tenancy` may be NULL: no settings. */
bool permit_plan(const struct tenancy *tenancy, const struct plan *plan, struct result *refused);

#endif
