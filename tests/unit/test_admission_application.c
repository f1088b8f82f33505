/* What is kept of Applications, and the set of them. */
#include "admission/application.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct application *read(const char *metadata, const char *spec, const char *status)
{
    AUTO_FREE char *text = mem_format("{\"apiVersion\":\"gitmoor.io/v1alpha1\",\"kind\":"
                                      "\"Application\",\"metadata\":{%s},\"spec\":{%s},"
                                      "\"status\":{%s}}",
                                      metadata, spec, status);
    struct error error = {0};
    AUTO_JSON cJSON *tree = NULL;
    if (!json_parse(text, strlen(text), NULL, &tree, &error)) {
        fail_msg("%s: %s", text, error.message);
    }
    struct application *application = NULL;
    return application_from_json(tree, &application, &error) ? application : NULL;
}

#define NAMED(name) "\"name\":\"" name "\",\"namespace\":\"prod\""

static void test_an_application_is_read_with_its_defaults(void **state)
{
    (void)state;
    struct application *application = read(NAMED("shop"), "\"source\":{\"repository\":\"r\"}", "");
    assert_string_equal(application->label, "prod.shop");
    assert_int_equal(application->protection, PROTECTION_ENFORCE);
    assert_string_equal(application->path, ".");
    assert_string_equal(application->source_namespace, "prod");
    assert_null(application->revision);
    assert_false(application_holds(application, "prod"));
    application_free(application);
    application =
        read(NAMED("shop"), "\"source\":{\"namespace\":\"platform\",\"repository\":\"r\"}", "");
    assert_string_equal(application->source_namespace, "platform");
    application_free(application);
}

static void test_a_protection_that_is_not_known_is_enforced(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        enum protection protection;
    } cases[] = {
        {"\"protection\":\"Off\"", PROTECTION_OFF},
        {"\"protection\":\"Warn\"", PROTECTION_WARN},
        {"\"protection\":\"Enforce\"", PROTECTION_ENFORCE},
        {"\"protection\":\"Audit\"", PROTECTION_ENFORCE},
        {"\"protection\":false", PROTECTION_ENFORCE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct application *application = read(NAMED("a"), cases[i].spec, "");
        assert_int_equal(application->protection, cases[i].protection);
        application_free(application);
    }
}

static void test_namespaces_of_any_type_but_text_are_passed_over(void **state)
{
    (void)state;
    struct application *application =
        read(NAMED("a"), "", "\"namespaces\":[1,\"one\",null,{},\"two\"]");
    assert_true(application_holds(application, "one"));
    assert_true(application_holds(application, "two"));
    assert_int_equal(application->namespace_count, 2);
    application_free(application);
}

static void test_an_application_without_a_name_or_namespace_is_refused(void **state)
{
    (void)state;
    assert_null(read("\"name\":\"a\"", "", ""));
    assert_null(read("\"namespace\":\"a\"", "", ""));
    assert_null(read("\"name\":7,\"namespace\":\"a\"", "", ""));
}

static void test_the_set_replaces_removes_and_sweeps(void **state)
{
    (void)state;
    struct application_set set;
    application_set_init(&set);
    static const char *const specs[] = {"", "\"protection\":\"Off\""};
    for (unsigned i = 0; i < 2; i++) {
        struct application *application = read(NAMED("a"), specs[i], "");
        application->epoch = 1;
        application_set_put(&set, application);
    }
    struct application *later = read(NAMED("b"), "", "");
    later->epoch = 2;
    application_set_put(&set, later);
    assert_int_equal(set.by_label.count, 2);
    assert_int_equal(application_set_find(&set, "prod.a")->protection, PROTECTION_OFF);
    application_set_sweep(&set, 2);
    assert_null(application_set_find(&set, "prod.a"));
    assert_non_null(application_set_find(&set, "prod.b"));
    application_set_remove(&set, "prod", "b");
    application_set_remove(&set, "prod", "never-there");
    assert_null(application_set_find(&set, "prod.b"));
    assert_null(application_set_find(&set, NULL));
    application_set_release(&set);
}

static void test_holders_of_a_namespace_come_strictest_first(void **state)
{
    (void)state;
    struct application_set set;
    application_set_init(&set);
    static const struct {
        const char *metadata;
        const char *spec;
    } each[] = {
        {NAMED("off"), "\"protection\":\"Off\""},
        {NAMED("warn"), "\"protection\":\"Warn\""},
        {NAMED("z"), ""},
        {NAMED("a"), ""},
        {NAMED("m"), ""},
    };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        application_set_put(&set, read(each[i].metadata, each[i].spec, "\"namespaces\":[\"n\"]"));
    }
    application_set_put(&set, read(NAMED("elsewhere"), "", "\"namespaces\":[\"m\"]"));
    const struct application *found[3];
    assert_int_equal(application_set_select(&set, application_holds, "n", found, 3), 5);
    assert_string_equal(found[0]->name, "a");
    assert_string_equal(found[1]->name, "m");
    assert_string_equal(found[2]->name, "z");
    const struct application *all[8];
    assert_int_equal(application_set_select(&set, application_holds, "n", all, 8), 5);
    assert_string_equal(all[3]->name, "warn");
    assert_string_equal(all[4]->name, "off");
    assert_int_equal(application_set_select(&set, application_holds, "nowhere", all, 8), 0);
    application_set_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_application_is_read_with_its_defaults),
        cmocka_unit_test(test_a_protection_that_is_not_known_is_enforced),
        cmocka_unit_test(test_namespaces_of_any_type_but_text_are_passed_over),
        cmocka_unit_test(test_an_application_without_a_name_or_namespace_is_refused),
        cmocka_unit_test(test_the_set_replaces_removes_and_sweeps),
        cmocka_unit_test(test_holders_of_a_namespace_come_strictest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
