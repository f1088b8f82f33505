/* One run of the worker (worker.h) for a repository: the request is made and sent, and what comes
 * of it is taken as it comes (answer.h). There are two sorts:
 *
 *   a look    at a revision: says of each application whether its files have changed; renders those
 *             that are plain manifests, and defers the rest. A repository has one at a time
 *             (repository.c), and it takes milliseconds
 *   a build   of a few applications that other programs render, one after the other; whichever of
 *             them there was no time for is built by another run (builds.c) */
#ifndef GITMOOR_DIFFER_RUN_H
#define GITMOOR_DIFFER_RUN_H

#include "common/data/json.h"
#include "differ/differ.h"

struct child;
struct repository;

struct run {
    struct repository *repository;
    char *commit, *revision;
    uint64_t sequence;   /* the repository's, of that commit (repository.h) */
    bool is_build;       /* else a look */
    bool is_newest;      /* else of an earlier commit, for one that was rolled back to it */
    cJSON *applications; /* as it was asked for them */

    struct child *child;
    int64_t started; /* monotonic ms */
    void (*ended)(struct run *run);

    /* What has been taken of the answer. */
    bool begun;           /* its first line, which promises the rest */
    bool broken;          /* what follows is not understood, and not read */
    bool objects_missing; /* it says so */
    size_t answered;      /* applications */
    /* Once it has ended: why it is not complete; code 0: it is, but for those that there was no
     * time for. */
    struct error failure;
};

struct run_options {
    struct repository *repository;
    const char *commit, *revision;
    uint64_t sequence;
    bool is_newest;
    cJSON *applications; /* of run_add_application; the run's in any case */
    const char *build;   /* the name of a build, as worker.h has it; NULL: a look */
    const char *memory;  /* of a build; or NULL */
    const char *pack;    /* of a look; or NULL */
    bool tidy;
    /* Called once, from the loop; frees the run. Not called for one that could not be started. */
    void (*ended)(struct run *run);
};

/* NULL: it could not be started. */
struct run *run_start(const struct run_options *options, struct error *error);
/* Ends it, if it runs, without a call. NULL is fine. */
void run_free(struct run *run);

/* Adds the application to a request. `render_key`: what is known already, or NULL. */
void run_add_application(cJSON *applications, struct application *application,
                         const char *render_key);

/* Whether the application waits for the answer of this very run. */
bool run_is_for(const struct run *run, const struct application *application);

#endif
