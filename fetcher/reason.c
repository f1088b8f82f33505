#include "fetcher/reason.h"

#include "common/base/text.h"

#define BACKOFF_FIRST_MS 1000
/* Servers lock out whoever keeps knocking with credentials that they refuse. */
#define BACKOFF_FIRST_REFUSED_MS 10000
/* A server that cannot be reached is asked so often that whatever an outage held up has arrived
 * half a minute after its end (docs/failure-modes.md); it costs a server that is not there nothing.
 */
#define BACKOFF_LAST_UNREACHABLE_MS 20000
/* A server's word is not taken for longer. */
#define RETRY_AFTER_MAXIMUM_MS 3600000

static const char *const names[FETCH_REASONS] = {
    [FETCH_SUCCEEDED] = "Succeeded",
    [FETCH_FAILED] = "FetchFailed",
    [FETCH_AUTHENTICATION_FAILED] = "AuthenticationFailed",
    [FETCH_CERTIFICATE_INVALID] = "CertificateInvalid",
    [FETCH_HOST_KEY_INVALID] = "HostKeyInvalid",
    [FETCH_REPOSITORY_NOT_FOUND] = "RepositoryNotFound",
    [FETCH_BRANCH_NOT_FOUND] = "BranchNotFound",
    [FETCH_TAG_NOT_FOUND] = "TagNotFound",
    [FETCH_REFERENCE_NOT_FOUND] = "ReferenceNotFound",
    [FETCH_COMMIT_NOT_FOUND] = "CommitNotFound",
    [FETCH_EMPTY_REPOSITORY] = "EmptyRepository",
    [FETCH_TOO_LARGE] = "TooLarge",
    [FETCH_TIMEOUT] = "Timeout",
    [FETCH_UNREACHABLE] = "Unreachable",
    [FETCH_TOO_MANY_REQUESTS] = "TooManyRequests",
    [FETCH_SECRET_INVALID] = "SecretInvalid",
    [FETCH_VERIFICATION_FAILED] = "VerificationFailed",
    [FETCH_UNSUPPORTED_URL] = "UnsupportedURL",
    [FETCH_UNSUPPORTED_FORMAT] = "UnsupportedFormat",
    [FETCH_INVALID_SPEC] = "InvalidSpec",
    [FETCH_NOT_ALLOWED] = "NotAllowed",
    [FETCH_CHART_NOT_FOUND] = "ChartNotFound",
    [FETCH_VERSION_NOT_FOUND] = "VersionNotFound",
    [FETCH_INVALID_INDEX] = "InvalidIndex",
    [FETCH_INVALID_CHART] = "InvalidChart",
    [FETCH_DIGEST_MISMATCH] = "DigestMismatch",
    [FETCH_BROKEN_MIRROR] = "BrokenMirror",
};

const char *fetch_reason_name(enum fetch_reason reason)
{
    return (unsigned)reason < FETCH_REASONS ? names[reason] : names[FETCH_FAILED];
}

enum fetch_reason fetch_reason_from_name(const char *name)
{
    for (unsigned i = 0; i < FETCH_REASONS; i++) {
        if (text_equal(name, names[i])) {
            return (enum fetch_reason)i;
        }
    }
    return FETCH_FAILED;
}

bool fetch_reason_is_stalled(enum fetch_reason reason)
{
    return reason == FETCH_UNSUPPORTED_URL || reason == FETCH_INVALID_SPEC ||
           reason == FETCH_UNSUPPORTED_FORMAT || reason == FETCH_NOT_ALLOWED;
}

int64_t fetch_reason_backoff(enum fetch_reason reason, unsigned failures, int64_t interval_ms,
                             int64_t retry_after_ms)
{
    int64_t delay =
        reason == FETCH_AUTHENTICATION_FAILED ? BACKOFF_FIRST_REFUSED_MS : BACKOFF_FIRST_MS;
    int64_t limit = interval_ms;
    if (reason == FETCH_UNREACHABLE && limit > BACKOFF_LAST_UNREACHABLE_MS) {
        limit = BACKOFF_LAST_UNREACHABLE_MS;
    }
    for (unsigned i = 1; i < failures && delay < limit; i++) {
        delay *= 2;
    }
    delay = delay < limit ? delay : limit;
    if (retry_after_ms > RETRY_AFTER_MAXIMUM_MS) {
        retry_after_ms = RETRY_AFTER_MAXIMUM_MS;
    }
    return delay > retry_after_ms ? delay : retry_after_ms;
}
