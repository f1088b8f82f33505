/* SSHSIG: what cannot be read, and signatures of security keys, which are made here as a device
 * would and shown to ssh-keygen as well. */
#include "common/base/buf.h"
#include "common/base/digest.h"
#include "common/base/memory.h"
#include "fetcher/signers.h"
#include "fetcher/sshsig.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char message[] = "what is signed\n";

/* ---- A security key ---- */

static void put_uint32(struct buf *out, size_t value)
{
    const unsigned char bytes[] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                   (unsigned char)(value >> 8), (unsigned char)value};
    buf_append(out, bytes, 4);
}

static void put_string(struct buf *out, const void *data, size_t size)
{
    put_uint32(out, size);
    buf_append(out, data, size);
}

static void put_text(struct buf *out, const char *text)
{
    put_string(out, text, strlen(text));
}

struct device {
    EVP_PKEY *key;
    const char *type;
    bool is_ecdsa;
    unsigned char flags;
};

static void put_public_key(const struct device *device, struct buf *out)
{
    unsigned char point[256];
    size_t size = sizeof point;
    put_text(out, device->type);
    if (device->is_ecdsa) {
        put_text(out, "nistp256");
        assert_int_equal(EVP_PKEY_get_octet_string_param(device->key, "pub", point, size, &size),
                         1);
    } else {
        assert_int_equal(EVP_PKEY_get_raw_public_key(device->key, point, &size), 1);
    }
    put_string(out, point, size);
    put_text(out, "ssh:");
}

static void put_number(struct buf *out, const BIGNUM *number)
{
    unsigned char bytes[64] = {0};
    int size = BN_bn2bin(number, bytes + 1);
    bool high = bytes[1] & 0x80;
    put_string(out, bytes + !high, (size_t)size + high);
}

static void put_raw_signature(const struct device *device, const struct buf *assertion,
                              struct buf *out)
{
    unsigned char der[256];
    size_t size = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(context, NULL, device->is_ecdsa ? EVP_sha256() : NULL, NULL,
                                        device->key),
                     1);
    assert_int_equal(EVP_DigestSign(context, der, &size, (const unsigned char *)assertion->data,
                                    assertion->size),
                     1);
    EVP_MD_CTX_free(context);
    if (!device->is_ecdsa) {
        put_string(out, der, size);
        return;
    }
    const unsigned char *at = der;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)size);
    struct buf numbers AUTO_BUF;
    buf_init(&numbers, 256);
    put_number(&numbers, ECDSA_SIG_get0_r(pair));
    put_number(&numbers, ECDSA_SIG_get0_s(pair));
    ECDSA_SIG_free(pair);
    put_string(out, numbers.data, numbers.size);
}

static void put_signature(const struct device *device, const char *namespace_, struct buf *out)
{
    struct buf signed_ AUTO_BUF, assertion AUTO_BUF;
    buf_init(&signed_, 4096);
    buf_init(&assertion, 4096);
    struct digest digest;
    unsigned char hash[64];
    size_t hash_size = 0;
    assert_int_equal(EVP_Q_digest(NULL, "SHA512", NULL, message, strlen(message), hash, &hash_size),
                     1);
    buf_append_string(&signed_, "SSHSIG");
    put_text(&signed_, namespace_);
    put_text(&signed_, "");
    put_text(&signed_, "sha512");
    put_string(&signed_, hash, hash_size);
    digest_of("ssh:", 4, &digest);
    buf_append(&assertion, digest.bytes, DIGEST_SIZE);
    buf_append(&assertion, &device->flags, 1);
    put_uint32(&assertion, 7);
    digest_of(signed_.data, signed_.size, &digest);
    buf_append(&assertion, digest.bytes, DIGEST_SIZE);
    put_text(out, device->type);
    put_raw_signature(device, &assertion, out);
    buf_append(out, &device->flags, 1);
    put_uint32(out, 7);
}

static void put_armour(const struct device *device, const char *namespace_, struct buf *out)
{
    struct buf key AUTO_BUF, signature AUTO_BUF, blob AUTO_BUF;
    buf_init(&key, 4096);
    buf_init(&signature, 4096);
    buf_init(&blob, 8192);
    put_public_key(device, &key);
    put_signature(device, namespace_, &signature);
    buf_append_string(&blob, "SSHSIG");
    put_uint32(&blob, 1);
    put_string(&blob, key.data, key.size);
    put_text(&blob, namespace_);
    put_text(&blob, "");
    put_text(&blob, "sha512");
    put_string(&blob, signature.data, signature.size);
    unsigned char text[8192];
    EVP_EncodeBlock(text, (const unsigned char *)blob.data, (int)blob.size);
    buf_append_string(out, "-----BEGIN SSH SIGNATURE-----\n");
    for (size_t at = 0; at < strlen((char *)text); at += 70) {
        buf_append_format(out, "%.70s\n", (char *)text + at);
    }
    buf_append_string(out, "-----END SSH SIGNATURE-----\n");
}

