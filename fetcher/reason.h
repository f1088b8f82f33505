/* Why a fetch or a pack failed, as the word that stands in conditions, Events and metrics. */
#ifndef GITMOOR_FETCHER_REASON_H
#define GITMOOR_FETCHER_REASON_H

#include <stdbool.h>
#include <stdint.h>

enum fetch_reason {
    FETCH_SUCCEEDED,
    FETCH_FAILED, /* none of those below: the message says what */
    FETCH_AUTHENTICATION_FAILED,
    FETCH_CERTIFICATE_INVALID,
    FETCH_HOST_KEY_INVALID, /* of an SSH server: unknown, or another than before */
    FETCH_REPOSITORY_NOT_FOUND,
    FETCH_BRANCH_NOT_FOUND,
    FETCH_TAG_NOT_FOUND,
    FETCH_REFERENCE_NOT_FOUND,
    FETCH_COMMIT_NOT_FOUND,
    FETCH_EMPTY_REPOSITORY,
    FETCH_TOO_LARGE,
    FETCH_TIMEOUT,
    FETCH_UNREACHABLE,
    FETCH_TOO_MANY_REQUESTS,   /* the server asks us to come less often */
    FETCH_SECRET_INVALID,      /* the Secret is not there, or holds nothing that can be used */
    FETCH_VERIFICATION_FAILED, /* not signed as spec.verify demands */
    FETCH_UNSUPPORTED_URL,
    FETCH_UNSUPPORTED_FORMAT, /* object format SHA-256, which libgit2 1.8 does not read */
    FETCH_INVALID_SPEC,       /* a duration or a name that cannot be */
    FETCH_NOT_ALLOWED,        /* the tenancy settings refuse the URL */
    FETCH_CHART_NOT_FOUND,
    FETCH_VERSION_NOT_FOUND,
    FETCH_INVALID_INDEX,   /* of a chart repository */
    FETCH_INVALID_CHART,   /* the archive is none, or holds what a chart may not */
    FETCH_DIGEST_MISMATCH, /* a chart is not the one that it should be */
    FETCH_BROKEN_MIRROR,   /* what is on our disk cannot be read: it must be fetched anew */
    FETCH_REASONS
};

/* "AuthenticationFailed", …; never NULL. */
const char *fetch_reason_name(enum fetch_reason reason);
/* FETCH_FAILED for an unknown or missing name. */
enum fetch_reason fetch_reason_from_name(const char *name);
/* Whether nothing but a change of the spec can help: then the condition Stalled is true, and no
 * fetch is tried before the object changes. */
bool fetch_reason_is_stalled(enum fetch_reason reason);
/* How many milliseconds to wait after so many failures in a row, this one the last: longer and
 * longer, up to the interval of the repository; and as long as the server asks for (0: it does
 * not), which for an hour is obeyed. */
int64_t fetch_reason_backoff(enum fetch_reason reason, unsigned failures, int64_t interval_ms,
                             int64_t retry_after_ms);

#endif
