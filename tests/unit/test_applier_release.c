/* What is taken off an object that is given up. */
#include "applier/release.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                       \
    "{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"7\",\"labels\":{\"app\":\"web\","          \
    "\"gitmoor.io/managed-by\":\"shop.web\"}"
#define OURS                                                                                       \
    "{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"apiVersion\":\"v1\",\"fieldsV1\":{"        \
    "\"f:data\":{\"f:a\":{}}}}"
#define BEGIN                                                                                      \
    "[{\"op\":\"replace\",\"path\":\"/metadata/resourceVersion\",\"value\":\"7\"},"                \
    "{\"op\":\"remove\",\"path\":\"/metadata/labels/gitmoor.io~1managed-by\"}"
#define OWNERS(entries)                                                                            \
    ",{\"op\":\"replace\",\"path\":\"/metadata/managedFields\",\"value\":[" entries "]}]"
#define NOBODY(fields)                                                                             \
    "{\"apiVersion\":\"v1\",\"fieldsV1\":{\"f:data\":{" fields "}},"                               \
    "\"manager\":\"before-first-apply\",\"operation\":\"Update\"}"

static char *make(const char *text, const char *uid, const char *label)
{
    AUTO_JSON cJSON *object = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &object, NULL));
    return release_make_patch(object, uid, label);
}

static void our_marks_go_and_everything_else_stays(void **state)
{
    (void)state;
    static const struct {
        const char *name, *object, *patch;
    } rows[] = {
        {"label and entry", HEAD ",\"managedFields\":[" OURS "]}}",
         BEGIN OWNERS(NOBODY("\"f:a\":{}"))},
        {"annotations to us, and no others",
         HEAD ",\"annotations\":{\"gitmoor.io/prune\":\"disabled\",\"note\":\"mine\","
              "\"gitmoor.io/wave\":\"5\"},\"managedFields\":[" OURS "]}}",
         BEGIN ",{\"op\":\"remove\",\"path\":\"/metadata/annotations/gitmoor.io~1prune\"},"
               "{\"op\":\"remove\",\"path\":\"/metadata/annotations/gitmoor.io~1wave\"}" OWNERS(
                   NOBODY("\"f:a\":{}"))},
        {"the entries of others",
         HEAD ",\"managedFields\":[{\"manager\":\"kubectl\",\"operation\":\"Update\"}," OURS "]}}",
         BEGIN OWNERS("{\"manager\":\"kubectl\",\"operation\":\"Update\"}," NOBODY("\"f:a\":{}"))},
        {"what is nobody's already has one entry",
         HEAD ",\"managedFields\":[" OURS "," NOBODY("\"f:b\":{}") "]}}",
         BEGIN OWNERS(NOBODY("\"f:b\":{},\"f:a\":{}"))},
        {"an API that has no managedFields", HEAD "}}", BEGIN "]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_FREE char *patch = make(rows[i].object, "u", "shop.web");
        AUTO_JSON cJSON *told = NULL;
        AUTO_JSON cJSON *wanted = NULL;
        assert_non_null(patch);
        assert_true(json_parse(patch, strlen(patch), NULL, &told, NULL));
        assert_true(json_parse(rows[i].patch, strlen(rows[i].patch), NULL, &wanted, NULL));
        if (!json_equal(told, wanted)) {
            fail_msg("%s: %s", rows[i].name, patch);
        }
    }
}

static void another_object_or_anothers_is_left_alone(void **state)
{
    (void)state;
    static const char object[] = HEAD ",\"managedFields\":[" OURS "]}}";
    assert_null(make(object, "v", "shop.web"));
    assert_null(make(object, "u", "shop.other"));
    assert_null(make("{\"metadata\":{\"uid\":\"u\"}}", "u", "shop.web"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_marks_go_and_everything_else_stays),
        cmocka_unit_test(another_object_or_anothers_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
