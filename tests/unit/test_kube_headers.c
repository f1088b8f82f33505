/* Unit tests of common/kube/headers.c: who a request says it is. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The header lines, each followed by a line break. */
static void join(const struct kube_header_set *set, struct buf *out)
{
    buf_clear(out);
    for (const struct curl_slist *line = set->list; line; line = line->next) {
        buf_append_string(out, line->data);
        buf_append_char(out, '\n');
    }
}

static void test_an_identity_becomes_headers(void **state)
{
    (void)state;
    struct kube_config config = {.token = (char *)"secret"};
    struct kube_headers headers;
    struct kube_header_set *set = NULL;
    struct error error;
    AUTO_BUF struct buf text = {0};
    buf_init(&text, 65536);
    assert_true(kube_headers_init(&headers, &config, &error));
    struct kube_impersonation as = {.namespace_ = "shop",
                                    .service_account = "deployer",
                                    .extra_key = "gitmoor.io/applier",
                                    .extra_value = "me"};
    struct kube_request request = {.as = &as, .content_type = KUBE_APPLY_TYPE};
    assert_true(kube_headers_get(&headers, &request, &set, &error));
    join(set, &text);
    assert_string_equal(text.data, "Authorization: Bearer secret\nAccept: application/json\n"
                                   "Content-Type: application/apply-patch+yaml\nExpect:\n"
                                   "Impersonate-User: system:serviceaccount:shop:deployer\n"
                                   "Impersonate-Extra-gitmoor.io%2Fapplier: me\n");
    struct kube_header_set *again = NULL;
    assert_true(kube_headers_get(&headers, &request, &again, &error));
    assert_ptr_equal(again, set);
    request.as = NULL;
    assert_true(kube_headers_get(&headers, &request, &again, &error));
    assert_ptr_not_equal(again, set);
    join(again, &text);
    assert_null(strstr(text.data, "Impersonate"));
    kube_headers_release(&headers);
}

static void test_a_person_keeps_their_groups(void **state)
{
    (void)state;
    struct kube_config config = {.token = (char *)"secret"};
    struct kube_headers headers;
    struct kube_header_set *set = NULL, *other = NULL;
    struct error error;
    AUTO_BUF struct buf text = {0};
    buf_init(&text, 65536);
    assert_true(kube_headers_init(&headers, &config, &error));
    const char *groups[] = {"dev", "ops team", NULL};
    struct kube_impersonation as = {
        .user = "anna", .groups = groups, .extra_key = "gitmoor.io/applier", .extra_value = "me"};
    struct kube_request request = {.as = &as};
    assert_true(kube_headers_get(&headers, &request, &set, &error));
    join(set, &text);
    assert_non_null(strstr(text.data, "Impersonate-User: anna\nImpersonate-Group: dev\n"
                                      "Impersonate-Group: ops team\n"
                                      "Impersonate-Extra-gitmoor.io%2Fapplier: me\n"));
    groups[1] = NULL;
    assert_true(kube_headers_get(&headers, &request, &other, &error));
    assert_ptr_not_equal(set, other);
    groups[0] = "a\r\nX: y";
    assert_false(kube_headers_get(&headers, &request, &other, &error));
    as = (struct kube_impersonation){.user = ""}; /* an empty user would be ourselves */
    assert_false(kube_headers_get(&headers, &request, &other, &error));
    kube_headers_release(&headers);
}

#define ACCOUNT(space, account, key, value)                                                        \
    {                                                                                              \
        .namespace_ = (space), .service_account = (account), .extra_key = (key),                   \
        .extra_value = (value)                                                                     \
    }

static void test_an_incomplete_identity_makes_no_headers(void **state)
{
    (void)state;
    static const struct kube_impersonation cases[] = {
        ACCOUNT(NULL, "a", NULL, NULL),        ACCOUNT("", "a", NULL, NULL),
        ACCOUNT("a", NULL, NULL, NULL),        ACCOUNT("a", "", NULL, NULL),
        ACCOUNT("a", "b\r\nX: y", NULL, NULL), ACCOUNT("a:b", "c", NULL, NULL),
        ACCOUNT("A", "b", NULL, NULL),         ACCOUNT("a", "b", "", "v"),
        ACCOUNT("a", "b", "k", NULL),          ACCOUNT("a", "b", "k", ""),
        ACCOUNT("a", "b", "k", "v\nX: y"),     ACCOUNT("a", "b/c", NULL, NULL),
    };
    struct kube_config config = {.token = (char *)"secret"};
    struct kube_headers headers;
    struct error error;
    assert_true(kube_headers_init(&headers, &config, &error));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kube_header_set *set = NULL;
        struct kube_request request = {.as = &cases[i]};
        assert_false(kube_headers_get(&headers, &request, &set, &error));
        assert_int_equal(error.code, ERROR_INVALID);
        assert_non_null(strstr(error.message, "the request was not sent"));
    }
    kube_headers_release(&headers);
}

static void test_a_thousand_identities_do_not_pile_up(void **state)
{
    (void)state;
    struct kube_config config = {0};
    struct kube_headers headers;
    struct error error;
    struct kube_header_set *first = NULL;
    assert_true(kube_headers_init(&headers, &config, &error));
    for (int i = 0; i < 2000; i++) {
        AUTO_FREE char *name = mem_format("sa-%d", i);
        struct kube_impersonation as = {.namespace_ = "shop", .service_account = name};
        struct kube_request request = {.as = &as};
        struct kube_header_set *set = NULL;
        assert_true(kube_headers_get(&headers, &request, &set, &error));
        if (i == 0) {
            first = set; /* in use all the time */
        } else {
            kube_headers_put(set);
        }
    }
    assert_true(headers.sets.count <= 512);
    assert_string_equal(first->list->data, "Accept: application/json");
    kube_headers_release(&headers);
}

static void write_token(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_a_rotated_token_reaches_every_list(void **state)
{
    (void)state;
    char path[] = "/tmp/kube-token-XXXXXX";
    int fd = mkstemp(path);
    struct kube_config config = {.token_file = path};
    struct kube_headers headers;
    struct kube_request request = {0};
    struct kube_header_set *set = NULL;
    struct error error;
    close(fd);
    write_token(path, " \n");
    assert_false(kube_headers_init(&headers, &config, &error));
    kube_headers_release(&headers);
    write_token(path, "one\n");
    assert_true(kube_headers_init(&headers, &config, &error));
    assert_true(kube_headers_get(&headers, &request, &set, &error));
    assert_string_equal(set->list->data, "Authorization: Bearer one");
    write_token(path, "two");
    assert_false(kube_headers_refresh(&headers, false)); /* looked at not long ago */
    assert_true(kube_headers_refresh(&headers, true));
    assert_string_equal(set->list->data, "Authorization: Bearer two");
    assert_false(kube_headers_refresh(&headers, true));
    write_token(path, "three\nX-Remote-User: admin");
    assert_false(kube_headers_refresh(&headers, true)); /* not a token */
    unlink(path);
    assert_false(kube_headers_refresh(&headers, true));
    assert_string_equal(set->list->data, "Authorization: Bearer two");
    kube_headers_release(&headers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_identity_becomes_headers),
        cmocka_unit_test(test_a_person_keeps_their_groups),
        cmocka_unit_test(test_an_incomplete_identity_makes_no_headers),
        cmocka_unit_test(test_a_thousand_identities_do_not_pile_up),
        cmocka_unit_test(test_a_rotated_token_reaches_every_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
