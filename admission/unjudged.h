/* The answer to a review that cannot be judged: one with a "\u0000" in it, nested too deeply, too
 * large. It is refused as a review, by its uid, not as a bad request: the API server counts a bad
 * request as a failed call, which it lets pass under failurePolicy Ignore, so that an annotation
 * with a "\u0000" would be the way round every rule; and under Fail nobody is told why. */
#ifndef GITMOOR_ADMISSION_UNJUDGED_H
#define GITMOOR_ADMISSION_UNJUDGED_H

#include "common/base/buf.h"

#include <stdbool.h>

/* Refuses the review that begins so; `why` says what is wrong with it. False if it does not begin
 * as those of API servers do, to its uid: then it is not for us to answer. */
bool unjudged_answer(const char *beginning, size_t size, const char *why, struct buf *ret_body);

#endif
