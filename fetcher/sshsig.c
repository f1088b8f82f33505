#include "fetcher/sshsig.h"

#include "common/base/base64.h"

#include <openssl/evp.h>
#include <string.h>

#define ARMOUR_MAXIMUM ((size_t)64 << 10) /* an RSA key of 16,384 bits needs 6 KiB */
#define MAGIC "SSHSIG"
#define MAGIC_SIZE 6
#define VERSION 1

static const char begin[] = "-----BEGIN SSH SIGNATURE-----\n";
static const char end[] = "\n-----END SSH SIGNATURE-----";

static bool parse_blob(struct sshsig *ret)
{
    struct ssh_bytes rest = {(const uint8_t *)ret->data.data, ret->data.size};
    struct ssh_bytes reserved;
    uint32_t version;
    if (rest.size < MAGIC_SIZE || memcmp(rest.data, MAGIC, MAGIC_SIZE) != 0) {
        return false;
    }
    rest.data += MAGIC_SIZE;
    rest.size -= MAGIC_SIZE;
    return ssh_take_uint32(&rest, &version) && version == VERSION &&
           ssh_take_string(&rest, &ret->key) && ssh_take_string(&rest, &ret->namespace_) &&
           ssh_take_string(&rest, &reserved) && ssh_take_string(&rest, &ret->hash) &&
           ssh_take_string(&rest, &ret->signature) && rest.size == 0;
}

bool sshsig_parse(const char *armour, size_t size, struct sshsig *ret, struct error *error)
{
    if (size > ARMOUR_MAXIMUM) {
        return error_set(error, ERROR_LIMIT, "the SSH signature is larger than 64 KiB");
    }
    const char *last = size > sizeof begin ? memmem(armour, size, end, sizeof end - 1) : NULL;
    if (!last || memcmp(armour, begin, sizeof begin - 1) != 0) {
        return error_set(error, ERROR_INVALID, "the SSH signature has no beginning or no end");
    }
    const char *first = armour + sizeof begin - 1;
    *ret = (struct sshsig){0};
    buf_init(&ret->data, ARMOUR_MAXIMUM);
    bool decoded = last >= first && base64_decode(first, (size_t)(last - first), &ret->data) &&
                   parse_blob(ret);
    if (!decoded) {
        sshsig_release(ret);
        return error_set(error, ERROR_INVALID, "the SSH signature is malformed");
    }
    return true;
}

void sshsig_release(struct sshsig *signature)
{
    buf_release(&signature->data);
}

static void append_string(struct buf *out, const void *data, size_t size)
{
    const uint8_t length[] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                              (uint8_t)size};
    buf_append(out, length, sizeof length);
    buf_append(out, data, size);
}

bool sshsig_verify(const struct sshsig *signature, const char *namespace_, const void *message,
                   size_t size, struct error *error)
{
    const char *hash = ssh_bytes_are(signature->hash, "sha512")   ? "SHA512"
                       : ssh_bytes_are(signature->hash, "sha256") ? "SHA256"
                                                                  : NULL;
    if (!hash) {
        return error_set(error, ERROR_DENIED, "the SSH signature uses an unknown hash algorithm");
    }
    if (!ssh_bytes_are(signature->namespace_, namespace_)) {
        return error_set(error, ERROR_DENIED,
                         "the SSH signature was made for another purpose: its "
                         "namespace is not \"%s\"",
                         namespace_);
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t digest_size = 0;
    if (!EVP_Q_digest(NULL, hash, NULL, message, size, digest, &digest_size)) {
        return error_set(error, ERROR_INTERNAL, "OpenSSL has no %s", hash);
    }
    struct buf signed_ AUTO_BUF;
    buf_init(&signed_, 4096);
    buf_append(&signed_, MAGIC, MAGIC_SIZE);
    append_string(&signed_, namespace_, strlen(namespace_));
    append_string(&signed_, "", 0); /* reserved: OpenSSH always takes it for empty */
    append_string(&signed_, signature->hash.data, signature->hash.size);
    append_string(&signed_, digest, digest_size);
    return ssh_key_verify(signature->key, signature->signature, signed_.data, signed_.size, error);
}
