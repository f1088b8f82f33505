#include "fetcher/verify.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "fetcher/mirror.h"
#include "fetcher/openpgp.h"
#include "fetcher/signed_object.h"
#include "fetcher/signers.h"
#include "fetcher/sshsig.h"

#include <stdio.h>
#include <string.h>

#define KEY_FILE_MAXIMUM ((size_t)16 << 20)
#define OBJECT_MAXIMUM ((size_t)16 << 20)
#define NAMESPACE "git"

struct verify_keys {
    struct buf keyring; /* OpenPGP */
    struct signers signers;
};

struct verify_keys *verify_keys_new(void)
{
    struct verify_keys *keys = NEW(struct verify_keys);
    buf_init(&keys->keyring, KEY_FILE_MAXIMUM);
    return keys;
}

void verify_keys_free(struct verify_keys *keys)
{
    if (keys) {
        buf_release(&keys->keyring);
        signers_release(&keys->signers);
        free(keys);
    }
}

bool verify_keys_add(struct verify_keys *keys, const char *name, const char *data, size_t size,
                     struct error *error)
{
    if (openpgp_is_key_file(data, size)) {
        return openpgp_read_keys(data, size, name, &keys->keyring, error);
    }
    size_t before = keys->signers.count;
    if (!signers_parse(data, size, name, &keys->signers, error)) {
        return false;
    }
    return keys->signers.count > before ||
           error_set(error, ERROR_INVALID, "%s: there is no key in it", name);
}

static bool read_key_files(const char *const *files, struct verify_keys *keys, struct error *error)
{
    if (!files[0]) {
        return error_set(error, ERROR_INVALID, "no key is given");
    }
    for (; *files; files++) {
        struct buf content AUTO_BUF;
        buf_init(&content, KEY_FILE_MAXIMUM);
        if (!buf_read_file(&content, *files, error) ||
            !verify_keys_add(keys, *files, content.data, content.size, error)) {
            return false;
        }
    }
    return true;
}

/* "main@sha1:<commit>", "main@sha1:<commit>" without the name, or anything that git knows. */
static const char *plain_revision(const char *revision)
{
    const char *at = strstr(revision, "@sha1:");
    return at                                   ? at + strlen("@sha1:")
           : text_has_prefix(revision, "sha1:") ? revision + strlen("sha1:")
                                                : revision;
}

static bool open_repository(const char *directory, git_repository **ret, struct error *error)
{
    /* Clones without trees and blobs have these, and are read like others. */
    const char *extensions[] = {"partialclone", "preciousobjects"};
    git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions, (size_t)2);
    AUTO_FREE char *doing = mem_format("cannot open the repository %s", directory);
    return git_repository_open_ext(ret, directory, 0, NULL) == 0 || mirror_git_error(error, doing);
}

static bool find_object(git_repository *repository, const char *revision, git_oid *ret_id,
                        struct error *error)
{
    git_object *object = NULL;
    if (git_revparse_single(&object, repository, plain_revision(revision)) < 0) {
        AUTO_FREE char *doing = mem_format("unknown revision \"%.200s\"", revision);
        return mirror_git_error(error, doing);
    }
    git_object_t type = git_object_type(object);
    *ret_id = *git_object_id(object);
    git_object_free(object);
    return type == GIT_OBJECT_TAG || type == GIT_OBJECT_COMMIT ||
           error_set(error, ERROR_INVALID, "\"%.200s\" is a %s, not a commit or tag", revision,
                     git_object_type2string(type));
}

static bool read_object(git_repository *repository, const git_oid *id, struct signed_object *ret,
                        struct error *error)
{
    git_odb *database = NULL;
    git_odb_object *object = NULL;
    bool read =
        git_repository_odb(&database, repository) == 0 && git_odb_read(&object, database, id) == 0;
    if (!read) {
        mirror_git_error(error, "cannot read the commit or tag");
    } else if (git_odb_object_size(object) > OBJECT_MAXIMUM) {
        read = error_set(error, ERROR_LIMIT, "the commit or tag is larger than 16 MiB");
    } else {
        signed_object_split(git_odb_object_data(object), git_odb_object_size(object),
                            git_odb_object_type(object) == GIT_OBJECT_TAG, ret);
    }
    git_odb_object_free(object);
    git_odb_free(database);
    return read;
}

