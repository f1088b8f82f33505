/* What every transport of Git's protocol is given, and what it gives back: transport_http.h and
 * transport_ssh.h are subtransports for libgit2, whose own lack deadlines, TLS 1.3 and half the key
 * types (PITFALLS §1). Used in workers only. */
#ifndef GITMOOR_FETCHER_TRANSPORT_H
#define GITMOOR_FETCHER_TRANSPORT_H

#include "common/base/error.h"
#include "fetcher/reason.h"

#include <stdint.h>

/* The list of references: 100 bytes each make this more than 300,000 of them. */
#define TRANSPORT_ADVERTISEMENT_MAXIMUM ((uint64_t)32 << 20)

struct transport {
    /* Set by the caller; the strings must outlive the fetch. NULL where not given. */
    const char *url;
    const char *username;
    const char *password;
    const char *bearer_token;
    const char *authorities; /* PEM: to trust besides the system's; checked beforehand */
    const char *identity;    /* private key for SSH, as ssh-keygen writes it */
    const char *known_hosts; /* the SSH servers' keys */
    const char *certificate; /* PEM: a client's, with its key; checked beforehand, as the next */
    const char *key;
    const char *proxy; /* for HTTPS; NULL: what the environment says */
    const char *proxy_username;
    const char *proxy_password;
    uint64_t receive_maximum; /* bytes of pack data */
    int64_t deadline_ms;      /* monotonic clock */

    /* Filled by the transport: why the first thing failed that did. */
    enum fetch_reason reason; /* FETCH_SUCCEEDED: nothing did */
    struct error error;
    int64_t retry_after_ms; /* what the server asks for; 0: nothing */
    uint64_t received;      /* bytes of bodies */
};

/* Notes the first failure, for the message that people get, and tells libgit2 that there is one.
 * Returns -1. */
int transport_fail(struct transport *transport, enum fetch_reason reason, enum error_code code,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* transport_fail for a fetch that took longer than its deadline. */
int transport_fail_timeout(struct transport *transport);

#endif
