/* fork and exec, the half of child.c that runs between the two. */
#ifndef GITMOOR_RUN_SPAWN_H
#define GITMOOR_RUN_SPAWN_H

#include "common/run/child.h"

#include <sys/types.h>

struct spawned {
    pid_t pid; /* and its process group */
    int pidfd; /* readable once it has ended */
    int input; /* our ends of its standard streams, non-blocking */
    int output;
    int error;
};

/* Returns once the program runs; the caller closes the descriptors and reaps the child. */
bool spawn(const struct child_options *options, struct spawned *ret, struct error *error);

#endif
