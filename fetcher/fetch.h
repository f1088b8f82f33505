/* One fetch of one repository into its mirror, what was found, and who signed it. Runs in a worker:
 * it blocks, and it reads what strangers sent.
 *
 * The whole history of the one branch or tag is fetched once, and then what is new. A shallow fetch
 * would transfer less the first time, but could not tell a forced push from an ordinary one, nor
 * whether a commit is on a branch, since both are questions about ancestry. */
#ifndef GITMOOR_FETCHER_FETCH_H
#define GITMOOR_FETCHER_FETCH_H

#include "common/base/error.h"
#include "common/data/json.h"
#include "fetcher/reason.h"
#include "fetcher/verify.h"

#include <stdbool.h>
#include <stdint.h>

#define FETCH_COMMIT_SIZE 41    /* 40 hex digits and the NUL */
#define FETCH_REVISION_SIZE 320 /* a name of 255, "@sha1:", 40 hex digits */

#define FETCH_DIGEST_SIZE 72 /* "sha256:", 64 hex digits and the NUL */

struct fetch_request {
    const char *directory; /* of the mirror; exists */
    const char *url;
    const char *branch; /* at most one of the four; none: the server's default branch */
    const char *tag;
    const char *semver; /* the highest tag in the range */
    const char *name;   /* a reference by its full name */
    const char
        *commit; /* stay there; must be on the branch or name, or what the tag names, if given */
    const char *previous; /* revision text of the last fetch, or NULL: tells a forced push */
    const char *username; /* credentials: NULL where not given */
    const char *password;
    const char *bearer_token;
    const char *authorities; /* PEM, or NULL */
    const char *certificate; /* a client's, PEM, with its key */
    const char *key;
    const char *proxy; /* its URL; NULL: what the environment says */
    const char *proxy_username;
    const char *proxy_password;
    const char *identity; /* for ssh */
    const char *known_hosts;
    const struct verify_keys *keys; /* NULL: signatures are not looked at */
    bool verify_tag;                /* with keys: the annotated tag `tag` must be signed */
    bool verify_head;               /* with keys: the commit must be */
    uint64_t size_maximum;          /* bytes that the mirror may have */
    int64_t timeout_ms;
    bool allow_file_urls;
    bool fresh; /* the mirror is known to be broken: clone anew */

    /* Of a chart (chart.h). */
    const char *chart;   /* its name; NULL: it is Git */
    const char *version; /* a range; NULL: the highest release */
    const char *digest;  /* "sha256:…" that it must have, or NULL */
    /* URLs that may be asked besides the repository's server, as patterns of the tenancy settings
     * in an array; NULL: any. */
    const cJSON *servers;
};

struct fetch_result {
    char commit[FETCH_COMMIT_SIZE];
    char revision[FETCH_REVISION_SIZE]; /* "main@sha1:…", or "sha1:…" for a commit alone */
    bool forced; /* the branch was at `previous`, which is not an ancestor of the commit; or a chart
                  * of that version was another */
    bool cloned; /* the mirror was made anew */
    uint64_t received_bytes;
    char signer[VERIFY_SIGNER_SIZE]; /* of the commit, or else of the tag; "" without keys */
    char digest[FETCH_DIGEST_SIZE];  /* of a chart; else "" */
    int64_t retry_after_ms;          /* after a failure: what the server asks for; 0: nothing */
};

/* From a worker's request (worker.h), whose strings it points into; what is not in it is NULL. The
 * keys are left to the caller. */
void fetch_request_read(const cJSON *request, struct fetch_request *ret);

/* False: *ret_reason and the error say why; the message names the URL and what to do, and never
 * holds a credential; of the result, only retry_after_ms is filled. */
bool fetch_run(const struct fetch_request *request, struct fetch_result *ret,
               enum fetch_reason *ret_reason, struct error *error);

/* Whether what its Secrets hold can be used. */
bool fetch_check_credentials(const struct fetch_request *request, struct error *error);

/* Whether the URL is one that this fetcher can use. */
bool fetch_check_url(const char *url, bool allow_file_urls, enum fetch_reason *ret_reason,
                     struct error *error);

#endif
