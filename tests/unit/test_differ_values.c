/* What is made of ConfigMaps and Secrets that an Application names. */
#include "common/base/memory.h"
#include "differ/values.h"

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

struct world {
    struct application_spec spec;
    struct values_source *sources;
    size_t count;
};

static struct world open_world(const char *spec)
{
    struct world world;
    AUTO_FREE char *text =
        mem_format("{\"metadata\":{\"namespace\":\"shop\",\"name\":\"web\"},\"spec\":%s}", spec);
    AUTO_JSON cJSON *object = parse(text);
    application_spec_read(object, &world.spec);
    world.count = values_list(&world.spec, &world.sources);
    return world;
}

static void close_world(struct world *world)
{
    values_free(world->sources, world->count);
    application_spec_release(&world->spec);
}

static bool take(struct world *world, size_t at, const char *object)
{
    AUTO_JSON cJSON *tree = object ? parse(object) : NULL;
    return values_take(&world->sources[at], tree);
}

static void expect_lack(const struct world *world, size_t at, const char *expected)
{
    AUTO_FREE char *lack = values_describe_lack(&world->sources[at], "shop");
    assert_int_equal(values_is_lacking(&world->sources[at]), expected != NULL);
    if (expected) {
        assert_string_equal(lack, expected);
    } else {
        assert_null(lack);
    }
}

static void expect_added(const struct world *world, const char *expected)
{
    AUTO_JSON cJSON *item = json_new_object();
    AUTO_JSON cJSON *wanted = parse(expected);
    AUTO_BUF struct buf text;
    buf_init(&text, 65536);
    values_add(world->sources, world->count, &world->spec, item);
    if (!json_equal(item, wanted)) {
        json_write(item, &text);
        fail_msg("%s is not %s", text.data, expected);
    }
}

static void what_is_named_is_listed_in_the_order_of_the_spec(void **state)
{
    (void)state;
    struct world world =
        open_world("{\"render\":{\"helm\":{\"valuesFrom\":[{\"kind\":\"ConfigMap\",\"name\":\"a\"},"
                   "{\"kind\":\"Secret\",\"name\":\"b\",\"key\":\"k\",\"optional\":true}]}},"
                   "\"substituteFrom\":[{\"kind\":\"ConfigMap\",\"name\":\"c\"}],"
                   "\"decryption\":{\"secretRef\":{\"name\":\"d\"}}}");
    static const struct {
        const char *name, *kind, *field;
    } expected[] = {{"a", "ConfigMap", "spec.render.helm.valuesFrom"},
                    {"b", "Secret", "spec.render.helm.valuesFrom"},
                    {"c", "ConfigMap", "spec.substituteFrom"},
                    {"d", "Secret", "spec.decryption"}};
    assert_int_equal(world.count, 4);
    for (size_t i = 0; i < world.count; i++) {
        assert_string_equal(world.sources[i].name, expected[i].name);
        assert_string_equal(values_kind(&world.sources[i]), expected[i].kind);
        assert_string_equal(values_field(&world.sources[i]), expected[i].field);
    }
    expect_lack(&world, 0, "the ConfigMap a does not exist in the namespace shop");
    expect_lack(&world, 1, NULL); /* is optional */
    take(&world, 0, "{\"data\":{\"other\":\"x\"}}");
    expect_lack(&world, 0, "the ConfigMap a has no usable key values.yaml");
    close_world(&world);
}

static void values_of_secrets_are_decoded_and_kept_in_order(void **state)
{
    (void)state;
    struct world world =
        open_world("{\"render\":{\"helm\":{\"valuesFrom\":[{\"kind\":\"Secret\",\"name\":\"b\"},"
                   "{\"kind\":\"ConfigMap\",\"name\":\"a\"}]}}}");
    assert_true(take(&world, 0, "{\"data\":{\"values.yaml\":\"eDogMQ==\"}}"));
    assert_false(take(&world, 0, "{\"data\":{\"values.yaml\":\"eDogMQ==\",\"other\":\"MQ==\"}}"));
    assert_true(take(&world, 1, "{\"data\":{\"values.yaml\":\"x: 2\"}}"));
    expect_added(&world,
                 "{\"values\":[{\"from\":\"the Secret b, key values.yaml\",\"text\":\"x: 1\"},"
                 "{\"from\":\"the ConfigMap a, key values.yaml\",\"text\":\"x: 2\"}]}");
    assert_true(take(&world, 1, NULL));
    expect_added(&world, "{\"values\":[{\"from\":\"the Secret b, key values.yaml\",\"text\":"
                         "\"x: 1\"}]}");
    close_world(&world);
}

static void the_later_variable_counts_and_the_specs_own_most(void **state)
{
    (void)state;
    struct world world = open_world(
        "{\"substitute\":{\"a\":\"own\"},\"substituteFrom\":[{\"kind\":\"ConfigMap\",\"name\":"
        "\"one\"},{\"kind\":\"ConfigMap\",\"name\":\"two\"}]}");
    take(&world, 0, "{\"data\":{\"a\":\"1\",\"b\":\"1\",\"c\":\"1\"}}");
    take(&world, 1, "{\"data\":{\"a\":\"2\",\"b\":\"2\"}}");
    expect_added(&world, "{\"values\":[],\"variables\":{\"a\":\"own\",\"b\":\"2\",\"c\":\"1\"}}");
    close_world(&world);
}

static void keys_are_told_apart_by_their_names_and_others_are_not_kept(void **state)
{
    (void)state;
    struct world world = open_world("{\"decryption\":{\"secretRef\":{\"name\":\"keys\"}}}");
    take(&world, 0,
         "{\"data\":{\"a.agekey\":\"QUdF\",\"b.asc\":\"UEdQ\",\"password\":\"c2VjcmV0\"}}");
    expect_added(&world, "{\"values\":[],\"decryption\":{\"from\":\"the Secret keys\","
                         "\"age\":{\"a.agekey\":\"AGE\"},\"pgp\":{\"b.asc\":\"PGP\"}}}");
    assert_null(strstr(world.sources[0].text, "secret"));
    close_world(&world);
}

static void an_application_that_names_nothing_gets_nothing(void **state)
{
    (void)state;
    struct world world = open_world("{}");
    assert_int_equal(world.count, 0);
    expect_added(&world, "{}");
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_named_is_listed_in_the_order_of_the_spec),
        cmocka_unit_test(values_of_secrets_are_decoded_and_kept_in_order),
        cmocka_unit_test(the_later_variable_counts_and_the_specs_own_most),
        cmocka_unit_test(keys_are_told_apart_by_their_names_and_others_are_not_kept),
        cmocka_unit_test(an_application_that_names_nothing_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
