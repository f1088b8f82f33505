/* Who declares which object. One application holds each; another that declares it too waits until
 * it is free. Of two, the one that the live object names by its label is the holder, so that a
 * restart does not hand objects to and fro; else the one that came first. */
#ifndef GITMOOR_DIFFER_CLAIMS_H
#define GITMOOR_DIFFER_CLAIMS_H

#include "differ/application.h"

/* Takes what the application declares and nobody else holds; a problem for each of the rest. Some
 * of these may be given up by an application that has not been rendered for the same commit yet
 * (whole.h), which holds them: that one is returned, the first of them, and they are no problems.
 * NULL: there are none. */
const struct application *claims_take(struct application *application, struct problems *problems);

/* Frees what it holds and `kept` (NULL: nothing) does not declare, and wakes those that wait. */
void claims_release(struct application *application, const struct desired_set *kept);

/* Whether any application declares the object, whoever holds it. */
bool claims_is_declared(const struct differ *differ, const char *key);

#endif
