/* Fights: another writer changes an object as often as it is repaired. Both would go on for ever at
 * full speed; so a fight is noticed by its rate (drift.c), told with the field and the manager,
 * slowed down, and over when a repair has stood for a while. */
#ifndef GITMOOR_DIFFER_FIGHT_H
#define GITMOOR_DIFFER_FIGHT_H

#include "differ/application.h"

/* Tells that a fight over the object has begun. */
void fight_begin(struct application *application, const struct desired_object *object);

/* Looks at the fights of the application: ends those that are over, and says of the rest what
 * status is to tell. */
void fight_look(struct application *application);

#endif