/* What ssh-keygen -Y check-novalidate says of the armour. */
static bool ssh_keygen_accepts(const struct buf *armour, const char *said)
{
    char folder[] = "/tmp/gitmoor-test-sshsig-XXXXXX";
    assert_non_null(mkdtemp(folder));
    AUTO_FREE char *path = mem_format("%s/sig", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fwrite(armour->data, 1, armour->size, file);
    fclose(file);
    AUTO_FREE char *command = mem_format(
        "printf '%%s' '%s' | ssh-keygen -Y check-novalidate -n git -s %s >/dev/null 2>&1", said,
        path);
    int status = system(command);
    unlink(path);
    rmdir(folder);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool we_accept(const struct buf *armour, const char *said)
{
    struct sshsig signature;
    struct error error;
    if (!sshsig_parse(armour->data, armour->size, &signature, &error)) {
        return false;
    }
    bool good = sshsig_verify(&signature, "git", said, strlen(said), &error);
    sshsig_release(&signature);
    return good;
}

static void security_keys_verify_as_with_ssh_keygen(void **state)
{
    (void)state;
    struct device devices[] = {
        {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "sk-ssh-ed25519@openssh.com", false, 1},
        {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), "sk-ecdsa-sha2-nistp256@openssh.com", true,
         1},
        {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "sk-ssh-ed25519@openssh.com", false, 0},
    };
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        struct buf armour AUTO_BUF, other AUTO_BUF;
        buf_init(&armour, 16384);
        buf_init(&other, 16384);
        put_armour(&devices[i], "git", &armour);
        put_armour(&devices[i], "file", &other);
        assert_true(ssh_keygen_accepts(&armour, message));
        assert_true(we_accept(&armour, message));
        assert_false(ssh_keygen_accepts(&armour, "something else\n"));
        assert_false(we_accept(&armour, "something else\n"));
        assert_false(ssh_keygen_accepts(&other, message));
        assert_false(we_accept(&other, message));
        EVP_PKEY_free(devices[i].key);
    }
}

/* Whatever bit is flipped: it is refused, or ssh-keygen takes it too. */
static void no_flipped_bit_is_taken(void **state)
{
    (void)state;
    struct device device = {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "sk-ssh-ed25519@openssh.com",
                            false, 1};
    struct buf armour AUTO_BUF;
    buf_init(&armour, 16384);
    put_armour(&device, "git", &armour);
    EVP_PKEY_free(device.key);
    for (size_t i = 0; i < armour.size; i++) {
        char before = armour.data[i];
        armour.data[i] = (char)(before ^ 1);
        if (we_accept(&armour, message)) {
            assert_true(ssh_keygen_accepts(&armour, message));
        }
        armour.data[i] = before;
    }
    assert_true(we_accept(&armour, message));
}

static void what_is_no_signature_is_refused(void **state)
{
    (void)state;
    static const char *const armours[] = {
        "",
        "-----BEGIN SSH SIGNATURE-----\n",
        "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
        "-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----\n",
        "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n",
        "-----BEGIN SSH SIGNATURE-----\n%%%%\n-----END SSH SIGNATURE-----\n",
        " -----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----\n",
        /* a string said to be 4 GiB long */
        "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAf////8=\n-----END SSH SIGNATURE-----\n",
    };
    for (size_t i = 0; i < sizeof armours / sizeof armours[0]; i++) {
        struct sshsig signature;
        struct error error;
        assert_false(sshsig_parse(armours[i], strlen(armours[i]), &signature, &error));
        assert_int_not_equal(error.message[0], '\0');
    }
}

static void a_signature_over_64_kib_is_refused(void **state)
{
    (void)state;
    struct buf armour AUTO_BUF;
    buf_init(&armour, 1 << 20);
    buf_append_string(&armour, "-----BEGIN SSH SIGNATURE-----\n");
    for (size_t i = 0; i < 70000; i++) {
        buf_append_char(&armour, 'A');
    }
    buf_append_string(&armour, "\n-----END SSH SIGNATURE-----\n");
    struct sshsig signature;
    struct error error;
    assert_false(sshsig_parse(armour.data, armour.size, &signature, &error));
    assert_int_equal(error.code, ERROR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(security_keys_verify_as_with_ssh_keygen),
        cmocka_unit_test(no_flipped_bit_is_taken),
        cmocka_unit_test(what_is_no_signature_is_refused),
        cmocka_unit_test(a_signature_over_64_kib_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
