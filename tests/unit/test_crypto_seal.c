#include "common/crypto/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DIGITS "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static struct seal_key key_of(const char *text)
{
    struct seal_key key;
    struct error error;
    assert_true(seal_key_parse(text, &key, &error));
    return key;
}

static void keys_are_64_hex_digits(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        bool good;
    } cases[] = {
        {"plain digits", DIGITS, true},
        {"a newline at the end", DIGITS "\n", true},
        {"blanks around", " \t" DIGITS "\r\n", true},
        {"upper case", "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", true},
        {"nothing", "", false},
        {"only blanks", " \n", false},
        {"a digit short", "00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", false},
        {"a digit more", DIGITS "0", false},
        {"two keys", DIGITS "\n" DIGITS, false},
        {"not hex", "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seal_key key;
        struct error error = {0};
        if (seal_key_parse(cases[i].text, &key, &error) != cases[i].good) {
            fail_msg("%s", cases[i].name);
        }
        assert_int_equal(error.code, cases[i].good ? ERROR_NONE : ERROR_INVALID);
        if (cases[i].good) {
            assert_int_equal(key.bytes[31], 0x1f);
            /* printf %s DIGITS | xxd -r -p | sha256sum: 630dcd29… */
            assert_int_equal(key.id, 0x630dcd29);
        } else {
            assert_null(strstr(error.message, "1f")); /* no part of a secret in a message */
        }
    }
}

/* Test case 16 of "The Galois/Counter Mode of Operation" (McGrew and Viega), AES-256. */
static void the_cipher_is_aes_256_gcm(void **state)
{
    (void)state;
    struct seal_key key =
        key_of("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    static const uint8_t nonce[] = "\xca\xfe\xba\xbe\xfa\xce\xdb\xad\xde\xca\xf8\x88";
    static const uint8_t header[] = "\xfe\xed\xfa\xce\xde\xad\xbe\xef\xfe\xed\xfa\xce\xde\xad\xbe"
                                    "\xef\xab\xad\xda\xd2";
    static const uint8_t plain[] =
        "\xd9\x31\x32\x25\xf8\x84\x06\xe5\xa5\x59\x09\xc5\xaf\xf5\x26\x9a\x86\xa7\xa9\x53\x15\x34"
        "\xf7\xda\x2e\x4c\x30\x3d\x8a\x31\x8a\x72\x1c\x3c\x0c\x95\x95\x68\x09\x53\x2f\xcf\x0e\x24"
        "\x49\xa6\xb5\x25\xb1\x6a\xed\xf5\xaa\x0d\xe6\x57\xba\x63\x7b\x39";
    static const uint8_t first[] = "\x52\x2d\xc1\xf0\x99\x56\x7d\x07";
    static const uint8_t tag[] = "\x76\xfc\x6e\xce\x0f\x4e\x17\x68\xcd\xdf\x88\x53\xbb\x2d\x55\x1b";
    uint8_t sealed[60 + SEAL_TAG_SIZE];
    seal_encrypt(&key, nonce, header, 20, plain, 60, sealed);
    assert_memory_equal(sealed, first, 8);
    assert_memory_equal(sealed + 60, tag, SEAL_TAG_SIZE);
}

static void any_changed_bit_is_noticed(void **state)
{
    (void)state;
    struct seal_key key = key_of(DIGITS);
    uint8_t nonce[SEAL_NONCE_SIZE] = {7};
    char header[] = "header", plain[] = "apply the plan";
    uint8_t sealed[sizeof plain + SEAL_TAG_SIZE], opened[sizeof plain];
    seal_encrypt(&key, nonce, header, sizeof header, plain, sizeof plain, sealed);
    assert_true(seal_decrypt(&key, nonce, header, sizeof header, sealed, sizeof sealed, opened));
    assert_memory_equal(opened, plain, sizeof plain);
    static const uint8_t zeros[sizeof plain];
    for (size_t bit = 0; bit < sizeof sealed * 8; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memset(opened, 1, sizeof opened);
        assert_false(
            seal_decrypt(&key, nonce, header, sizeof header, sealed, sizeof sealed, opened));
        assert_memory_equal(opened, zeros, sizeof opened);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    header[0] ^= 1;
    assert_false(seal_decrypt(&key, nonce, header, sizeof header, sealed, sizeof sealed, opened));
    header[0] ^= 1;
    nonce[11] ^= 1;
    assert_false(seal_decrypt(&key, nonce, header, sizeof header, sealed, sizeof sealed, opened));
    nonce[11] ^= 1;
    for (size_t size = 0; size < sizeof sealed; size++) {
        assert_false(seal_decrypt(&key, nonce, header, sizeof header, sealed, size, opened));
    }
    key.bytes[0] ^= 1;
    assert_false(seal_decrypt(&key, nonce, header, sizeof header, sealed, sizeof sealed, opened));
}

static void sealing_works_in_place_and_for_nothing(void **state)
{
    (void)state;
    struct seal_key key = key_of(DIGITS);
    uint8_t nonce[SEAL_NONCE_SIZE] = {0};
    uint8_t text[5 + SEAL_TAG_SIZE] = "hello";
    seal_encrypt(&key, nonce, "h", 1, text, 5, text);
    assert_memory_not_equal(text, "hello", 5);
    assert_true(seal_decrypt(&key, nonce, "h", 1, text, sizeof text, text));
    assert_memory_equal(text, "hello", 5);
    uint8_t empty[SEAL_TAG_SIZE], none[1];
    seal_encrypt(&key, nonce, "h", 1, NULL, 0, empty);
    assert_true(seal_decrypt(&key, nonce, "h", 1, empty, sizeof empty, none));
}

static void derived_keys_differ_by_context(void **state)
{
    (void)state;
    struct seal_key key = key_of(DIGITS), one, same, other;
    seal_key_derive(&key, "differ-0/1", 10, &one);
    seal_key_derive(&key, "differ-0/1", 10, &same);
    seal_key_derive(&key, "differ-0/2", 10, &other);
    assert_memory_equal(one.bytes, same.bytes, SEAL_KEY_SIZE);
    assert_memory_not_equal(one.bytes, other.bytes, SEAL_KEY_SIZE);
    assert_memory_not_equal(one.bytes, key.bytes, SEAL_KEY_SIZE);
    assert_int_equal(one.id, key.id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_64_hex_digits),
        cmocka_unit_test(the_cipher_is_aes_256_gcm),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(sealing_works_in_place_and_for_nothing),
        cmocka_unit_test(derived_keys_differ_by_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
