/* gitmoor-fetcher: what its parts share. One per process, owned by main. */
#ifndef GITMOOR_FETCHER_FETCHER_H
#define GITMOOR_FETCHER_FETCHER_H

#include "common/base/map.h"
#include "common/bus/bus.h"
#include "common/kube/status.h"
#include "common/kube/watch.h"
#include "common/run/members.h"
#include "common/run/process.h"
#include "common/run/tenancy_file.h"
#include "fetcher/kind.h"
#include "fetcher/pool.h"
#include "fetcher/settings.h"

struct announcer;

struct fetcher {
    const struct fetcher_settings *settings;
    struct process *process;
    struct event_base *base;
    struct tenancy_file *tenancy;
    struct kube_client *client;
    struct source_watch {
        struct fetcher *fetcher;
        const struct source_kind *kind;
        struct kube_store *store;
    } watches[SOURCE_KINDS];
    struct kube_event_recorder *events;
    struct bus *bus;
    struct members *members;
    struct pool *pool;
    struct announcer *announcer;
    struct map
        repositories; /* key (object_source_word) to struct repository; this replica's share */
};

/* Whether all objects of all kinds are known. */
bool fetcher_is_synced(const struct fetcher *fetcher);
/* Whether there is such a repository, whoever has it. */
bool fetcher_knows(const struct fetcher *fetcher, const char *key);

/* Opens everything and starts to watch. Call fetcher_close also when this fails. */
bool fetcher_open(struct fetcher *fetcher, struct process *process,
                  const struct fetcher_settings *settings, struct error *error);
/* Tells the differ what is still to be told, for a bounded time. */
void fetcher_drain(struct fetcher *fetcher);
void fetcher_close(struct fetcher *fetcher);

#endif
