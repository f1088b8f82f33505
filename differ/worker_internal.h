/* What the files of the worker share. Nobody else includes this.
 *   worker.c          a run from its request to the end of its answer, and the sandbox around it
 *   worker_request.c  what is asked for
 *   worker_answer.c   what is said of one application */
#ifndef GITMOOR_DIFFER_WORKER_INTERNAL_H
#define GITMOOR_DIFFER_WORKER_INTERNAL_H

#include "common/base/digest.h"
#include "common/data/json.h"
#include "differ/render/odb.h"
#include "differ/render/render.h"
#include "differ/worker.h"

#define WORKER_REQUEST_MAXIMUM ((size_t)64 << 20)
/* Below the repository, and nothing of Git's: has a directory of each run that builds. */
#define WORKER_SCRATCH "build"

struct event_base;
struct worker_output; /* what is rendered of one application */

struct worker_application {
    const char *key;
    const char *path;
    const char *known; /* render key of the caller, "" if none */
    const cJSON *spec; /* spec.render, or NULL */
    const char *target_namespace;
    const char *name, *namespace_; /* NULL: unknown */
    const cJSON *values;           /* texts, or NULL */
    const cJSON *variables;        /* strings, or NULL */
    const cJSON *decryption;       /* keys, or NULL */
    char render_key[DIGEST_HEX_SIZE];
    bool is_chart;
    struct render_scan *scan;     /* NULL: unchanged */
    struct worker_output *output; /* NULL: not begun */
    struct render_job *job;       /* NULL: not, or no longer, being built */
    struct error failure;         /* which is not the files' doing */
};

struct worker {
    cJSON *request;
    const char *repository;
    const char *pack;   /* or NULL */
    char *scratch;      /* of what is built; NULL: nothing is */
    const char *memory; /* a directory that is in memory, or NULL */
    struct error memory_problem;
    const char *commit;
    const char *revision;
    int64_t build_timeout_ms; /* of one application that another program builds */
    int64_t build_memory;     /* bytes; 0: no limit */
    int64_t begin_until;      /* monotonic ms: no application is begun afterwards; 0: no limit */
    bool tidies;
    struct worker_application *applications;
    size_t count;
    struct event_base *loop;
    struct odb *odb;
    struct source *source;
};

/* worker_request.c. False: it is not one that can be answered, and the error says why. */
bool worker_read_request(struct worker *worker, const char *text, size_t size, struct error *error);

/* worker_answer.c */
/* A line of the answer. */
bool worker_print(FILE *out, const cJSON *line, struct error *error);
/* Before the first line: what the application is rendered from, unless that is known already.
 * False: the repository lacks something. */
bool worker_scan(struct worker *worker, struct worker_application *application,
                 struct error *error);
/* All that there is to say of it. False: it could not be written. */
bool worker_answer_one(struct worker *worker, struct worker_application *application, FILE *out,
                       struct error *error);
void worker_end_application(struct worker_application *application);

#endif
