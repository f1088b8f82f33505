/* The object that is tried in a dry-run before another is deleted for it. */
#include "applier/probe.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct built {
    struct buf path, body;
    bool ok;
};

static struct built build(const char *path, const char *object)
{
    struct built built;
    const struct plan_operation operation = {.verb = PLAN_RECREATE,
                                             .path = path,
                                             .uid = "u-1",
                                             .body = object,
                                             .body_size = strlen(object)};
    buf_init(&built.path, 4096);
    buf_init(&built.body, 4096);
    built.ok = probe_build(&operation, &built.path, &built.body);
    return built;
}

static void release(struct built *built)
{
    buf_release(&built->path);
    buf_release(&built->body);
}

static void it_differs_from_the_object_by_its_name_alone(void **state)
{
    (void)state;
    AUTO_FREE char *name = probe_name("web", "u-1");
    AUTO_FREE char *expected =
        mem_format("{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"labels\":{\"a\":"
                   "\"b\"},\"name\":\"%s\",\"namespace\":\"s\"},\"type\":\"x\"}",
                   name);
    struct built built =
        build("/api/v1/namespaces/s/secrets/web",
              "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"labels\":{\"a\":\"b\"},"
              "\"name\":\"web\",\"namespace\":\"s\"},\"type\":\"x\"}");
    assert_true(built.ok);
    assert_string_equal(built.path.data, "/api/v1/namespaces/s/secrets");
    assert_string_equal(built.body.data, expected);
    release(&built);
}

static void its_name_fits_wherever_the_old_one_does(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 8, 44, 45, 46, 52, 63, 253};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char name[254];
        memset(name, 'a', lengths[i]);
        name[lengths[i]] = '\0';
        AUTO_FREE char *other = probe_name(name, "u-1");
        AUTO_FREE char *again = probe_name(name, "u-1");
        AUTO_FREE char *of_another = probe_name(name, "u-2");
        assert_string_equal(other, again);
        assert_string_not_equal(other, of_another);
        assert_string_not_equal(other, name);
        assert_true(strlen(other) <= (lengths[i] > 52 ? lengths[i] : 52));
        assert_int_equal(strncmp(other, name, lengths[i] > 7 ? lengths[i] - 7 : 1), 0);
    }
}

static void a_definition_is_called_by_its_plural(void **state)
{
    (void)state;
    struct built built = build("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/as.x.org",
                               "{\"kind\":\"CustomResourceDefinition\",\"metadata\":{\"name\":"
                               "\"as.x.org\"},\"spec\":{\"group\":\"x.org\",\"names\":{\"kind\":"
                               "\"A\",\"plural\":\"as\"}}}");
    AUTO_FREE char *plural = probe_name("as", "u-1");
    AUTO_FREE char *expected =
        mem_format("{\"kind\":\"CustomResourceDefinition\",\"metadata\":{\"name\":\"%s.x.org\"},"
                   "\"spec\":{\"group\":\"x.org\",\"names\":{\"kind\":\"A\",\"plural\":\"%s\"}}}",
                   plural, plural);
    assert_string_equal(built.path.data, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
    assert_string_equal(built.body.data, expected);
    release(&built);
}

static void the_default_priority_may_be_the_old_ones(void **state)
{
    (void)state;
    struct built built =
        build("/apis/scheduling.k8s.io/v1/priorityclasses/p",
              "{\"globalDefault\":true,\"kind\":\"PriorityClass\",\"metadata\":{\"name\":\"p\"}}");
    assert_true(built.ok);
    assert_null(strstr(built.body.data, "globalDefault"));
    release(&built);
}

static void what_has_no_name_is_not_tried(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{}", "[]", "{\"metadata\":{}}", "{", "7"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct built built = build("/api/v1/namespaces/s/secrets/web", bodies[i]);
        assert_false(built.ok);
        release(&built);
    }
}

static void a_quota_that_counts_has_room_for_one_in_the_place_of_another(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *message;
        bool lacks_room_only;
    } cases[] = {
        {"the old one fills it",
         "services \"x-1\" is forbidden: exceeded quota: q, requested: services=1, used: "
         "services=2, limited: services=2",
         true},
        {"counts by other names",
         "exceeded quota: q, requested: count/secrets=1,secrets=1, used: "
         "count/secrets=3,secrets=3, limited: count/secrets=3,secrets=4",
         true},
        {"it was lowered: there is no room for the old one either",
         "exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=2", false},
        {"what is in the object counts too",
         "exceeded quota: q, requested: pods=1,requests.cpu=1, used: pods=2,requests.cpu=2, "
         "limited: pods=2,requests.cpu=2",
         false},
        {"a part of its sort only",
         "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, "
         "limited: services.nodeports=1",
         false},
        {"nothing is used: there never was room",
         "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0", false},
        {"amounts are not numbers",
         "exceeded quota: q, requested: pods=1, used: pods=1k, limited: pods=1k", false},
        {"one is not told", "exceeded quota: q, requested: pods=1, used: , limited: pods=1", false},
        {"it is cut off", "exceeded quota: q, requested: pods=1, used: pods=1", false},
        {"somebody else refuses", "denied by policy: no services here", false},
        {"nothing is said", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (probe_lacks_room_only(cases[i].message) != cases[i].lacks_room_only) {
            fail_msg("%s", cases[i].sentence);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_differs_from_the_object_by_its_name_alone),
        cmocka_unit_test(its_name_fits_wherever_the_old_one_does),
        cmocka_unit_test(a_definition_is_called_by_its_plural),
        cmocka_unit_test(the_default_priority_may_be_the_old_ones),
        cmocka_unit_test(what_has_no_name_is_not_tried),
        cmocka_unit_test(a_quota_that_counts_has_room_for_one_in_the_place_of_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
