/* The Secret's content: reading it, and the new content of each step. Pure, save for making keys.
 * Internal to serving.c and serving_secret.c. */
#ifndef GITMOOR_ADMISSION_SERVING_SECRET_H
#define GITMOOR_ADMISSION_SERVING_SECRET_H

#include "admission/serving.h"

/* A value of the Secret's data, decoded, to be freed; NULL if it is not there or not text. */
char *serving_value(const cJSON *secret, const char *key);

/* The Secret after the step, as it is to be written: with the resourceVersion of what it was made
 * from, so that of two replicas one fails. For the caller to free; NULL with the error filled. */
cJSON *serving_advance(const cJSON *secret, enum serving_step step,
                       const struct serving_options *options, int64_t now, struct error *error);

#endif
