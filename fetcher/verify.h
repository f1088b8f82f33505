/* Is a revision signed by one of these keys? The core of `gitmoor verify` (DESIGN §8), and of what
 * spec.verify of a GitRepository asks for. It blocks. */
#ifndef GITMOOR_FETCHER_VERIFY_H
#define GITMOOR_FETCHER_VERIFY_H

#include "common/base/error.h"

#include <git2.h>
#include <stddef.h>

/* Also the exit statuses of `gitmoor verify`. */
enum verify_verdict {
    VERIFY_SIGNED = 0,     /* by a key given */
    VERIFY_NOT_SIGNED = 1, /* not at all, badly, by somebody else, or by a key not valid then */
    VERIFY_UNKNOWN = 2     /* no such revision, an unreadable key, no gpgv */
};

#define VERIFY_SIGNER_SIZE 512

/* Whose signatures count. */
struct verify_keys;

struct verify_keys *verify_keys_new(void);
/* Adds the keys of one file: OpenPGP public keys, armoured or binary, SSH public keys, or allowed
 * signers. `name` is for messages. False: it holds no key, or one that cannot be read. */
bool verify_keys_add(struct verify_keys *keys, const char *name, const char *data, size_t size,
                     struct error *error);
void verify_keys_free(struct verify_keys *keys);

/* Judges the commit or annotated tag `id` by its own signature. */
enum verify_verdict verify_object(git_repository *repository, const git_oid *id,
                                  const struct verify_keys *keys,
                                  char ret_signer[VERIFY_SIGNER_SIZE], struct error *error);

/* `directory` is in a repository, bare or not. `revision` is whatever git rev-parse understands of
 * a commit or an annotated tag, or our own "main@sha1:<commit>"; a tag is judged by its own
 * signature. `key_files` are paths, ended by NULL. Trees and blobs need not exist.
 *
 * VERIFY_SIGNED: ret_signer says by whom. Otherwise the error says why. */
enum verify_verdict verify_revision(const char *directory, const char *revision,
                                    const char *const *key_files,
                                    char ret_signer[VERIFY_SIGNER_SIZE], struct error *error);

#endif
