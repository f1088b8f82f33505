#include "fetcher/reason.h"

#include "common/base/text.h"

static const char *const names[FETCH_REASONS] = {
    [FETCH_SUCCEEDED] = "Succeeded",
    [FETCH_FAILED] = "FetchFailed",
    [FETCH_AUTHENTICATION_FAILED] = "AuthenticationFailed",
    [FETCH_CERTIFICATE_INVALID] = "CertificateInvalid",
    [FETCH_HOST_KEY_INVALID] = "HostKeyInvalid",
    [FETCH_REPOSITORY_NOT_FOUND] = "RepositoryNotFound",
    [FETCH_BRANCH_NOT_FOUND] = "BranchNotFound",
    [FETCH_TAG_NOT_FOUND] = "TagNotFound",
    [FETCH_COMMIT_NOT_FOUND] = "CommitNotFound",
    [FETCH_EMPTY_REPOSITORY] = "EmptyRepository",
    [FETCH_TOO_LARGE] = "TooLarge",
    [FETCH_TIMEOUT] = "Timeout",
    [FETCH_UNREACHABLE] = "Unreachable",
    [FETCH_SECRET_INVALID] = "SecretInvalid",
    [FETCH_VERIFICATION_FAILED] = "VerificationFailed",
    [FETCH_UNSUPPORTED_URL] = "UnsupportedURL",
    [FETCH_UNSUPPORTED_FORMAT] = "UnsupportedFormat",
    [FETCH_INVALID_SPEC] = "InvalidSpec",
    [FETCH_NOT_ALLOWED] = "NotAllowed",
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
