/* The words of a verdict: what was refused, who declares it and where, and what to do instead.
 * Never a value: only paths, and the keys of list items in them. */
#ifndef GITMOOR_ADMISSION_MESSAGE_H
#define GITMOOR_ADMISSION_MESSAGE_H

#include "admission/verdict.h"

#define MESSAGE_FIELDS_NAMED 10 /* then "and N more" */

/* Fills `object` and `key`. */
void message_describe(const struct request *request, struct arena *arena, struct verdict *verdict);

/* The message of a verdict that has been described. */
const char *message_compose(const struct request *request, const struct verdict *verdict,
                            struct arena *arena);

/* A text of strangers, cut to what is fit to be shown. */
const char *message_path(const char *text, struct arena *arena);

/* The first paths, and how many more: ".a, .b and 3 more"; "" for none. */
const char *message_fields(const struct paths *fields, struct arena *arena);

#endif
