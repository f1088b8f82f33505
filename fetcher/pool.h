/* The workers: a bounded number of children at once, the others wait in line. Fetches wait behind
 * packs, which are short and which the differ waits for. */
#ifndef GITMOOR_FETCHER_POOL_H
#define GITMOOR_FETCHER_POOL_H

#include "common/base/error.h"
#include "common/data/json.h"

#include <stddef.h>
#include <stdint.h>

struct event_base;
struct pool;
struct job;

struct pool_options {
    unsigned children;          /* at once */
    int64_t memory_maximum;     /* of each, in bytes of address space; 0: no limit */
    const char *const *command; /* ended by NULL; NULL: ourselves as worker */
};

struct pool *pool_new(struct event_base *base, const struct pool_options *options);
void pool_free(struct pool *pool); /* cancels all */

/* `answer` is the worker's, owned by the pool, NULL with an error if there is none (killed,
 * crashed, over a limit); `pack` is what came before it. All valid during the callback. */
typedef void (*job_fn)(const cJSON *answer, const char *pack, size_t pack_size,
                       const struct error *error, void *context);

struct job_options {
    const cJSON *request;  /* see worker.h; copied, and wiped after use, as it may hold secrets */
    size_t output_maximum; /* of pack and answer */
    int64_t timeout_ms;    /* from the start of the child; then it is killed */
    bool urgent;           /* before all that are not */
};

/* `done` is called once, from the loop, unless the job is cancelled. */
struct job *pool_add(struct pool *pool, const struct job_options *options, job_fn done,
                     void *context);
void job_cancel(struct job *job);

unsigned pool_running(const struct pool *pool);
unsigned pool_waiting(const struct pool *pool);

#endif
