/* The start of a differ: no watch of live objects begins before what can be rendered has been, so
 * that each listed object is compared with its desired text while its tree is at hand. Repositories
 * whose content does not come are not waited for longer than ten seconds. */
#ifndef GITMOOR_DIFFER_START_H
#define GITMOOR_DIFFER_START_H

#include "differ/differ.h"

void start_open(struct differ *differ);
void start_close(struct differ *differ);

/* Whether all that can be rendered has been; then lets the watches start, and removes what deleted
 * repositories have left. For whoever has brought a piece of it about. */
void start_check(struct differ *differ);

#endif
