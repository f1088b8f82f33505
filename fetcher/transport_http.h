/* Git's smart protocol over HTTPS, on libcurl: a subtransport for libgit2, which Debian builds with
 * TLS 1.2 at most, no deadlines and no client certificates (PITFALLS §1). Used in workers only.
 *
 * TLS 1.2 or better, HTTP/2 where the server has it; certificates are checked against the system's
 * authorities and the PEM text given. Redirects are followed for the first request only, to the
 * same host and port, as credentials go with them. Every transfer is bounded in bytes and time. */
#ifndef GITMOOR_FETCHER_TRANSPORT_HTTP_H
#define GITMOOR_FETCHER_TRANSPORT_HTTP_H

#include "common/base/error.h"
#include "fetcher/reason.h"

#include <git2.h>
#include <stdint.h>

struct http_transport {
    /* Set by the caller; the strings must outlive the fetch. NULL where not given. */
    const char *url;
    const char *username;
    const char *password;
    const char *bearer_token;
    const char *authorities;  /* PEM: to trust besides the system's; checked beforehand */
    uint64_t receive_maximum; /* bytes of pack data */
    int64_t deadline_ms;      /* monotonic clock */

    /* Filled by the transport: why the first thing failed that did. */
    enum fetch_reason reason; /* FETCH_SUCCEEDED: nothing did */
    struct error error;
    uint64_t received; /* bytes of bodies */
};

bool http_transport_library_open(struct error *error);

/* For git_remote_callbacks.transport, with a struct http_transport * as the payload. */
int http_transport_new(git_transport **ret, git_remote *owner, void *transport);

/* Whether the PEM text holds at least one certificate. */
bool http_transport_check_authorities(const char *pem, struct error *error);

/* For tests: whether a redirect from `base` to `target` may be followed, and then the new base.
 * `target` must be on the same scheme, host and port and end with
 * "/info/refs?service=git-upload-pack". Frees and replaces *base. */
bool http_transport_rebase(char **base, const char *target);

#endif
