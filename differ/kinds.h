/* Which kinds the cluster serves: discovery, read at start and whenever a kind is missed or a
 * definition was applied, by us or by anybody else. */
#ifndef GITMOOR_DIFFER_KINDS_H
#define GITMOOR_DIFFER_KINDS_H

#include "differ/differ.h"

/* Reads discovery again, at most every two seconds; then renders anew what waits for a kind that is
 * served now, and wakes everybody. */
void kinds_reload(struct differ *differ);

/* Kinds that no application declares or has objects of any more are watched no more, from a second
 * after this is called: there may be such. */
void kinds_may_be_unused(struct differ *differ);
void kinds_open(struct differ *differ);
/* Reads discovery, and again whenever what is served changes. With the client. */
void kinds_watch(struct differ *differ);
void kinds_close(struct differ *differ);

#endif
