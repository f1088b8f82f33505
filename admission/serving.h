/* The serving certificate: made, kept in a Secret that the replicas share, and replaced in time.
 *
 * Each certificate has a certificate authority of its own, whose key is thrown away once it has
 * signed. The Secret holds
 *     tls.crt, tls.key, ca.crt        what is served, and its authority
 *     next.crt, next.key, next-ca.crt what will be served (during a rotation)
 *     previous-ca.crt                 the authority of what was served before (during a rotation)
 * and a rotation is three writes of it, each by whichever replica is first (the others' fail by
 * resourceVersion, and they read what it wrote):
 *     1. next is made. Every replica registers the bundle of both authorities.
 *     2. When the bundle stands, and API servers have had the grace to learn of it, next becomes
 *        current, and current's authority previous. Replicas serve it as they hear of it; until
 *        then what they serve is trusted by the same bundle.
 *     3. After the grace again, previous is dropped.
 * So at no time is anything served that the registered bundle does not vouch for. */
#ifndef GITMOOR_ADMISSION_SERVING_H
#define GITMOOR_ADMISSION_SERVING_H

#include "common/data/json.h"
#include "common/kube/client.h"

#define SERVING_SECRET "gitmoor-admission-tls"

struct serving;

struct serving_options {
    const char *namespace_;
    const char *const *names; /* host names and addresses to be reached by; ended by NULL */
    unsigned days;            /* of validity; replaced after two thirds */
    int64_t grace_ms;
    /* Serve this from now on. Also told of the first. */
    bool (*serve)(const char *certificate, const char *key, void *context, struct error *error);
    /* Register this bundle of authorities. */
    void (*trust)(const char *ca_bundle, void *context);
    void *context;
};

struct serving *serving_new(struct event_base *base, struct kube_client *client,
                            const struct serving_options *options);
void serving_free(struct serving *serving);

/* This bundle stands in the API server. */
void serving_trusted(struct serving *serving, const char *ca_bundle);

/* ---- What to do next: the pure part ---- */

enum serving_step {
    SERVING_KEEP,    /* nothing is due */
    SERVING_RENEW,   /* there is none, or it cannot be used: make a new one, serve it at once */
    SERVING_STAGE,   /* it ends soon, or somebody asked: make the next */
    SERVING_PROMOTE, /* the next has been announced long enough */
    SERVING_RETIRE   /* the previous authority is no longer needed */
};

/* `secret` is the Secret as the API server holds it, or NULL; `trusted` the bundle that is known to
 * stand, or NULL; `now` wall-clock milliseconds. `ret_why` gets a few words. */
enum serving_step serving_decide(const cJSON *secret, const struct serving_options *options,
                                 const char *trusted, int64_t now, const char **ret_why);

/* All authorities of the Secret, current first; to be freed. NULL if there is no usable one. */
char *serving_bundle(const cJSON *secret);

#endif
