/* Break-glass reasons of the last minutes, by the uid of the object that they were written on.
 *
 * A Scale has its parent's uid but not its annotations, so that a reason written on the parent
 * beforehand is not in the review of /scale; and no request is made while a review is answered.
 * Where the parent is of a built-in kind, what wrote it was reviewed (webhooks.c, `reasons`), and
 * is remembered here. This is a convenience of one replica: another one has not heard of it and
 * asks for the reason in the Scale itself, which is always understood. */
#ifndef GITMOOR_ADMISSION_REASONS_H
#define GITMOOR_ADMISSION_REASONS_H

#include <stdint.h>

#define REASONS_MAXIMUM 256 /* the oldest goes first */
#define REASONS_TIME_MS ((int64_t)10 * 60 * 1000)

struct reasons;

struct reasons *reasons_new(void);
void reasons_free(struct reasons *reasons);
/* Copies both. `now`: monotonic milliseconds. */
void reasons_note(struct reasons *reasons, const char *uid, const char *reason, int64_t now);
/* NULL if there is none that is young enough. Valid until the next note. */
const char *reasons_find(const struct reasons *reasons, const char *uid, int64_t now);

#endif
