/* Unit tests of common/base/digest.c. */
#include "common/base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* FIPS 180-2, appendix B.1. */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
/* Of nothing. */
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void it_is_sha256_whole_and_piecewise(void **state)
{
    (void)state;
    struct digest whole, pieces, none;
    char hex[DIGEST_HEX_SIZE];
    digest_of("abc", 3, &whole);
    digest_to_hex(&whole, hex);
    assert_string_equal(hex, ABC);
    struct digest_state *running = digest_new();
    digest_update(running, "a", 1);
    digest_update(running, NULL, 0);
    digest_update(running, "bc", 2);
    digest_finish(running, &pieces);
    assert_true(digest_equal(&whole, &pieces));
    digest_of(NULL, 0, &none);
    digest_to_hex(&none, hex);
    assert_string_equal(hex, EMPTY);
    assert_false(digest_equal(&whole, &none));
}

static void zero_means_not_known(void **state)
{
    (void)state;
    struct digest digest = {0};
    assert_true(digest_is_zero(&digest));
    digest.bytes[DIGEST_SIZE - 1] = 1;
    assert_false(digest_is_zero(&digest));
}

static void hex_is_read_back_and_nothing_else(void **state)
{
    (void)state;
    struct digest digest, before;
    assert_true(digest_from_hex(ABC, &digest));
    struct digest expected;
    digest_of("abc", 3, &expected);
    assert_true(digest_equal(&digest, &expected));
    before = digest;
    static const char *const wrong[] = {
        "",
        "ba78",
        ABC "0",
        "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        " a7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(digest_from_hex(wrong[i], &digest));
    }
    assert_false(digest_from_hex(NULL, &digest));
    assert_true(digest_equal(&digest, &before)); /* written only on success */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_sha256_whole_and_piecewise),
        cmocka_unit_test(zero_means_not_known),
        cmocka_unit_test(hex_is_read_back_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
