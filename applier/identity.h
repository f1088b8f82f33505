/* On whose behalf a plan is carried out. The applier reads it from the Application itself, which it
 * watches; never from a message. Of each Application only the UID, the source and the service
 * account's name are kept. The tenancy settings say which account it may be, and which source. */
#ifndef GITMOOR_APPLIER_IDENTITY_H
#define GITMOOR_APPLIER_IDENTITY_H

#include "common/kube/client.h"
#include "common/kube/watch.h"
#include "common/run/tenancy_file.h"

struct identities;

struct identity_options {
    struct kube_client *client;          /* NULL: no watch; tests feed events by themselves */
    const struct tenancy_file *tenancy;  /* may be NULL: no settings */
    const char *default_service_account; /* "NAME" in the Application's namespace, or
                                          * "NAMESPACE/NAME" */
    void (*changed)(void *context);      /* an Application came, changed or went */
    void (*synced)(void *context);       /* first complete list, and each later one */
    void (*trouble)(const struct error *error, void *context); /* as kube_watch tells it */
    void *context;
};

/* Error: the default service account is not a name. */
struct identities *identities_new(const struct identity_options *options, struct error *error);
void identities_free(struct identities *identities);

/* Takes what the watch tells. */
void identities_take(struct identities *identities, const struct kube_event *event);
void identities_take_synced(struct identities *identities, uint64_t epoch);
bool identities_are_synced(const struct identities *identities);
size_t identities_count(const struct identities *identities);

/* The service account to act as for that Application; the strings live until the loop runs again.
 * ERROR_UNAVAILABLE, retryable: no such Application (with that UID) is known, which a watch that
 * lags behind may cure. ERROR_DENIED: it names what is no service account, or the tenancy settings
 * do not let it have the account or its source. */
bool identities_find(const struct identities *identities, const char *namespace_, const char *name,
                     const char *uid, struct kube_impersonation *ret, struct error *error);

/* The key of its GitRepository, by which differs share applications (docs/adr/0006); NULL: no such
 * Application ("namespace/name") is known. free(). */
char *identities_share(const struct identities *identities, const char *key);

/* A DNS-1123 subdomain, as service accounts are named; so it can neither be empty (then the applier
 * would act as itself: CVE-2026-23990) nor end an HTTP header or reach into another namespace. */
bool identity_is_name(const char *name);

#endif
