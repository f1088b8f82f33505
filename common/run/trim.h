/* A process at rest gives back to the system what it does not need: what its work has left free in
 * the heap, and the pages of programs and libraries that only the loader, the start or some work
 * has read. They are the file's, unchanged: whoever reads one again has it back from the page
 * cache, at the price of a minor fault. docs/adr/0016 says what that is worth. */
#ifndef GITMOOR_RUN_TRIM_H
#define GITMOOR_RUN_TRIM_H

#include <stdint.h>

struct event_base;
struct trim;

#define TRIM_TICK_MS 1000

/* From now on by itself, looking each tick: when work has been followed by rest, and every tenth
 * tick of work that does not end. */
struct trim *trim_new(struct event_base *base, int64_t tick_ms);
void trim_free(struct trim *trim); /* NULL does nothing */

/* At once. */
void trim_now(void);

#endif
