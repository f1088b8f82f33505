#include "fetcher/versions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const char *const texts[] = {"1.0.0", "2.1.0",      "1.2.0", "latest", "1.2.10", "1.2.9",
                                    "1.3.0", "3.0.0-rc.1", "0.9.0", "1.2.9",  "nightly"};

static void fill(struct versions *versions)
{
    for (size_t i = 0; i < COUNT(texts); i++) {
        versions_add(versions, texts[i], (void *)texts[i]);
    }
}

static void the_highest_in_the_range_is_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *range, *chosen;
    } rows[] = {{"*", "2.1.0"},     {"^1", "1.3.0"},          {"~1.2", "1.2.10"},
                {"1.2.9", "1.2.9"}, {">=2-0", "3.0.0-rc.1"},  {"<1", "0.9.0"},
                {"^4", NULL},       {"1.2.3", NULL},          {">2.1.0", NULL},
                {"<0.9", NULL},     {"1.2.0 - 1.2", "1.2.10"}};
    struct versions versions AUTO_VERSIONS = {0};
    fill(&versions);
    assert_int_equal(versions.others, 2);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct error error;
        struct semver_range *range = semver_range_new(rows[i].range, &error);
        const struct version *chosen = versions_highest(&versions, range);
        if ((chosen == NULL) != (rows[i].chosen == NULL) ||
            (chosen && strcmp(chosen->text, rows[i].chosen) != 0)) {
            fail_msg("%s: %s", rows[i].range, chosen ? chosen->text : "none");
        }
        assert_true(!chosen || chosen->data == chosen->text);
        semver_range_free(range);
    }
}

static void the_message_names_what_is_near(void **state)
{
    (void)state;
    static const struct {
        const char *range, *message;
    } rows[] = {
        {"1.2.3", "It has 3.0.0-rc.1, 1.2.10, 1.2.9, 1.2.0, 1.0.0 and 3 others"},
        {"^4", "It has 3.0.0-rc.1, 2.1.0 and 6 others"},
        {"<0.1", "It has 3.0.0-rc.1, 1.0.0, 0.9.0 and 5 others"},
        {"*", "It has 3.0.0-rc.1, 2.1.0 and 6 others"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct versions versions AUTO_VERSIONS = {0};
        struct buf out AUTO_BUF;
        struct error error;
        buf_init(&out, 4096);
        fill(&versions);
        struct semver_range *range = semver_range_new(rows[i].range, &error);
        versions_describe(&versions, range, &out);
        assert_string_equal(out.data, rows[i].message);
        semver_range_free(range);
    }
}

static void nothing_at_all_is_said_so(void **state)
{
    (void)state;
    struct versions versions AUTO_VERSIONS = {0};
    struct buf out AUTO_BUF;
    struct error error;
    buf_init(&out, 4096);
    versions_add(&versions, "latest", NULL);
    struct semver_range *range = semver_range_new("*", &error);
    assert_null(versions_highest(&versions, range));
    versions_describe(&versions, range, &out);
    assert_string_equal(out.data, "It has no version at all");
    semver_range_free(range);
}

/* Precedence does not tell them apart, and yet the choice may not depend on the server's order. */
static void the_build_after_the_plus_decides_among_equals(void **state)
{
    (void)state;
    static const char *const orders[][2] = {{"1.0.0+a", "1.0.0+b"}, {"1.0.0+b", "1.0.0+a"}};
    for (size_t i = 0; i < COUNT(orders); i++) {
        struct versions versions AUTO_VERSIONS = {0};
        struct error error;
        versions_add(&versions, orders[i][0], NULL);
        versions_add(&versions, orders[i][1], NULL);
        struct semver_range *range = semver_range_new("1.0.0", &error);
        assert_string_equal(versions_highest(&versions, range)->text, "1.0.0+b");
        semver_range_free(range);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_in_the_range_is_chosen),
        cmocka_unit_test(the_message_names_what_is_near),
        cmocka_unit_test(nothing_at_all_is_said_so),
        cmocka_unit_test(the_build_after_the_plus_decides_among_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
