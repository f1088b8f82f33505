/* What all that speaks HTTPS here has in common: how a connection is made (TLS 1.2 or better,
 * authorities, client certificate, proxy, limits), and what a failure means. Used in workers only.
 */
#ifndef GITMOOR_FETCHER_TRANSPORT_CURL_H
#define GITMOOR_FETCHER_TRANSPORT_CURL_H

#include "common/base/buf.h"
#include "fetcher/transport.h"

#include <curl/curl.h>

bool transport_curl_library_open(struct error *error);

/* Whether the PEM text holds at least one certificate. */
bool transport_curl_check_authorities(const char *pem, struct error *error);
/* Whether the two are a certificate and its private key, which has no passphrase. */
bool transport_curl_check_identity(const char *certificate, const char *key, struct error *error);
/* Whether the address is one of a proxy: http:// or https://, without credentials. */
bool transport_curl_check_proxy(const char *address, struct error *error);

/* The authorities to trust: those of the Secret and the system's; empty where libcurl's own are
 * all. The buffer is initialised here, and is to outlive the transfers. */
void transport_curl_collect_authorities(const struct transport *transport, struct buf *ret);

/* Everything but the request itself and the credentials. */
void transport_curl_set_connection(CURL *easy, const struct transport *transport,
                                   const struct buf *authorities, char *error_text);
void transport_curl_set_credentials(CURL *easy, const struct transport *transport);

/* Ends a transfer, if there is one, and forgets it with its headers. */
void transport_curl_end(CURLM *multi, CURL **easy, struct curl_slist **headers);

/* The transfer of `url` failed with `code`. `connected`: a connection stood. Returns -1. */
int transport_curl_fail(struct transport *transport, const char *url, CURLcode code,
                        const char *error_text, bool connected);
/* The server answered `status`, which is no success; `retry_after` in seconds, or 0. `server`: what
 * it should be ("Git server"). Returns -1. */
int transport_curl_fail_status(struct transport *transport, const char *url, long status,
                               int64_t retry_after, const char *server);

/* What `reference`, a URL or a path, means on the page `base`; NULL unless that begins with
 * https:// and has no credentials in it. To be freed. */
char *transport_curl_resolve(const char *base, const char *reference);

/* Whether both URLs have the same scheme, host and port, and the second no credentials. */
bool transport_curl_same_server(const char *left, const char *right);

#endif
