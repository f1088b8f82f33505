#include "common/bus/blob_store.h"

#include "common/bus/bus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct digest put(struct blob_store *store, char fill, size_t size, bool pinned)
{
    char bytes[128];
    memset(bytes, fill, sizeof bytes);
    struct digest digest;
    struct error error = {0};
    if (!blob_store_put(store, bytes, size, pinned, &digest, &error)) {
        fail_msg("%s", error.message);
    }
    return digest;
}

static void a_blob_is_named_by_its_digest_and_stored_once(void **state)
{
    (void)state;
    struct blob_store store;
    blob_store_init(&store, 1000);
    struct digest first = put(&store, 'a', 100, false), again = put(&store, 'a', 100, false);
    struct digest expected;
    char bytes[100];
    memset(bytes, 'a', sizeof bytes);
    digest_of(bytes, sizeof bytes, &expected);
    assert_true(digest_equal(&first, &expected));
    assert_true(digest_equal(&first, &again));
    assert_int_equal(store.bytes, 100);
    const struct blob *blob = blob_store_find(&store, &first);
    assert_int_equal(blob->size, 100);
    assert_memory_equal(blob->data, bytes, sizeof bytes);
    digest_of("other", 5, &expected);
    assert_null(blob_store_find(&store, &expected));
    blob_store_release(&store);
}

static void the_least_recently_used_goes_first(void **state)
{
    (void)state;
    struct blob_store store;
    blob_store_init(&store, 300);
    struct digest a = put(&store, 'a', 100, false), b = put(&store, 'b', 100, false);
    struct digest c = put(&store, 'c', 100, false);
    assert_non_null(blob_store_find(&store, &a));
    struct digest d = put(&store, 'd', 100, false);
    assert_null(blob_store_find(&store, &b));
    assert_non_null(blob_store_find(&store, &a));
    assert_non_null(blob_store_find(&store, &c));
    assert_non_null(blob_store_find(&store, &d));
    assert_int_equal(store.bytes, 300);
    blob_store_release(&store);
}

static void pinned_blobs_stay_and_count(void **state)
{
    (void)state;
    struct blob_store store;
    blob_store_init(&store, 300);
    struct digest a = put(&store, 'a', 100, true);
    struct digest b = put(&store, 'b', 100, false);
    put(&store, 'c', 100, false);
    put(&store, 'd', 100, true);
    assert_non_null(blob_store_find(&store, &a));
    assert_null(blob_store_find(&store, &b));
    struct digest ignored;
    struct error error = {0};
    char large[101] = "z";
    assert_false(blob_store_put(&store, large, sizeof large, false, &ignored, &error));
    assert_int_equal(error.code, ERROR_LIMIT);
    assert_int_equal(store.bytes, 300); /* nothing was evicted for what does not fit anyway */
    put(&store, 'e', 100, true);
    assert_false(blob_store_put(&store, "x", 1, true, &ignored, &error));
    blob_store_drop(&store, &a);
    assert_null(blob_store_find(&store, &a));
    put(&store, 'f', 100, true);
    blob_store_release(&store);
}

static void each_pinned_put_takes_a_drop_of_its_own(void **state)
{
    (void)state;
    struct blob_store store;
    blob_store_init(&store, 300);
    struct digest a = put(&store, 'a', 100, true);
    put(&store, 'a', 100, true);
    put(&store, 'a', 100, false);
    blob_store_drop(&store, &a);
    assert_non_null(blob_store_find(&store, &a));
    assert_int_equal(store.pinned_bytes, 100);
    blob_store_drop(&store, &a);
    blob_store_drop(&store, &a);
    assert_null(blob_store_find(&store, &a));
    assert_int_equal(store.pinned_bytes, 0);
    assert_int_equal(store.bytes, 0);
    blob_store_release(&store);
}

static void nothing_at_all_is_a_blob_too(void **state)
{
    (void)state;
    struct blob_store store;
    blob_store_init(&store, 10);
    struct digest digest;
    assert_true(blob_store_put(&store, NULL, 0, false, &digest, NULL));
    assert_int_equal(blob_store_find(&store, &digest)->size, 0);
    blob_store_release(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_blob_is_named_by_its_digest_and_stored_once),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(pinned_blobs_stay_and_count),
        cmocka_unit_test(each_pinned_put_takes_a_drop_of_its_own),
        cmocka_unit_test(nothing_at_all_is_a_blob_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
