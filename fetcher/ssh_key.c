#include "fetcher/ssh_key.h"

#include "common/base/buf.h"
#include "common/base/digest.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#define RSA_BITS_MINIMUM 1024
#define RSA_BITS_MAXIMUM 16384
#define ED25519_SIZE 32
#define MESSAGE_MAXIMUM ((size_t)1 << 20)

enum family { ED25519, ECDSA, RSA_KEY };

struct key_type {
    const char *name;
    enum family family;
    bool security_key;
    const char *curve;  /* SSH's name of it */
    const char *group;  /* OpenSSL's */
    const char *digest; /* of the signature */
};

static const struct key_type types[] = {
    {"ssh-ed25519", ED25519, false, NULL, NULL, NULL},
    {"ecdsa-sha2-nistp256", ECDSA, false, "nistp256", "prime256v1", "SHA256"},
    {"ecdsa-sha2-nistp384", ECDSA, false, "nistp384", "secp384r1", "SHA384"},
    {"ecdsa-sha2-nistp521", ECDSA, false, "nistp521", "secp521r1", "SHA512"},
    {"ssh-rsa", RSA_KEY, false, NULL, NULL, NULL},
    {"sk-ssh-ed25519@openssh.com", ED25519, true, NULL, NULL, NULL},
    {"sk-ecdsa-sha2-nistp256@openssh.com", ECDSA, true, "nistp256", "prime256v1", "SHA256"},
};

/* ---- The wire ---- */

bool ssh_take_uint32(struct ssh_bytes *from, uint32_t *ret)
{
    if (from->size < 4) {
        return false;
    }
    const uint8_t *b = from->data;
    *ret = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    from->data += 4;
    from->size -= 4;
    return true;
}

bool ssh_take_string(struct ssh_bytes *from, struct ssh_bytes *ret)
{
    struct ssh_bytes rest = *from;
    uint32_t size;
    if (!ssh_take_uint32(&rest, &size) || size > rest.size) {
        return false;
    }
    *ret = (struct ssh_bytes){rest.data, size};
    from->data = rest.data + size;
    from->size = rest.size - size;
    return true;
}

bool ssh_bytes_equal(struct ssh_bytes left, struct ssh_bytes right)
{
    return left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
}

bool ssh_bytes_are(struct ssh_bytes bytes, const char *text)
{
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

static const struct key_type *find_type(struct ssh_bytes name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (ssh_bytes_are(name, types[i].name)) {
            return &types[i];
        }
    }
    return NULL;
}

bool ssh_key_type_is_supported(const char *type, size_t size)
{
    return find_type((struct ssh_bytes){(const uint8_t *)type, size});
}

/* ---- Keys ---- */

static EVP_PKEY *key_from(const char *algorithm, OSSL_PARAM_BLD *builder)
{
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    EVP_PKEY *key = NULL;
    if (!parameters || !context || EVP_PKEY_fromdata_init(context) <= 0 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) <= 0) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    return key;
}

static EVP_PKEY *read_ecdsa(const struct key_type *type, struct ssh_bytes *rest)
{
    struct ssh_bytes curve, point;
    if (!ssh_take_string(rest, &curve) || !ssh_take_string(rest, &point) ||
        !ssh_bytes_are(curve, type->curve) || point.size == 0 || point.data[0] != 4) {
        return NULL; /* RFC 5656 allows compressed points; OpenSSH refuses them */
    }
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (builder &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, type->group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.data,
                                         point.size)) {
        key = key_from("EC", builder);
    }
    OSSL_PARAM_BLD_free(builder);
    return key;
}

/* A positive mpint. */
static BIGNUM *take_number(struct ssh_bytes *rest)
{
    struct ssh_bytes bytes;
    if (!ssh_take_string(rest, &bytes) || bytes.size == 0 || bytes.data[0] & 0x80 ||
        bytes.size > RSA_BITS_MAXIMUM / 8 + 1) {
        return NULL;
    }
    return BN_bin2bn(bytes.data, (int)bytes.size, NULL);
}

static EVP_PKEY *read_rsa(struct ssh_bytes *rest)
{
    BIGNUM *exponent = take_number(rest);
    BIGNUM *modulus = exponent ? take_number(rest) : NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (builder && modulus && BN_num_bits(modulus) >= RSA_BITS_MINIMUM &&
        BN_num_bits(modulus) <= RSA_BITS_MAXIMUM &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus)) {
        key = key_from("RSA", builder);
    }
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *read_ed25519(struct ssh_bytes *rest)
{
    struct ssh_bytes bytes;
    if (!ssh_take_string(rest, &bytes) || bytes.size != ED25519_SIZE) {
        return NULL;
    }
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes.data, bytes.size);
}

/* *ret_application: of a security key; empty for others. */
static EVP_PKEY *read_key(struct ssh_bytes blob, const struct key_type **ret_type,
                          struct ssh_bytes *ret_application, struct error *error)
{
    struct ssh_bytes name;
    const struct key_type *type = ssh_take_string(&blob, &name) ? find_type(name) : NULL;
    if (!type) {
        error_set(error, ERROR_INVALID, "it is not a key of a supported type");
        return NULL;
    }
    EVP_PKEY *key = type->family == ED25519 ? read_ed25519(&blob)
                    : type->family == ECDSA ? read_ecdsa(type, &blob)
                                            : read_rsa(&blob);
    *ret_application = (struct ssh_bytes){0};
    bool whole =
        key && (!type->security_key || ssh_take_string(&blob, ret_application)) && blob.size == 0;
    ERR_clear_error();
    if (!whole) {
        EVP_PKEY_free(key);
        error_set(error, ERROR_INVALID, "it is malformed, or too short to be secure");
        return NULL;
    }
    *ret_type = type;
    return key;
}

