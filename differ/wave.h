/* Waves: objects with the annotation gitmoor.io/wave are applied in the order of its numbers, and a
 * wave begins only when every object of those before is applied and healthy. Objects without it
 * are of wave 0. */
#ifndef GITMOOR_DIFFER_WAVE_H
#define GITMOOR_DIFFER_WAVE_H

#include <limits.h>

#define WAVE_ALL INT_MAX /* nothing holds any wave back */

struct application;

/* The wave that is under way: its objects, and those of waves before, may be applied. */
int wave_under_way(const struct application *application);

#endif