static enum verify_verdict verify_ssh(const struct signed_object *object,
                                      const struct verify_keys *keys,
                                      char ret_signer[VERIFY_SIGNER_SIZE], struct error *error)
{
    struct sshsig signature;
    if (!sshsig_parse(object->signature.data, object->signature.size, &signature, error)) {
        return VERIFY_NOT_SIGNED;
    }
    const struct signer *signer =
        signers_find(&keys->signers, signature.key, NAMESPACE, object->date, error);
    bool good = signer && sshsig_verify(&signature, NAMESPACE, object->payload.data,
                                        object->payload.size, error);
    if (good) {
        char fingerprint[SSH_FINGERPRINT_SIZE];
        ssh_key_fingerprint(signature.key, fingerprint);
        snprintf(ret_signer, VERIFY_SIGNER_SIZE, "SSH key %s%s%.300s%s", fingerprint,
                 signer->name[0] ? " (" : "", signer->name, signer->name[0] ? ")" : "");
    }
    sshsig_release(&signature);
    return good ? VERIFY_SIGNED : VERIFY_NOT_SIGNED;
}

static enum verify_verdict verify_openpgp(const struct signed_object *object,
                                          const struct verify_keys *keys,
                                          char ret_signer[VERIFY_SIGNER_SIZE], struct error *error)
{
    if (keys->keyring.size == 0) {
        error_set(error, ERROR_DENIED,
                  "the signature is an OpenPGP one, and no OpenPGP key is given");
        return VERIFY_NOT_SIGNED;
    }
    bool good = false;
    struct error trouble;
    if (!openpgp_verify(&keys->keyring, &object->signature, &object->payload, object->date, &good,
                        ret_signer, error, &trouble)) {
        *error = trouble;
        return VERIFY_UNKNOWN;
    }
    return good ? VERIFY_SIGNED : VERIFY_NOT_SIGNED;
}

static enum verify_verdict judge(const struct signed_object *object, const struct verify_keys *keys,
                                 char ret_signer[VERIFY_SIGNER_SIZE], struct error *error)
{
    switch (object->format) {
    case SIGNATURE_SSH:
        return verify_ssh(object, keys, ret_signer, error);
    case SIGNATURE_OPENPGP:
        return verify_openpgp(object, keys, ret_signer, error);
    case SIGNATURE_NONE:
        error_set(error, ERROR_DENIED, "it is not signed");
        return VERIFY_NOT_SIGNED;
    default:
        error_set(error, ERROR_DENIED, "its signature is neither of OpenPGP nor of SSH");
        return VERIFY_NOT_SIGNED;
    }
}

enum verify_verdict verify_object(git_repository *repository, const git_oid *id,
                                  const struct verify_keys *keys,
                                  char ret_signer[VERIFY_SIGNER_SIZE], struct error *error)
{
    struct signed_object object;
    if (!read_object(repository, id, &object, error)) {
        return VERIFY_UNKNOWN;
    }
    enum verify_verdict verdict = judge(&object, keys, ret_signer, error);
    signed_object_release(&object);
    return verdict;
}

static enum verify_verdict verify_in(const char *directory, const char *revision,
                                     const struct verify_keys *keys,
                                     char ret_signer[VERIFY_SIGNER_SIZE], struct error *error)
{
    AUTO_REPOSITORY git_repository *repository = NULL;
    git_oid id;
    return open_repository(directory, &repository, error) &&
                   find_object(repository, revision, &id, error)
               ? verify_object(repository, &id, keys, ret_signer, error)
               : VERIFY_UNKNOWN;
}

enum verify_verdict verify_revision(const char *directory, const char *revision,
                                    const char *const *key_files,
                                    char ret_signer[VERIFY_SIGNER_SIZE], struct error *error)
{
    struct verify_keys *keys = verify_keys_new();
    enum verify_verdict verdict = VERIFY_UNKNOWN;
    if (read_key_files(key_files, keys, error) && mirror_library_open(error)) {
        verdict = verify_in(directory, revision, keys, ret_signer, error);
        mirror_library_close();
    }
    verify_keys_free(keys);
    return verdict;
}
