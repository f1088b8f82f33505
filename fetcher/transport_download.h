/* Files by HTTPS: an index, an archive, what a registry answers. Used in workers only.
 *
 * Redirects are followed, to other servers too, but credentials go to the server of the transport's
 * URL and nowhere else. Every body is bounded; the transport's deadline holds for all. */
#ifndef GITMOOR_FETCHER_TRANSPORT_DOWNLOAD_H
#define GITMOOR_FETCHER_TRANSPORT_DOWNLOAD_H

#include "common/base/buf.h"
#include "common/data/json.h"
#include "fetcher/transport.h"

/* The connections of one fetch. */
struct downloads;

/* `server` names what is asked, in messages ("chart repository"). `servers`: which URLs may be
 * asked on other servers than that of the transport's URL (tenancy_url_matches). All outlive it. */
struct downloads *downloads_new(struct transport *transport, const char *server,
                                const cJSON *servers, struct error *error);
void downloads_free(struct downloads *downloads);

struct download {
    const char *url;
    const char *accept; /* media types, or NULL */
    const char *etag;   /* answered by 304 if it is still that; or NULL */
    const char *what;   /* for messages: "the index" */
    size_t maximum;     /* bytes of the body */
    /* Instead of the transport's credentials, and also for its server only: a token that it handed
     * out; or, where `own_credentials` is set, the transport's for this server too. */
    const char *token;
    bool own_credentials; /* to this server, wherever it is: its own server named it */
    bool statuses;        /* 401 and 404 are answers, not failures */
    bool compressible;    /* text, which the server may compress */

    /* The answer. */
    long status;     /* 200, 304, or as `statuses` says */
    struct buf body; /* to be released by the caller, also after a failure */
    char *etag_now;  /* NULL: none; to be freed, as the next two */
    char *challenge; /* WWW-Authenticate */
    char *next;      /* the URL in Link: <…>; rel="next" */
};

/* False: the transport says why. */
bool download_run(struct downloads *downloads, struct download *download);
void download_release(struct download *download);
#define AUTO_DOWNLOAD __attribute__((cleanup(download_release)))

#endif
