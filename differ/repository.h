/* One GitRepository as the differ knows it: the newest revision announced, the objects of the
 * revisions in use, and the worker that renders from them. */
#ifndef GITMOOR_DIFFER_REPOSITORY_H
#define GITMOOR_DIFFER_REPOSITORY_H

#include "differ/differ.h"

struct child;

struct repository {
    struct differ *differ;
    char *key; /* "namespace/name" */
    char *uid; /* NULL until announced, as the next two */
    char *commit;
    char *revision;
    char *rendered; /* the commit that all its applications were last rendered from, or NULL */

    struct bus_peer *fetcher; /* whom the pack was asked of; NULL: nobody, or it is gone */
    char *pack_wanted;        /* the commit that was asked for last */
    bool pack_asked;          /* and not yet answered */
    uint64_t pack_hint;       /* to unsend */
    bool pack_fetching;
    char *pack_path;      /* a pack that waits for the worker, or NULL */
    bool objects_missing; /* the worker lacked objects: ask for a whole pack */

    struct child *worker;
    int64_t worker_started; /* monotonic ms */
    char *worker_commit, *worker_revision;
    bool worker_rolls_back; /* it renders one application from an earlier commit */
    char *trouble;          /* why it cannot be rendered now, or NULL */
    unsigned failures;
    struct event *timer; /* retry */
};

/* The repository of that key, made if it is not known. */
struct repository *repository_get(struct differ *differ, const char *key);
void repository_free(void *repository);

/* The hints `revision` and `pack` of the fetcher. False: the body is malformed (and dropped). */
bool repository_announced(struct differ *differ, const cJSON *body);
bool repository_pack_offered(struct differ *differ, struct bus_peer *peer, const cJSON *body);

/* The GitRepository of that uid was deleted: nothing is rendered from it any more. */
void repository_gone(struct differ *differ, const char *key, const char *uid);

/* Does what is due: ask for a pack, fetch it, render what needs it. */
void repository_step(struct repository *repository);

/* It failed lately, and its next try is a matter of time. */
bool repository_is_backing_off(const struct repository *repository);

/* Somebody asked for it: a failure is no reason to wait any more. */
void repository_try_at_once(struct repository *repository);

/* It cannot be rendered, and is tried again after a while; NULL: it can. */
void repository_set_trouble(struct repository *repository, const char *message);

/* Why its content cannot be rendered now, or NULL. `is_waited_for`: the caller has nothing to go on
 * with; else a failure that may pass is not told. */
const char *repository_trouble(const struct repository *repository, bool is_waited_for);

/* Fetchers came or went: the question is put to the one who has the repository now. */
void repository_fetchers_changed(struct repository *repository);

/* A replica of the fetcher is gone: what it was asked is asked of another. */
void repository_peer_gone(struct repository *repository, const struct bus_peer *peer);

/* The fetcher has restarted: what it was asked may be forgotten. */
void repository_fetcher_restarted(struct repository *repository);

#endif
