/* OpenPGP (RFC 4880): key files as users have them, and signatures, which `gpgv` checks. */
#ifndef GITMOOR_FETCHER_OPENPGP_H
#define GITMOOR_FETCHER_OPENPGP_H

#include "common/base/buf.h"
#include "common/base/error.h"

#include <stdint.h>

/* Whether the file is OpenPGP at all: an armour, or a binary packet. */
bool openpgp_is_key_file(const char *data, size_t size);

/* Appends the public keys of a file, armoured or binary, to a keyring as gpgv reads it. Refuses
 * private keys, damaged armour, and what is no sequence of packets that begins with a public key.
 * `file` is for messages. */
bool openpgp_read_keys(const char *data, size_t size, const char *file, struct buf *keyring,
                       struct error *error);

#define OPENPGP_SIGNER_SIZE 512

/* Runs gpgv. *ret_good: whether the signature is by a key of the keyring that was valid at `date`
 * (seconds since 1970): a key that has expired since is judged as git judges SSH keys, by the date
 * of what was signed. ret_signer: fingerprint and user id; without a good signature, `why` says
 * why. False with `error`: gpgv is not there, or broke. */
bool openpgp_verify(const struct buf *keyring, const struct buf *signature,
                    const struct buf *payload, int64_t date, bool *ret_good,
                    char ret_signer[OPENPGP_SIGNER_SIZE], struct error *why, struct error *error);

/* The judgement of what gpgv said on its status descriptor, for tests. `said_anything`: gpgv ran.
 */
bool openpgp_judge(const char *status, int64_t date, bool *ret_said_anything,
                   char ret_signer[OPENPGP_SIGNER_SIZE], struct error *why);

#endif
