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

/* A self-signed CA, valid from five minutes ago (clocks differ) for `days`. */
bool certificate_new_authority(const char *common_name, unsigned days,
                               struct certificate_pair *ret, struct error *error);

/* A serving certificate for the names (DNS names or IP addresses, ended by NULL). */
bool certificate_new_serving(const struct certificate_pair *authority, const char *const *names,
                             unsigned days, struct certificate_pair *ret, struct error *error);

/* When it ends, as wall-clock milliseconds. */
bool certificate_not_after(const char *certificate_pem, int64_t *ret_wall_ms, struct error *error);

/* Whether `certificate` is signed by `authority` and for the key `key`. */
bool certificate_matches(const char *certificate_pem, const char *key_pem,
                         const char *authority_pem, struct error *error);

#endif
