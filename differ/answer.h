/* What the worker answers (worker.h): each application's part becomes its desired set. */
#ifndef GITMOOR_DIFFER_ANSWER_H
#define GITMOOR_DIFFER_ANSWER_H

#include "differ/repository.h"

/* Takes the answer of the repository's worker, for each application that still is `rendering`; one
 * that was answered is so no more. False with a reason if something is lacking; the applications
 * that have been answered have theirs all the same. `ret_objects_missing`: a whole pack may help.
 */
bool answer_take(struct repository *repository, char *output, size_t size,
                 bool *ret_objects_missing, struct error *error);

#endif
