/* Membership: which replicas of the other processes live, and whose share a key is (DESIGN §2).
 *
 * In a cluster each replica holds a Lease that names its role and bus address. This watches the
 * Leases of the roles at the other ends of a process's links, and of its own role; adds and removes
 * peers of the bus as replicas come and go; and answers who owns a key. Outside a cluster there is
 * no Lease: peers come from flags, one of each role, and every key is one's own. */
#ifndef GITMOOR_RUN_MEMBERS_H
#define GITMOOR_RUN_MEMBERS_H

#include "common/bus/bus.h"
#include "common/kube/client.h"
#include "common/run/process.h"

/* A role at the other end of a link, and its inbox by flag (NULL or "": none). */
struct members_link {
    const char *role; /* "differ" */
    enum bus_link link;
    const char *inbox;
};

#define MEMBERS_LINKS_MAXIMUM 3 /* the differ has the most */

struct members_options {
    struct process *process;
    const struct process_settings *settings; /* lease_namespace, bus, bus_advertise */
    struct kube_client *client;
    struct bus *bus;
    const char *role; /* one's own */
    struct members_link links[MEMBERS_LINKS_MAXIMUM];
    size_t count;
    /* Who owns what may have changed. Called from the event loop. May be
     * NULL. */
    void (*changed)(void *context);
    /* The peer is about to be removed from the bus: forget it. May be NULL. */
    void (*gone)(struct bus_peer *peer, void *context);
    void *context;
};

struct members;

/* With --lease-namespace, takes part by Leases; otherwise adds the peers that the flags name. */
struct members *members_new(const struct members_options *options, struct error *error);
/* Gives the own Lease back, so that the others take over at once; runs the loop for up to 2.5 s.
 * From then on members_may_work is false. The first thing when a process ends, while all its parts
 * stand. NULL is fine. */
void members_leave(struct members *members);
/* Leaves, if that has not been done. NULL is fine. */
void members_free(struct members *members);

/* Whether it is known who shares the work: at once without Leases. */
bool members_is_ready(const struct members *members);

/* Whether this replica does the work that `key` names. False while it is not known. */
bool members_is_mine(const struct members *members, const char *key);

/* False while the own Lease is not held: somebody else may be doing our work, so that nothing may
 * be begun that two must not do. What is ours stays ours: when the API server is out of reach of
 * all, nobody loses anything. `changed` is called when it is held again. */
bool members_may_work(const struct members *members);

/* The replica of the role that owns the key, as a peer of the bus; NULL if nobody lives. */
struct bus_peer *members_owner(const struct members *members, const char *role, const char *key);

/* Each living peer of the role. */
void members_each(const struct members *members, const char *role,
                  void (*visit)(struct bus_peer *peer, void *context), void *context);

#endif
