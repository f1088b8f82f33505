/* What is said to the differ, and what it asks for (ARCHITECTURE, link fetcher-differ): `revision`
 * hints, `pack-wanted`, `pack`. Recent packs are kept, so that a question that comes twice costs
 * nothing. */
#ifndef GITMOOR_FETCHER_ANNOUNCE_H
#define GITMOOR_FETCHER_ANNOUNCE_H

#include "fetcher/repository.h"

struct announcer *announcer_new(struct fetcher *fetcher);
void announcer_free(struct announcer *announcer);

/* For bus_handlers, with the fetcher as context. */
bool announcer_take_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                         void *fetcher);
void announcer_peer_up(struct bus_peer *peer, void *fetcher);
/* A replica of the differ is gone: what it asked for is forgotten. */
void announcer_peer_gone(struct bus_peer *peer, void *fetcher);

/* Tells every replica of the differ where the repository is. */
void announce_revision(struct repository *repository);
void announce_all(struct fetcher *fetcher);

/* Starts the first of repository->packs; the repository's job must be free. */
void announce_start_pack(struct repository *repository);
/* The repository goes away: answers what waits with an error. */
void announce_drop_packs(struct repository *repository);

#endif
