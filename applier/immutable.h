/* Does a refusal say that a field cannot be changed, and nothing else? */
#ifndef GITMOOR_APPLIER_IMMUTABLE_H
#define GITMOOR_APPLIER_IMMUTABLE_H

#include <stddef.h>

/* Of the body of a 422: the fields, "spec.selector, spec.template"; NULL if any of its causes is
 * something else, which making the object anew would not cure. The caller frees. */
char *immutable_fields(const char *body, size_t size);

#endif
