/* One GitRepository as the differ knows it: the newest revision announced, the objects of the
 * revisions in use, and the looks at them (run.h). */
#ifndef GITMOOR_DIFFER_REPOSITORY_H
#define GITMOOR_DIFFER_REPOSITORY_H

#include "differ/differ.h"

struct run;

struct repository {
    struct differ *differ;
    char *key; /* "namespace/name" */
    char *uid; /* NULL until announced, as the next two */
    char *commit;
    char *revision;
    uint64_t sequence; /* number of `commit`: of those announced, the how manieth. 0: none yet */
    char *looked;      /* the commit that all its applications were last looked at; or NULL */

    struct bus_peer *fetcher; /* whom the pack was asked of; NULL: nobody, or it is gone */
    char *pack_wanted;        /* the commit that was asked for last */
    bool pack_asked;          /* and not yet answered */
    uint64_t pack_hint;       /* to unsend */
    bool pack_fetching;
    char *pack_path;      /* a pack that waits for the worker, or NULL */
    bool objects_missing; /* the worker lacked objects: ask for a whole pack */

    struct run *look; /* or NULL */
    uint64_t turn;    /* waits for its turn to look: the lowest is next; 0: it does not wait */

    /* The newest commit that is known to be whole here: what is built, is built from it. */
    char *whole_commit, *whole_revision; /* or NULL */
    uint64_t whole_sequence;
    size_t builds;       /* runs that build, under way */
    uint64_t build_turn; /* when the last of them began, in an order of all */
    size_t builds_due;   /* counted anew whenever builds are begun (builds.c) */

    char *trouble; /* why it cannot be looked at now, or NULL */
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

/* The build says that the objects of its commit are not whole after all: they are asked for. */
void repository_lacks_objects(struct repository *repository, const struct run *build);

/* The objects of the look's commit are whole: builds are made from it. */
void repository_set_whole(struct repository *repository, const struct run *look);

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
