/* Leases (coordination.k8s.io/v1): each replica holds one that names its role and its bus address,
 * everyone watches those of the roles it talks to, and the live ones share the work.
 *
 * Whether a replica lives is judged by when its Lease was last seen to change, on our own monotonic
 * clock: clocks of other machines decide nothing but how old a Lease is that we see for the first
 * time. So that nobody has to see a dead replica's for the first time, whoever notices that it ran
 * out deletes it. While the API server is out of reach, or takes no writes, nobody is declared
 * dead, since nobody can renew: whether it does is seen by the own Lease. */
#ifndef GITMOOR_KUBE_LEASE_H
#define GITMOOR_KUBE_LEASE_H

#include "common/kube/client.h"

#define KUBE_ROLE_LABEL "gitmoor.io/role"
#define KUBE_ADDRESS_ANNOTATION "gitmoor.io/bus-address"
#define KUBE_LEASE_SECONDS 15

struct kube_lease_options {
    const char *namespace_;
    const char *name;     /* of the Lease; one writer: the replica of this name */
    const char *role;     /* "differ" */
    const char *instance; /* the holder: "gitmoor-differ-0" */
    const char *address;  /* "tcp://10.1.2.3:7421" */
    unsigned seconds;     /* its duration; 0: KUBE_LEASE_SECONDS */
    /* UID of the Pod named `instance`, to whose life that of the Lease is tied; NULL: none. */
    const char *pod_uid;
};

struct kube_lease;
/* Writes the Lease at once, and again each third of its duration. All strings are copied. */
struct kube_lease *kube_lease_new(struct kube_client *client,
                                  const struct kube_lease_options *options);
/* Whether the last write that succeeded is younger than the duration. If not, the others have given
 * our work to somebody else. */
bool kube_lease_is_held(const struct kube_lease *lease);
/* Whether it was written as lately as it should have been: the API server takes writes. */
bool kube_lease_is_fresh(const struct kube_lease *lease);
/* Why the last write failed; NULL: it did not. */
const char *kube_lease_trouble(const struct kube_lease *lease);
/* Stops renewing and deletes the Lease, so that the others know at once. `done` (or NULL) is called
 * when that has been answered, for at most two seconds; a process that ends waits for it. */
void kube_lease_free(struct kube_lease *lease, void (*done)(void *context), void *context);

struct kube_peer {
    const char *instance;
    const char *address;
};

/* The live replicas of one role. */
struct kube_peers;
/* `changed` is called, from the event loop, after each change of who lives and where. */
struct kube_peers *kube_peers_new(struct kube_client *client, const char *namespace_,
                                  const char *role, void (*changed)(void *context), void *context);
/* From now on nobody is declared dead while this Lease is not fresh. NULL: it is not looked at. */
void kube_peers_witness(struct kube_peers *peers, const struct kube_lease *own);
void kube_peers_free(struct kube_peers *peers); /* allowed from within `changed` */
/* Whether the Leases have been listed: before, there are no peers because none are known. */
bool kube_peers_is_synced(const struct kube_peers *peers);
size_t kube_peers_count(const struct kube_peers *peers);
/* In order of their instances. Valid until the loop runs again. */
void kube_peers_each(const struct kube_peers *peers,
                     void (*visit)(const struct kube_peer *peer, void *context), void *context);
/* Whose share `key` is, by rendezvous hashing: when a replica comes or goes, only its own share
 * moves. False if nobody lives. */
bool kube_peers_owner(const struct kube_peers *peers, const char *key, struct kube_peer *ret);

#endif
