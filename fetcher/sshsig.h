/* SSHSIG, the signatures that `ssh-keygen -Y sign` makes (OpenSSH's PROTOCOL.sshsig). */
#ifndef GITMOOR_FETCHER_SSHSIG_H
#define GITMOOR_FETCHER_SSHSIG_H

#include "common/base/buf.h"
#include "fetcher/ssh_key.h"

struct sshsig {
    struct buf data; /* decoded; the others point into it */
    struct ssh_bytes key;
    struct ssh_bytes namespace_;
    struct ssh_bytes hash; /* "sha256" or "sha512" */
    struct ssh_bytes signature;
};

/* Reads the armour, from its BEGIN line to its END line; what follows is ignored. */
bool sshsig_parse(const char *armour, size_t size, struct sshsig *ret, struct error *error);
void sshsig_release(struct sshsig *signature);

/* Whether it is the signature, by the key that it names, of the message in this namespace. Whether
 * that key is one to trust is the caller's question. */
bool sshsig_verify(const struct sshsig *signature, const char *namespace_, const void *message,
                   size_t size, struct error *error);

#endif
