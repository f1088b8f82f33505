#include "common/crypto/certificate.h"

#include "common/base/clock.h"
#include "common/base/memory.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)

struct pairs {
    struct certificate_pair authority, serving;
};

static X509 *parse(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(certificate);
    return certificate;
}

static int make_pairs(void **state)
{
    static const char *const names[] = {"gitmoor-admission.gitmoor.svc", "localhost", "127.0.0.1",
                                        "2001:db8::7", NULL};
    struct pairs *pairs = NEW(struct pairs);
    struct error error = {0};
    if (!certificate_new_authority("gitmoor-admission", 365, &pairs->authority, &error) ||
        !certificate_new_serving(&pairs->authority, names, 30, &pairs->serving, &error)) {
        print_error("%s\n", error.message);
        return 1;
    }
    *state = pairs;
    return 0;
}

static int free_pairs(void **state)
{
    struct pairs *pairs = *state;
    certificate_pair_release(&pairs->authority);
    certificate_pair_release(&pairs->serving);
    free(pairs);
    return 0;
}

/* What a TLS client does: X509_verify_cert with the authority as the only root. `name` is a DNS
 * name or, with `address`, an IP address. Returns the X509_V_ERR_ code. */
static int verify(const char *certificate, const char *authority, const char *name, bool address)
{
    X509 *leaf = parse(certificate), *root = parse(authority);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, root);
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_STORE_CTX_init(context, store, leaf, NULL);
    X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (address) {
        assert_int_equal(X509_VERIFY_PARAM_set1_ip_asc(parameters, name), 1);
    } else {
        assert_int_equal(X509_VERIFY_PARAM_set1_host(parameters, name, 0), 1);
    }
    X509_verify_cert(context);
    int code = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(leaf);
    X509_free(root);
    return code;
}

static void a_tls_client_accepts_the_names_and_no_others(void **state)
{
    const struct pairs *pairs = *state;
    static const struct {
        const char *name;
        bool address;
        int code;
    } cases[] = {
        {"gitmoor-admission.gitmoor.svc", false, X509_V_OK},
        {"localhost", false, X509_V_OK},
        {"127.0.0.1", true, X509_V_OK},
        {"2001:db8::7", true, X509_V_OK},
        {"example.org", false, X509_V_ERR_HOSTNAME_MISMATCH},
        {"127.0.0.1", false, X509_V_ERR_HOSTNAME_MISMATCH},
        {"127.0.0.2", true, X509_V_ERR_IP_ADDRESS_MISMATCH},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = verify(pairs->serving.certificate, pairs->authority.certificate, cases[i].name,
                          cases[i].address);
        if (code != cases[i].code) {
            fail_msg("%s: %s", cases[i].name, X509_verify_cert_error_string(code));
        }
    }
}

static void keys_are_p256_in_pkcs8(void **state)
{
    const struct pairs *pairs = *state;
    const struct certificate_pair *both[] = {&pairs->authority, &pairs->serving};
    for (size_t i = 0; i < 2; i++) {
        assert_ptr_equal(strstr(both[i]->key, "-----BEGIN PRIVATE KEY-----"), both[i]->key);
        X509 *certificate = parse(both[i]->certificate);
        char group[32] = "";
        size_t length = 0;
        EVP_PKEY_get_group_name(X509_get0_pubkey(certificate), group, sizeof group, &length);
        assert_string_equal(group, "prime256v1");
        X509_free(certificate);
    }
}

static void validity_begins_five_minutes_ago_and_lasts_the_days(void **state)
{
    const struct pairs *pairs = *state;
    int64_t end, now = clock_wall_ms();
    struct error error;
    assert_true(certificate_not_after(pairs->serving.certificate, &end, &error));
    assert_in_range(end, now + 30 * DAY_MS - 60000, now + 30 * DAY_MS + 1000);
    X509 *certificate = parse(pairs->serving.certificate);
    int days = 0, seconds = 0;
    assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(certificate), NULL), 1);
    assert_int_equal(days, 0);
    assert_in_range(seconds, 300, 360);
    X509_free(certificate);
}

