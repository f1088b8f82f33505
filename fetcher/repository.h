/* One GitRepository or HelmRepository: when it is fetched, what came of it, and its share of the
 * workers.
 *
 * It is fetched when it appears or its spec changes, when the annotation
 * gitmoor.io/reconcile-requested-at changes, and each interval; after a failure sooner, with
 * backoff. One child at a time works in its mirror: a fetch, or a pack for the differ. */
#ifndef GITMOOR_FETCHER_REPOSITORY_H
#define GITMOOR_FETCHER_REPOSITORY_H

#include "fetcher/fetch.h"
#include "fetcher/fetcher.h"
#include "fetcher/spec.h"

#include <sys/queue.h>

/* A pack that the differ wants. Owned by the announcer's code in announce.c. */
struct pack_wanted {
    TAILQ_ENTRY(pack_wanted) link;
    struct bus_peer *peer;
    char *want;
    cJSON *have; /* array */
};

struct repository {
    struct fetcher *fetcher;
    const struct source_kind *kind;
    char *namespace_, *name, *uid;
    char *key;       /* "namespace/name", of a HelmRepository "namespace/helm:name" */
    char *directory; /* of the mirror */
    cJSON *object;   /* apiVersion, kind and metadata, for Events */

    struct repository_spec spec;
    struct error spec_error; /* code ERROR_NONE: the spec is good */
    int64_t generation;
    char *requested_at; /* value of the annotation, or NULL */

    /* What the mirror holds, as far as is known; "" before the first fetch. */
    char commit[FETCH_COMMIT_SIZE];
    char revision[FETCH_REVISION_SIZE];
    char digest[FETCH_DIGEST_SIZE]; /* of a chart; else "" */
    char *fetched_url;              /* repository_source of that; NULL before the first fetch */

    /* The status as the server has it, or will when the patch under way is there. */
    cJSON *status;
    bool status_unsent;
    struct kube_call *status_call;
    struct event *status_timer;

    /* The next fetch, or the one under way: gathering, then job. */
    struct event *timer;
    bool fetch_due;
    bool fetch_again; /* asked for while one was under way */
    bool not_allowed; /* the last fetch was refused by the tenancy settings */
    bool fresh;       /* the mirror is known to be broken */
    unsigned failures;
    int64_t retry_after_ms; /* what the server asked for, of the last failure */
    int64_t began_ms, ended_ms;
    struct gathering *gathering; /* of its Secrets */
    struct job *job;             /* at most one, be it a fetch or a pack */
    bool job_is_fetch;

    TAILQ_HEAD(, pack_wanted) packs; /* the first is under way if job is set and no fetch */
    unsigned packs_count;
    struct map told; /* differ's inbox to the last `revision` hint that it was sent */
};

/* The object as it is now in the API: makes or updates its repository. */
void repository_observe(struct fetcher *fetcher, const struct source_kind *kind,
                        const cJSON *object);
/* It is gone from the API: its mirror is removed. */
void repository_remove(struct fetcher *fetcher, const char *key);
void repository_free(void *repository);

/* Begins the work that is due, unless a child is in the mirror. */
void repository_step(struct repository *repository);
/* The tenancy settings are others: what they refuse now, or refused before, is looked at again. */
void repository_tenancy_changed(struct repository *repository);
/* What it is a mirror of: the URL, and the chart; to be freed. */
char *repository_source(const struct repository *repository);
/* A fetch is needed now. `fresh`: into a new mirror. */
void repository_fetch_now(struct repository *repository, bool fresh);

#endif
