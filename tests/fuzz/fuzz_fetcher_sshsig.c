/* Everything that is read of signatures and keys: the raw commit or tag, SSHSIG, signers' lines,
 * OpenPGP keys, and what gpgv says. */
#include "common/base/memory.h"
#include "fetcher/openpgp.h"
#include "fetcher/signed_object.h"
#include "fetcher/signers.h"
#include "fetcher/sshsig.h"

static void read_signature(const char *text, size_t size, const struct signers *signers)
{
    struct sshsig signature;
    struct error error;
    if (sshsig_parse(text, size, &signature, &error)) {
        signers_find(signers, signature.key, "git", 1600000000, &error);
        sshsig_verify(&signature, "git", text, size, &error);
        sshsig_release(&signature);
    }
}

static void read_object(const char *text, size_t size, bool is_tag, const struct signers *signers)
{
    struct signed_object object;
    signed_object_split(text, size, is_tag, &object);
    if (object.format == SIGNATURE_SSH) {
        read_signature(object.signature.data, object.signature.size, signers);
    }
    signed_object_release(&object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct error error;
    struct signers signers = {0};
    signers_parse(text, size, "fuzz", &signers, &error);
    read_signature(text, size, &signers);
    read_object(text, size, false, &signers);
    read_object(text, size, true, &signers);
    signers_release(&signers);

    struct buf keyring AUTO_BUF;
    buf_init(&keyring, 1 << 16);
    if (openpgp_is_key_file(text, size)) {
        openpgp_read_keys(text, size, "fuzz", &keyring, &error);
    }
    AUTO_FREE char *status = mem_string_n(text, size);
    char signer[OPENPGP_SIGNER_SIZE];
    bool said_anything;
    openpgp_judge(status, 1600000000, &said_anything, signer, &error);
    return 0;
}