static void a_pair_matches_its_own_authority_and_key_only(void **state)
{
    const struct pairs *pairs = *state;
    struct certificate_pair other = {0};
    struct error error = {0};
    assert_true(certificate_new_authority("gitmoor-admission", 365, &other, &error));
    assert_true(certificate_matches(pairs->serving.certificate, pairs->serving.key,
                                    pairs->authority.certificate, &error));
    assert_false(certificate_matches(pairs->serving.certificate, pairs->serving.key,
                                     other.certificate, &error));
    assert_non_null(strstr(error.message, "not signed by the authority"));
    assert_false(certificate_matches(pairs->serving.certificate, other.key,
                                     pairs->authority.certificate, &error));
    assert_non_null(strstr(error.message, "not that of the certificate"));
    assert_int_not_equal(verify(pairs->serving.certificate, other.certificate, "localhost", false),
                         X509_V_OK);

    AUTO_FREE char *bundle = mem_format("%s%s", other.certificate, pairs->authority.certificate);
    assert_true(
        certificate_matches(pairs->serving.certificate, pairs->serving.key, bundle, &error));
    certificate_pair_release(&other);
}

static void a_serving_certificate_cannot_sign_another(void **state)
{
    const struct pairs *pairs = *state;
    static const char *const names[] = {"example.org", NULL};
    struct certificate_pair forged = {0};
    struct error error;
    assert_true(certificate_new_serving(&pairs->serving, names, 1, &forged, &error));
    assert_false(
        certificate_matches(forged.certificate, forged.key, pairs->serving.certificate, &error));
    certificate_pair_release(&forged);
}

static void a_name_too_long_for_the_subject_stands_in_the_names_alone(void **state)
{
    const struct pairs *pairs = *state;
    static const char *const names[] = {"gitmoor-admission.a-namespace-with-a-very-long-name-"
                                        "indeed-as-they-may-have.svc.cluster.local",
                                        NULL};
    struct certificate_pair pair = {0};
    struct error error;
    assert_true(certificate_new_serving(&pairs->authority, names, 1, &pair, &error));
    assert_int_equal(verify(pair.certificate, pairs->authority.certificate, names[0], false),
                     X509_V_OK);
    certificate_pair_release(&pair);
}

static void bad_input_is_refused_with_a_reason(void **state)
{
    const struct pairs *pairs = *state;
    static const char *const bad_names[] = {"",    "a,DNS:evil.example", "-a.example", "a..b",
                                            "a b", "1.2.3.4/8"};
    struct certificate_pair pair = {0};
    struct error error = {0};
    for (size_t i = 0; i < sizeof bad_names / sizeof *bad_names; i++) {
        const char *const names[] = {bad_names[i], NULL};
        if (certificate_new_serving(&pairs->authority, names, 1, &pair, &error)) {
            fail_msg("accepted: %s", bad_names[i]);
        }
        assert_int_equal(error.code, ERROR_INVALID);
    }
    static const char *const none[] = {NULL};
    static const char *const good[] = {"a.example", NULL};
    assert_false(certificate_new_serving(&pairs->authority, none, 1, &pair, &error));
    assert_false(certificate_new_serving(&pairs->authority, good, 0, &pair, &error));
    assert_false(certificate_new_serving(&pairs->authority, good, 36501, &pair, &error));
    assert_false(certificate_new_authority("", 1, &pair, &error));
    struct certificate_pair mixed = {pairs->authority.certificate, pairs->serving.key};
    assert_false(certificate_new_serving(&mixed, good, 1, &pair, &error));
    int64_t end = 42;
    assert_false(certificate_not_after("-----BEGIN CERTIFICATE-----\nAAAA\n", &end, &error));
    assert_false(certificate_not_after(NULL, &end, &error));
    assert_int_equal(end, 42);
    assert_false(certificate_matches(pairs->serving.certificate, "", "", &error));
    assert_false(certificate_matches(pairs->serving.certificate, pairs->serving.key, "", &error));
    assert_null(pair.certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tls_client_accepts_the_names_and_no_others),
        cmocka_unit_test(keys_are_p256_in_pkcs8),
        cmocka_unit_test(validity_begins_five_minutes_ago_and_lasts_the_days),
        cmocka_unit_test(a_pair_matches_its_own_authority_and_key_only),
        cmocka_unit_test(a_serving_certificate_cannot_sign_another),
        cmocka_unit_test(a_name_too_long_for_the_subject_stands_in_the_names_alone),
        cmocka_unit_test(bad_input_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, make_pairs, free_pairs);
}
