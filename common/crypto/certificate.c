/* X.509 through OpenSSL's EVP and X509v3. Sources of the choices: RFC 5280 for the extensions, the
 * CA/Browser Forum's and Go's crypto/x509 rules for what API servers accept (names in
 * subjectAltName only, extended key usage serverAuth). */
#include "common/crypto/certificate.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/crypto/seal.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#define BACKDATE_SECONDS 300L /* clocks differ; five minutes is what kubeadm and kin allow too */
#define SERIAL_SIZE 16 /* RFC 5280 §4.1.2.2 allows 20 octets; 16 random ones never collide */
#define COMMON_NAME_MAXIMUM 64 /* RFC 5280 appendix A.1, ub-common-name */
#define DNS_NAME_MAXIMUM 253   /* RFC 1035 §2.3.4 */

static void x509_cleanup(X509 **certificate)
{
    X509_free(*certificate);
}
static void key_cleanup(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}
static void bio_cleanup(BIO **bio)
{
    BIO_free(*bio);
}
#define AUTO_X509 __attribute__((cleanup(x509_cleanup))) X509
#define AUTO_KEY __attribute__((cleanup(key_cleanup))) EVP_PKEY
#define AUTO_BIO __attribute__((cleanup(bio_cleanup))) BIO

void certificate_pair_release(struct certificate_pair *pair)
{
    free(pair->certificate);
    if (pair->key) {
        OPENSSL_cleanse(pair->key, strlen(pair->key));
        free(pair->key);
    }
    memset(pair, 0, sizeof *pair);
}

/* "<what>: <the first reason OpenSSL gives>". */
static bool fail(struct error *error, enum error_code code, const char *what)
{
    unsigned long reason = ERR_get_error();
    ERR_clear_error();
    const char *text = reason ? ERR_reason_error_string(reason) : NULL;
    return error_set(error, code, "%s: %s", what, text ? text : "OpenSSL gives no reason");
}

/* ---- reading and writing PEM ---- */

static int no_password(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1; /* never ask at a terminal */
}

static BIO *text_bio(const char *text)
{
    size_t size = text ? strlen(text) : 0;
    return size <= INT_MAX ? BIO_new_mem_buf(text ? text : "", (int)size) : NULL;
}

static X509 *read_certificate(const char *pem, const char *what, struct error *error)
{
    AUTO_BIO *bio = text_bio(pem);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    if (!certificate) {
        fail(error, ERROR_INVALID, what);
    }
    return certificate;
}

static EVP_PKEY *read_key(const char *pem, const char *what, struct error *error)
{
    AUTO_BIO *bio = text_bio(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    if (!key) {
        fail(error, ERROR_INVALID, what);
    }
    return key;
}

static char *bio_text(BIO *bio)
{
    char *data = NULL;
    long size = BIO_get_mem_data(bio, &data);
    return mem_string_n(data, (size_t)size);
}

static bool write_pair(X509 *certificate, EVP_PKEY *key, struct certificate_pair *ret,
                       struct error *error)
{
    AUTO_BIO *certificate_bio = BIO_new(BIO_s_mem());
    AUTO_BIO *key_bio = BIO_new(BIO_s_secmem());
    if (!certificate_bio || !key_bio || PEM_write_bio_X509(certificate_bio, certificate) != 1 ||
        PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        return fail(error, ERROR_INTERNAL, "writing a new certificate as PEM");
    }
    ret->certificate = bio_text(certificate_bio);
    ret->key = bio_text(key_bio);
    return true;
}

/* ---- making certificates ---- */

static bool set_serial(X509 *certificate)
{
    uint8_t bytes[SERIAL_SIZE];
    seal_random(bytes, sizeof bytes);
    bytes[0] = (uint8_t)((bytes[0] & 0x7F) | 0x40); /* positive, and of full length */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return done;
}

static bool set_basics(X509 *certificate, EVP_PKEY *key, const char *common_name, unsigned days)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    return X509_set_version(certificate, X509_VERSION_3) && set_serial(certificate) &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -BACKDATE_SECONDS) &&
           X509_time_adj_ex(X509_getm_notAfter(certificate), (int)days, 0, NULL) &&
           (!common_name || X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                                       (const uint8_t *)common_name, -1, -1, 0)) &&
           X509_set_pubkey(certificate, key);
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool added = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool check_days(unsigned days, struct error *error)
{
    if (days == 0 || days > CERTIFICATE_DAYS_MAXIMUM) {
        return error_set(error, ERROR_INVALID,
                         "a certificate cannot be valid for %u days: give 1 to %d", days,
                         CERTIFICATE_DAYS_MAXIMUM);
    }
    return true;
}

