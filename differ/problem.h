/* Problems: what is wrong with an application's objects, each with the place to mend it. They are
 * collected, so that all of them can be shown at once, and end up in status.errors, the Ready
 * condition and an Event. */
#ifndef GITMOOR_DIFFER_PROBLEM_H
#define GITMOOR_DIFFER_PROBLEM_H

#include "common/base/arena.h"
#include "common/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define PROBLEMS_MAXIMUM 50 /* kept; more are counted (status.errors is bounded by etcd) */

struct problem {
    const char *object; /* "Deployment shop/web", or "" */
    const char *file;   /* path in the repository, or "" */
    unsigned line;      /* 0: none */
    const char *message;
};

struct problems {
    struct arena arena;
    struct problem *list; /* of PROBLEMS_MAXIMUM, in the arena; NULL: none, as it mostly is */
    size_t count;         /* kept */
    size_t total;         /* seen */
};

void problems_init(struct problems *problems);
void problems_release(struct problems *problems);
void problems_clear(struct problems *problems);

void problems_add(struct problems *problems, const char *object, const char *file, unsigned line,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* "deploy/web.yaml:3: Deployment shop/web: …; …; and 4 more", as conditions and Events print it. */
void problems_describe(const struct problems *problems, struct buf *out);

#endif
