/* semver.jsonl holds which versions Helm's own library finds in some eight hundred ranges;
 * tests/oracle/regenerate makes it anew. */
#include "fetcher/semver.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Where we differ on purpose. */
static bool is_known_difference(const char *range)
{
    static const char *const texts[] = {
        /* Nothing given is "*", as `helm pull` has it before it asks its library. */
        "",
        "  ",
        /* A part after one that is left out cannot mean anything. */
        "1.*.x",
        /* Any, as its own documentation says; it finds 0.0.0 alone. */
        "^*",
        /* No number of a version has a leading zero. */
        "1.02.3",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (text_equal(range, texts[i])) {
            return true;
        }
    }
    return false;
}

static cJSON *read_line(FILE *file)
{
    char line[65536];
    if (!fgets(line, sizeof line, file)) {
        return NULL;
    }
    cJSON *row = NULL;
    struct error error;
    if (!json_parse(line, strlen(line), NULL, &row, &error)) {
        fail_msg("%s", error.message);
    }
    return row;
}

static void held(const struct semver_range *range, const cJSON *order, char *ret, size_t size)
{
    size_t used = 0;
    ret[0] = '\0';
    for (const cJSON *item = json_first(order); item; item = item->next) {
        struct semver version;
        assert_true(semver_parse(item->valuestring, &version));
        if (semver_range_holds(range, &version)) {
            used += (size_t)snprintf(ret + used, size - used, "%s ", item->valuestring);
        }
    }
}

static void a_range_holds_what_helm_finds_in_it(void **state)
{
    (void)state;
    FILE *file = fopen(TEST_DATA "/semver.jsonl", "r");
    assert_non_null(file);
    AUTO_JSON cJSON *first = read_line(file);
    const cJSON *order = json_array(first, "order");
    size_t rows = 0;
    for (cJSON *row; (row = read_line(file)); json_free(row)) {
        const char *text = json_string(row, "range");
        bool valid = json_bool(row, "valid", false);
        struct error error;
        struct semver_range *range = semver_range_new(text, &error);
        rows++;
        if (is_known_difference(text)) {
            semver_range_free(range);
            continue;
        }
        if (valid != (range != NULL)) {
            fail_msg("\"%s\": we take it: %d, Helm: %d", text, range != NULL, valid);
        }
        char ours[4096], theirs[4096] = "";
        size_t used = 0;
        for (const cJSON *item = json_first(json_array(row, "holds")); item; item = item->next) {
            used += (size_t)snprintf(theirs + used, sizeof theirs - used, "%s ", item->valuestring);
        }
        if (range) {
            held(range, order, ours, sizeof ours);
            if (strcmp(ours, theirs) != 0) {
                fail_msg("\"%s\"\nours   %s\ntheirs %s", text, ours, theirs);
            }
        }
        semver_range_free(range);
    }
    fclose(file);
    assert_true(rows > 700);
}

static void versions_are_in_the_order_of_the_specification(void **state)
{
    (void)state;
    FILE *file = fopen(TEST_DATA "/semver.jsonl", "r");
    assert_non_null(file);
    AUTO_JSON cJSON *first = read_line(file);
    fclose(file);
    for (const cJSON *a = json_first(json_array(first, "order")); a; a = a->next) {
        struct semver left, right;
        assert_true(semver_parse(a->valuestring, &left));
        assert_int_equal(semver_compare(&left, &left), 0);
        for (const cJSON *b = a->next; b; b = b->next) {
            assert_true(semver_parse(b->valuestring, &right));
            assert_true(semver_compare(&left, &right) < 0);
            assert_true(semver_compare(&right, &left) > 0);
        }
    }
}

static void what_is_no_version_is_refused(void **state)
{
    (void)state;
    char endless[400];
    memset(endless, '1', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    const char *const rows[] = {"",        "1",          "1.2",        "20260101",
                                "1.2.3.4", "a.b.c",      "1.2.x",      "01.2.3",
                                "1.2.3-",  "1.2.3-01",   "1.2.3+",     " 1.2.3",
                                "1.2.3 ",  "vv1.2.3",    "1.2.3-a..b", "1.2.3-ä",
                                "-1.2.3",  "1.2.3-rc_1", endless,      "1.2.9999999999999999999"};
    struct semver version;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (semver_parse(rows[i], &version)) {
            fail_msg("\"%s\" is taken for a version", rows[i]);
        }
    }
    assert_false(semver_parse(NULL, &version));
    assert_true(semver_parse("v1.2.3-rc.1+exp.sha.5114f85", &version));
    assert_int_equal(version.pre_size, 4);
}

static void a_range_that_is_none_is_quoted(void **state)
{
    (void)state;
    struct error error;
    assert_null(semver_range_new("latest", &error));
    assert_non_null(strstr(error.message, "\"latest\" is no version and no range"));
    char many[700] = "";
    for (int i = 0; i < 100; i++) {
        strcat(many, "1 ||2,");
    }
    assert_null(semver_range_new(many, &error));
    for (size_t size = 1; size < 200; size++) { /* more comparisons than there may be */
        many[size * 2 - 2] = '1';
        many[size * 2 - 1] = ' ';
        many[size * 2] = '\0';
        semver_range_free(semver_range_new(many, &error));
    }
}

static void nothing_given_is_every_release(void **state)
{
    (void)state;
    static const char *const texts[] = {"", NULL, "*", " "};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct error error;
        struct semver version;
        struct semver_range *range = semver_range_new(texts[i], &error);
        assert_non_null(range);
        assert_true(semver_parse("0.0.1", &version) && semver_range_holds(range, &version));
        assert_true(semver_parse("9.0.0-rc.1", &version) && !semver_range_holds(range, &version));
        assert_false(semver_range_anchor(range, &version));
        semver_range_free(range);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_holds_what_helm_finds_in_it),
        cmocka_unit_test(versions_are_in_the_order_of_the_specification),
        cmocka_unit_test(what_is_no_version_is_refused),
        cmocka_unit_test(a_range_that_is_none_is_quoted),
        cmocka_unit_test(nothing_given_is_every_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