bool certificate_new_authority(const char *common_name, unsigned days, struct certificate_pair *ret,
                               struct error *error)
{
    ERR_clear_error();
    if (!check_days(days, error)) {
        return false;
    }
    size_t length = common_name ? strlen(common_name) : 0;
    if (length == 0 || length > COMMON_NAME_MAXIMUM || !text_is_utf8(common_name, length)) {
        return error_set(error, ERROR_INVALID,
                         "the common name of a certificate authority is 1 to %d bytes of UTF-8",
                         COMMON_NAME_MAXIMUM);
    }
    AUTO_KEY *key = EVP_EC_gen("P-256");
    AUTO_X509 *certificate = X509_new();
    if (!key || !certificate || !set_basics(certificate, key, common_name, days) ||
        !X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) ||
        !add_extension(certificate, certificate, NID_basic_constraints,
                       "critical,CA:TRUE,pathlen:0") ||
        !add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(certificate, certificate, NID_subject_key_identifier, "hash") ||
        !X509_sign(certificate, key, EVP_sha256())) {
        return fail(error, ERROR_INTERNAL, "making a certificate authority");
    }
    return write_pair(certificate, key, ret, error);
}

/* ---- names ---- */

static bool is_dns_label(const char *label, size_t size)
{
    if (size == 0 || size > 63 || label[0] == '-' || label[size - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        char c = label[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_')) {
            return false;
        }
    }
    return true;
}

static bool is_dns_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > DNS_NAME_MAXIMUM) {
        return false;
    }
    const char *label = text_has_prefix(name, "*.") ? name + 2 : name;
    for (;;) {
        size_t size = strcspn(label, ".");
        if (!is_dns_label(label, size)) {
            return false;
        }
        if (label[size] == '\0') {
            return true;
        }
        label += size + 1;
    }
}

static GENERAL_NAME *general_name(int type, const void *data, size_t size)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value =
        type == GEN_IPADD ? (ASN1_STRING *)ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (!name || !value || ASN1_STRING_set(value, data, (int)size) != 1) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, type, value);
    return name;
}

/* Built from values, not from configuration text: a name with a comma in it must not become two. */
static bool push_name(GENERAL_NAMES *names, const char *name, struct error *error)
{
    uint8_t address[sizeof(struct in6_addr)];
    GENERAL_NAME *general = NULL;
    if (inet_pton(AF_INET, name, address) == 1) {
        general = general_name(GEN_IPADD, address, sizeof(struct in_addr));
    } else if (inet_pton(AF_INET6, name, address) == 1) {
        general = general_name(GEN_IPADD, address, sizeof(struct in6_addr));
    } else if (is_dns_name(name)) {
        general = general_name(GEN_DNS, name, strlen(name));
    } else {
        return error_set(error, ERROR_INVALID,
                         "\"%s\" is neither a DNS name nor an IP address: a serving certificate "
                         "cannot be made for it",
                         name);
    }
    if (!general || sk_GENERAL_NAME_push(names, general) <= 0) {
        GENERAL_NAME_free(general);
        return fail(error, ERROR_INTERNAL, "making the names of a serving certificate");
    }
    return true;
}

/* Critical where the subject is empty (RFC 5280 §4.2.1.6). */
static bool add_names(X509 *certificate, const char *const *names, bool critical,
                      struct error *error)
{
    GENERAL_NAMES *list = sk_GENERAL_NAME_new_null();
    bool done = list != NULL;
    for (size_t i = 0; done && names[i]; i++) {
        done = push_name(list, names[i], error);
    }
    if (done && X509_add1_ext_i2d(certificate, NID_subject_alt_name, list, critical, 0) != 1) {
        done = fail(error, ERROR_INTERNAL, "adding the names of a serving certificate");
    }
    sk_GENERAL_NAME_pop_free(list, GENERAL_NAME_free);
    return done;
}

