/* Which rule a request breaks, whoever's the object is and whatever follows from it. Internal to
 * verdict.c. */
#ifndef GITMOOR_ADMISSION_RULES_H
#define GITMOOR_ADMISSION_RULES_H

#include "admission/verdict.h"

/* Fills what the rule tells beside itself: `fields`, and the applications that have a say where the
 * object's label does not name them. */
enum verdict_rule rules_judge(const struct request *request,
                              const struct verdict_settings *settings,
                              const struct application_set *applications, struct verdict *ret);

#endif
