/* spec.force: what the server refuses to change, since a field of it is immutable, is deleted and
 * made anew. Only what loses nothing by it, unless the object itself says so in Git. */
#ifndef GITMOOR_DIFFER_FORCE_H
#define GITMOOR_DIFFER_FORCE_H

#include "common/data/object.h"

#include <stdbool.h>

/* On an object in Git: "true": whatever its kind and spec.force; "false": in no case. */
#define FORCE_ANNOTATION "gitmoor.io/force"

struct application;
struct desired_object;

bool force_allows(const struct application *application, const struct desired_object *object);

/* What a person can do about fields that cannot be changed, to go before the server's words, which
 * may be long; NULL for NULL. The caller frees. */
char *force_advise(const struct desired_object *object, const char *fields);

/* It was made anew. */
void force_tell(struct application *application, const struct object_ref *ref);

#endif
