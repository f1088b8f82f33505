/* X.509 for the admission webhook: a certificate authority of our own, and the serving certificates
 * it signs. Keys are ECDSA P-256; everything is PEM text. */
#ifndef GITMOOR_CRYPTO_CERTIFICATE_H
#define GITMOOR_CRYPTO_CERTIFICATE_H

#include "common/base/error.h"

#include <stdint.h>

struct certificate_pair {
    char *certificate; /* PEM */
    char *key;         /* PEM, PKCS#8 */
};
void certificate_pair_release(struct certificate_pair *pair);

/* A self-signed CA, valid from five minutes ago (clocks differ) for `days`, at most
 * CERTIFICATE_DAYS_MAXIMUM. Each has a key and key identifier of its own, so that an old and a new
 * one of the same name can stand in one bundle. */
#define CERTIFICATE_DAYS_MAXIMUM 36500
bool certificate_new_authority(const char *common_name, unsigned days, struct certificate_pair *ret,
                               struct error *error);

/* A serving certificate for the names (DNS names or IP addresses, at least one, ended by NULL). */
bool certificate_new_serving(const struct certificate_pair *authority, const char *const *names,
                             unsigned days, struct certificate_pair *ret, struct error *error);

/* When the first certificate of the text ends, as wall-clock milliseconds. */
bool certificate_not_after(const char *certificate_pem, int64_t *ret_wall_ms, struct error *error);

/* Whether `certificate` is signed by `authority` (one of them, if that is a bundle) and for the key
 * `key`. Dates are not judged: an expired pair still matches; ask certificate_not_after. */
bool certificate_matches(const char *certificate_pem, const char *key_pem,
                         const char *authority_pem, struct error *error);

#endif
