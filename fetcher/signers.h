/* Who may sign with SSH: the lines of key files, either public keys as in id_ed25519.pub, or as in
 * an allowed-signers file (ssh-keygen(1), ALLOWED SIGNERS). */
#ifndef GITMOOR_FETCHER_SIGNERS_H
#define GITMOOR_FETCHER_SIGNERS_H

#include "common/base/buf.h"
#include "fetcher/ssh_key.h"

struct signer {
    struct buf blob;      /* the key */
    char *name;           /* principals, or the comment of a public key, or "" */
    char *namespaces;     /* pattern list, or NULL: all */
    int64_t valid_after;  /* seconds since 1970; INT64_MIN: always */
    int64_t valid_before; /* INT64_MAX: always */
};

struct signers {
    struct signer *items;
    size_t count;
};

/* Appends the signers of the text. Refuses what it does not understand, naming file and line:
 * unknown options, key types or dates; and cert-authority, as certificates are not supported. */
bool signers_parse(const char *text, size_t size, const char *file, struct signers *ret,
                   struct error *error);
void signers_release(struct signers *signers);

/* The signer with that key who may sign in the namespace at that time, or NULL with the reason. */
const struct signer *signers_find(const struct signers *signers, struct ssh_bytes key,
                                  const char *namespace_, int64_t time, struct error *why);

#endif
