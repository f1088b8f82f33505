/* What a spec asks for arrives in the worker. */
#include "fetcher/fetch.h"
#include "fetcher/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
    struct error error = {0};
    cJSON *tree = NULL;
    if (!json_parse(text, strlen(text), NULL, &tree, &error)) {
        fail_msg("%s", error.message);
    }
    return tree;
}

static void what_a_spec_says_is_what_is_fetched(void **state)
{
    (void)state;
    struct error error = {0};
    struct repository_spec spec;
    struct fetch_request request;
    AUTO_JSON cJSON *described = json_new_object();
    AUTO_JSON cJSON *object =
        parse("{\"spec\":{\"url\":\"https://h/r\",\"ref\":{\"branch\":\"b\",\"tag\":\"t\","
              "\"semver\":\"1.x\",\"name\":\"refs/n\",\"commit\":\"c\"},\"chart\":\"web\","
              "\"version\":\"^1\",\"digest\":\"sha256:00\",\"timeout\":\"9s\","
              "\"verify\":{\"mode\":\"TagAndHEAD\",\"secretRef\":{\"name\":\"k\"}}}}");
    assert_true(repository_spec_read(object, &spec, &error));
    repository_spec_describe(&spec, described);
    fetch_request_read(described, &request);
    assert_string_equal(request.url, "https://h/r");
    assert_string_equal(request.branch, "b");
    assert_string_equal(request.tag, "t");
    assert_string_equal(request.semver, "1.x");
    assert_string_equal(request.name, "refs/n");
    assert_string_equal(request.commit, "c");
    assert_string_equal(request.chart, "web");
    assert_string_equal(request.version, "^1");
    assert_string_equal(request.digest, "sha256:00");
    assert_int_equal(request.timeout_ms, 9000);
    assert_true(request.verify_head && request.verify_tag);
    repository_spec_release(&spec);
}

static void what_is_not_said_is_not_there(void **state)
{
    (void)state;
    struct fetch_request request;
    AUTO_JSON cJSON *described = parse("{\"url\":\"u\",\"fresh\":true,\"sizeMaximum\":5}");
    fetch_request_read(described, &request);
    assert_null(request.chart);
    assert_null(request.password);
    assert_null(request.servers);
    assert_false(request.verify_head);
    assert_true(request.fresh);
    assert_int_equal(request.size_maximum, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_spec_says_is_what_is_fetched),
        cmocka_unit_test(what_is_not_said_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
