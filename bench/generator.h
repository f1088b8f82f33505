/* What the load generators share. Nothing of it is Gitmoor's. */
#ifndef GITMOOR_BENCH_GENERATOR_H
#define GITMOOR_BENCH_GENERATOR_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Seconds, monotonic. */
static inline double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static inline void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

/* Without its newline, for the caller to free; NULL: there is none any more. */
static inline char *read_line(FILE *file)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size = getline(&line, &room, file);
    if (size < 0) {
        free(line);
        return NULL;
    }
    if (size > 0 && line[size - 1] == '\n') {
        line[size - 1] = '\0';
    }
    return line;
}

#endif