bool ssh_key_check(struct ssh_bytes blob, struct error *error)
{
    const struct key_type *type;
    struct ssh_bytes application;
    EVP_PKEY *key = read_key(blob, &type, &application, error);
    EVP_PKEY_free(key);
    return key;
}

void ssh_key_fingerprint(struct ssh_bytes key, char ret_text[SSH_FINGERPRINT_SIZE])
{
    struct digest digest;
    digest_of(key.data, key.size, &digest);
    unsigned char base64[48]; /* 44 characters and the NUL */
    EVP_EncodeBlock(base64, digest.bytes, DIGEST_SIZE);
    memcpy(ret_text, "SHA256:", 7);
    memcpy(ret_text + 7, base64, 43); /* without the padding */
    ret_text[50] = '\0';
}

/* ---- Signatures ---- */

static bool check(EVP_PKEY *key, const char *digest, const void *signature, size_t signature_size,
                  const void *message, size_t size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context &&
                EVP_DigestVerifyInit_ex(context, NULL, digest, NULL, NULL, key, NULL) == 1 &&
                EVP_DigestVerify(context, signature, signature_size, message, size) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good;
}

/* OpenSSL wants r and s as DER. */
static bool check_ecdsa(EVP_PKEY *key, const char *digest, struct ssh_bytes signature,
                        const void *message, size_t size)
{
    BIGNUM *r = take_number(&signature);
    BIGNUM *s = r ? take_number(&signature) : NULL;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    unsigned char *der = NULL;
    bool good = false;
    if (pair && s && signature.size == 0 && ECDSA_SIG_set0(pair, r, s)) {
        r = s = NULL; /* the pair's */
        int length = i2d_ECDSA_SIG(pair, &der);
        good = length > 0 && check(key, digest, der, (size_t)length, message, size);
    }
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    BN_free(r);
    BN_free(s);
    return good;
}

/* Leading zeros may be missing from an RSA signature. */
static bool check_rsa(EVP_PKEY *key, const char *digest, struct ssh_bytes signature,
                      const void *message, size_t size)
{
    size_t whole = (size_t)EVP_PKEY_get_size(key);
    unsigned char padded[RSA_BITS_MAXIMUM / 8] = {0};
    if (whole > sizeof padded || signature.size > whole || signature.size == 0) {
        return false;
    }
    memcpy(padded + whole - signature.size, signature.data, signature.size);
    return check(key, digest, padded, whole, message, size);
}

static bool check_plain(EVP_PKEY *key, const struct key_type *type, struct ssh_bytes algorithm,
                        struct ssh_bytes signature, const void *message, size_t size)
{
    if (type->family == RSA_KEY) {
        const char *digest = ssh_bytes_are(algorithm, "rsa-sha2-256")   ? "SHA256"
                             : ssh_bytes_are(algorithm, "rsa-sha2-512") ? "SHA512"
                                                                        : NULL; /* SHA-1 */
        return digest && check_rsa(key, digest, signature, message, size);
    }
    if (!ssh_bytes_are(algorithm, type->name)) {
        return false;
    }
    return type->family == ECDSA ? check_ecdsa(key, type->digest, signature, message, size)
                                 : check(key, NULL, signature.data, signature.size, message, size);
}

/* What a security key signs: the digest of the application, one byte of flags, a counter, and the
 * digest of the message. */
static bool make_assertion(struct ssh_bytes application, struct ssh_bytes flags_and_counter,
                           const void *message, size_t size, struct buf *out)
{
    struct digest of_application, of_message;
    digest_of(application.data, application.size, &of_application);
    digest_of(message, size, &of_message);
    buf_append(out, of_application.bytes, DIGEST_SIZE);
    buf_append(out, flags_and_counter.data, flags_and_counter.size);
    return buf_append(out, of_message.bytes, DIGEST_SIZE);
}

static bool verify(EVP_PKEY *key, const struct key_type *type, struct ssh_bytes application,
                   struct ssh_bytes signature, const void *message, size_t size)
{
    struct ssh_bytes algorithm, bytes;
    if (!ssh_take_string(&signature, &algorithm) || !ssh_take_string(&signature, &bytes)) {
        return false;
    }
    if (!type->security_key) {
        return signature.size == 0 && check_plain(key, type, algorithm, bytes, message, size);
    }
    struct buf assertion AUTO_BUF;
    buf_init(&assertion, 256);
    return signature.size == 5 &&
           make_assertion(application, signature, message, size, &assertion) &&
           check_plain(key, type, algorithm, bytes, assertion.data, assertion.size);
}

bool ssh_key_verify(struct ssh_bytes blob, struct ssh_bytes signature, const void *message,
                    size_t size, struct error *error)
{
    const struct key_type *type;
    struct ssh_bytes application;
    EVP_PKEY *key = read_key(blob, &type, &application, error);
    if (!key) {
        return error_prefix(error, "the key in the signature cannot be used");
    }
    bool good = size <= MESSAGE_MAXIMUM && verify(key, type, application, signature, message, size);
    EVP_PKEY_free(key);
    return good ||
           error_set(error, ERROR_DENIED, "the signature does not fit what it is said to sign");
}
