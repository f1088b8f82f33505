/* The spec of a GitRepository or HelmRepository, read once per generation. */
#ifndef GITMOOR_FETCHER_SPEC_H
#define GITMOOR_FETCHER_SPEC_H

#include "common/base/error.h"
#include "common/data/json.h"

struct repository_spec {
    char *url;
    char *branch; /* NULL where not given, as the next ten */
    char *tag;
    char *semver; /* a range of tags */
    char *name;   /* "refs/pull/1/head" */
    char *commit;
    char *chart;   /* of a HelmRepository */
    char *version; /* a range */
    char *digest;
    char *secret;
    char *proxy_secret;
    char *verify_secret; /* whose keys must have signed; NULL: signatures are not looked at */
    bool verify_head;    /* the commit, */
    bool verify_tag;     /* the tag, or both */
    int64_t interval_ms;
    int64_t timeout_ms;
    bool suspend;
};

/* Reads it from the whole object. False: something in it cannot be; the message names the field.
 * Then *ret is as if the rest were not there, and suspended or not as it says. */
bool repository_spec_read(const cJSON *object, struct repository_spec *ret, struct error *error);
/* Adds to a worker's request what is to be fetched, by the names of worker.h. */
void repository_spec_describe(const struct repository_spec *spec, cJSON *request);
void repository_spec_release(struct repository_spec *spec);

#endif
