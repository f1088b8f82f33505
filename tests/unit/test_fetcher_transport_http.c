/* What can be asked of the transport without a server; the rest is in
 * tests/e2e/test_fetcher_worker.py. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "fetcher/fetch.h"
#include "fetcher/transport_curl.h"
#include "fetcher/transport_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SERVICE "/info/refs?service=git-upload-pack"

struct redirect_case {
    const char *sentence;
    const char *base, *target;
    const char *expected; /* the new base; NULL: not followed */
};

static const struct redirect_case redirects[] = {
    {"another path", "https://h/a", "https://h/a.git" SERVICE, "https://h/a.git"},
    {"the default port, said", "https://h/a", "https://h:443/b" SERVICE, "https://h:443/b"},
    {"the host in capitals", "https://h/a", "https://H/b" SERVICE, "https://H/b"},
    {"another host", "https://h/a", "https://evil/a" SERVICE, NULL},
    {"a subdomain", "https://h/a", "https://x.h/a" SERVICE, NULL},
    {"another port", "https://h/a", "https://h:8443/a" SERVICE, NULL},
    {"http", "https://h/a", "http://h/a" SERVICE, NULL},
    {"credentials in the target", "https://h/a", "https://u:p@h/a" SERVICE, NULL},
    {"the host as a user of another", "https://h/a", "https://h@evil/a" SERVICE, NULL},
    {"no path of Git's", "https://h/a", "https://h/login", NULL},
    {"a file", "https://h/a", "file:///etc/passwd" SERVICE, NULL},
    {"nothing", "https://h/a", "", NULL},
};

static void redirects_stay_on_the_server(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof redirects / sizeof redirects[0]; i++) {
        char *base = mem_string(redirects[i].base);
        bool followed = http_transport_rebase(&base, redirects[i].target);
        const char *expected = redirects[i].expected ? redirects[i].expected : redirects[i].base;
        if (followed != (redirects[i].expected != NULL) || !text_equal(base, expected)) {
            fail_msg("%s: %s", redirects[i].sentence, base);
        }
        free(base);
    }
}

struct url_case {
    const char *url;
    bool files, allowed;
};

static const struct url_case urls[] = {
    {"https://h/r.git", false, true},
    {"https://h:8443/group/r", false, true},
    {"https://[::1]/r", false, true},
    {"https://h/a@b", false, true},
    {"file:///srv/r", true, true},
    {"file:///srv/r", false, false},
    {"ssh://git@h/r", false, true},
    {"ssh://git:p@h/r", true, false},
    {"http://h/r", true, false},
    {"https://u:p@h/r", true, false},
    {"https://u@h/r", true, false},
    {"https://h/r?x=1", true, false},
    {"https://h/r#x", true, false},
    {"https://h/a b", true, false},
    {"https://h/a\r\nX: y", true, false},
    {"https:///r", true, false},
    {"https://", true, false},
    {"", true, false},
    {"/srv/r", true, false},
    {"https://u:p@h:1/r?@x", true, false},
};

static void only_urls_that_can_work_are_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        enum fetch_reason reason = FETCH_SUCCEEDED;
        struct error error;
        bool allowed = fetch_check_url(urls[i].url, urls[i].files, &reason, &error);
        if (allowed != urls[i].allowed) {
            fail_msg("%s", urls[i].url);
        }
        if (!allowed) {
            assert_int_equal(reason, FETCH_UNSUPPORTED_URL);
            assert_null(strstr(error.message, "u:p"));
        }
    }
}

static void authorities_must_be_certificates(void **state)
{
    (void)state;
    struct error error;
    assert_false(transport_curl_check_authorities("", &error));
    assert_false(transport_curl_check_authorities("hello", &error));
    assert_false(transport_curl_check_authorities(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &error));
    assert_non_null(strstr(error.message, "ca.crt"));
}

/* What an index names, on the page that it is read from. */
static void a_reference_is_resolved_to_https_or_not_at_all(void **state)
{
    static const struct {
        const char *reference, *expected;
    } rows[] = {
        {"web-1.tgz", "https://h/charts/web-1.tgz"},
        {"/web-1.tgz", "https://h/web-1.tgz"},
        {"../web-1.tgz", "https://h/web-1.tgz"},
        {"//other/web-1.tgz", "https://other/web-1.tgz"},
        {"https://other:8443/a?b=c", "https://other:8443/a?b=c"},
        {"http://h/web-1.tgz", NULL},
        {"ftp://h/web-1.tgz", NULL},
        {"file:///etc/passwd", NULL},
        {"oci://h/web", NULL},
        {"https://user:word@h/web-1.tgz", NULL},
        {"https://", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_FREE char *url =
            transport_curl_resolve("https://h/charts/index.yaml", rows[i].reference);
        if (!text_equal(url, rows[i].expected)) {
            fail_msg("%s: %s", rows[i].reference, url ? url : "nothing");
        }
    }
}

static void a_proxy_is_http_and_tells_no_password(void **state)
{
    static const char *const good[] = {"http://proxy:3128", "https://proxy.example",
                                       "http://[::1]:3128"};
    static const char *const bad[] = {"", "proxy:3128", "socks5://proxy", "http://",
                                      "http://user:word@proxy"};
    struct error error;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(transport_curl_check_proxy(good[i], &error));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(transport_curl_check_proxy(bad[i], &error));
        assert_null(strstr(error.message, "word@"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redirects_stay_on_the_server),
        cmocka_unit_test(only_urls_that_can_work_are_taken),
        cmocka_unit_test(authorities_must_be_certificates),
        cmocka_unit_test(a_reference_is_resolved_to_https_or_not_at_all),
        cmocka_unit_test(a_proxy_is_http_and_tells_no_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