/* ---- serving certificates ---- */

static bool sign_serving(X509 *certificate, X509 *issuer, EVP_PKEY *issuer_key,
                         const char *const *names, bool named, struct error *error)
{
    if (!X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) ||
        !add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth") ||
        !add_extension(certificate, issuer, NID_subject_key_identifier, "hash") ||
        !add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always")) {
        return fail(error, ERROR_INTERNAL, "making a serving certificate");
    }
    if (!add_names(certificate, names, !named, error)) {
        return false;
    }
    if (!X509_sign(certificate, issuer_key, EVP_sha256())) {
        return fail(error, ERROR_INTERNAL, "signing a serving certificate");
    }
    return true;
}

bool certificate_new_serving(const struct certificate_pair *authority, const char *const *names,
                             unsigned days, struct certificate_pair *ret, struct error *error)
{
    ERR_clear_error();
    if (!check_days(days, error)) {
        return false;
    }
    if (!names[0]) {
        return error_set(error, ERROR_INVALID, "a serving certificate needs at least one name");
    }
    AUTO_X509 *issuer =
        read_certificate(authority->certificate, "reading the authority's certificate", error);
    if (!issuer) {
        return false;
    }
    AUTO_KEY *issuer_key = read_key(authority->key, "reading the authority's key", error);
    if (!issuer_key) {
        return false;
    }
    if (X509_check_private_key(issuer, issuer_key) != 1) {
        return fail(error, ERROR_INVALID, "the authority's key is not that of its certificate");
    }
    AUTO_KEY *key = EVP_EC_gen("P-256");
    AUTO_X509 *certificate = X509_new();
    size_t length = strlen(names[0]);
    bool named = length > 0 && length <= COMMON_NAME_MAXIMUM;
    if (!key || !certificate || !set_basics(certificate, key, named ? names[0] : NULL, days)) {
        return fail(error, ERROR_INTERNAL, "making a serving certificate");
    }
    return sign_serving(certificate, issuer, issuer_key, names, named, error) &&
           write_pair(certificate, key, ret, error);
}

/* ---- asking ---- */

bool certificate_not_after(const char *certificate_pem, int64_t *ret_wall_ms, struct error *error)
{
    ERR_clear_error();
    AUTO_X509 *certificate = read_certificate(certificate_pem, "reading a certificate", error);
    if (!certificate) {
        return false;
    }
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1) {
        return fail(error, ERROR_INVALID, "reading the end of a certificate's validity");
    }
    *ret_wall_ms = (int64_t)timegm(&tm) * 1000;
    return true;
}

static bool is_issued_by(X509 *certificate, X509 *authority)
{
    return X509_check_issued(authority, certificate) == X509_V_OK &&
           X509_verify(certificate, X509_get0_pubkey(authority)) == 1;
}

bool certificate_matches(const char *certificate_pem, const char *key_pem,
                         const char *authority_pem, struct error *error)
{
    ERR_clear_error();
    AUTO_X509 *certificate = read_certificate(certificate_pem, "reading a certificate", error);
    if (!certificate) {
        return false;
    }
    AUTO_KEY *key = read_key(key_pem, "reading a certificate's key", error);
    if (!key) {
        return false;
    }
    if (X509_check_private_key(certificate, key) != 1) {
        return fail(error, ERROR_INVALID, "the key is not that of the certificate");
    }
    AUTO_BIO *bio = text_bio(authority_pem);
    for (size_t count = 0; bio; count++) {
        AUTO_X509 *authority = PEM_read_bio_X509(bio, NULL, no_password, NULL);
        if (!authority && count == 0) {
            return fail(error, ERROR_INVALID, "reading the authority's certificate");
        }
        if (!authority) {
            break;
        }
        if (is_issued_by(certificate, authority)) {
            ERR_clear_error();
            return true;
        }
    }
    ERR_clear_error();
    return error_set(error, ERROR_INVALID, "the certificate is not signed by the authority");
}
