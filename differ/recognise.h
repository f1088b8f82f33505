/* Objects that were applied before their text was known here: of a share that another replica had,
 * or of a repository whose fetcher was away when this one started. What the watch keeps of them
 * says nothing about the text, so that all of it would be applied again, and every object dry-run
 * and sent in vain. Instead they are listed once, and those that are what Git declares are known
 * from then on. */
#ifndef GITMOOR_DIFFER_RECOGNISE_H
#define GITMOOR_DIFFER_RECOGNISE_H

#include <stdbool.h>

struct application;
struct recognition;

/* True: nothing (more) is to be found out, plan. False: lists are on their way, and wake it. Once
 * in the life of an application; a kind whose list fails is applied again after all. */
bool recognise_step(struct application *application);
void recognition_free(struct recognition *recognition); /* NULL is fine */

#endif
