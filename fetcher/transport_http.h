/* Git's smart protocol over HTTPS, on libcurl: Debian's libgit2 speaks TLS 1.2 at most.
 *
 * TLS 1.2 or better, HTTP/2 where the server has it; certificates are checked against the system's
 * authorities and the PEM text given. Redirects are followed for the first request only, to the
 * same host and port, as credentials go with them. Every transfer is bounded in bytes and time. */
#ifndef GITMOOR_FETCHER_TRANSPORT_HTTP_H
#define GITMOOR_FETCHER_TRANSPORT_HTTP_H

#include "fetcher/transport.h"

#include <git2.h>

/* For git_remote_callbacks.transport, with a struct transport * as the payload. */
int http_transport_new(git_transport **ret, git_remote *owner, void *transport);

/* For tests: whether a redirect from `base` to `target` may be followed, and then the new base.
 * `target` must be on the same scheme, host and port and end with
 * "/info/refs?service=git-upload-pack". Frees and replaces *base. */
bool http_transport_rebase(char **base, const char *target);

#endif
