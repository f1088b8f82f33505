/* Which kinds the API server serves, under which paths: aggregated discovery. */
#ifndef GITMOOR_KUBE_RESOURCE_H
#define GITMOOR_KUBE_RESOURCE_H

#include "common/data/object.h"
#include "common/kube/client.h"

struct kube_resource {
    const char *group; /* "" for core */
    const char *version;
    const char *kind;
    const char *plural;
    bool namespaced;
    bool preferred; /* the version that the server prefers for this group and resource */
    bool watchable; /* verbs include list and watch */
};

struct kube_discovery; /* an immutable snapshot */

/* Fetches /api and /apis in the aggregated form (v2), and falls back to the unaggregated form for
 * groups of aggregated API servers that are listed without their resources. A group whose server
 * is down does not fail the whole; kube_discovery_partial then tells which. */
typedef void (*kube_discovery_fn)(struct kube_discovery *discovery, const struct error *error,
                                  void *context);
void kube_discovery_load(struct kube_client *client, kube_discovery_fn done, void *context);
bool kube_discovery_load_wait(struct kube_client *client, struct kube_discovery **ret,
                              struct error *error);
void kube_discovery_free(struct kube_discovery *discovery);

/* For tests: the two documents as the server sends them; either may be NULL. */
bool kube_discovery_parse(const cJSON *api, const cJSON *apis, struct kube_discovery **ret,
                          struct error *error);

/* The resource of group and kind in that version; version NULL: the preferred one. NULL if it is
 * not served. The pointer lives as long as the discovery. */
const struct kube_resource *kube_discovery_find(const struct kube_discovery *discovery,
                                                const char *group, const char *version,
                                                const char *kind);
/* Each resource of each version, once, in no particular order. */
void kube_discovery_each(const struct kube_discovery *discovery,
                         void (*visit)(const struct kube_resource *resource, void *context),
                         void *context);
/* A comma-separated list of groups that could not be read, "" if none. */
const char *kube_discovery_partial(const struct kube_discovery *discovery);
/* Whether the group is one of those: it is there, and of what is in it some is not known. */
bool kube_discovery_is_partial(const struct kube_discovery *discovery, const char *group);

/* "/apis/apps/v1/namespaces/shop/deployments/web". `name` may be NULL for the collection;
 * `namespace_` may be NULL or "" for cluster-scoped resources and for all namespaces. Every part is
 * percent-encoded, so that no name can leave its segment. */
void kube_resource_path(const struct kube_resource *resource, const char *namespace_,
                        const char *name, struct buf *out);

#endif
