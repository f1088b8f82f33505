/* What the worker answers (worker.h), taken as it comes: each application's part, as soon as it is
 * whole, becomes its desired set, and the application is planned while the worker goes on. */
#ifndef GITMOOR_DIFFER_ANSWER_H
#define GITMOOR_DIFFER_ANSWER_H

#include "differ/run.h"

/* Takes what is whole of the text, and returns the size of it. What is of an application that does
 * not wait for this run (any more) is passed over. What is wrong goes to run->failure. */
size_t answer_take(struct run *run, const char *output, size_t size);

#endif
