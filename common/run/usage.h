/* What every process tells of itself in its metrics: the standard process_* ones and
 * gitmoor_build_info. */
#ifndef GITMOOR_RUN_USAGE_H
#define GITMOOR_RUN_USAGE_H

/* Registers them; calling it again changes nothing. */
void usage_register(void);

#endif
