/* Unit tests of applier/immutable.c, with answers as kube-apiserver 1.35 gives them. */
#include "applier/immutable.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define CAUSE(field, reason, message)                                                              \
    "{\"field\":\"" field "\",\"reason\":\"" reason "\",\"message\":\"" message "\"}"
#define STATUS(causes)                                                                             \
    "{\"kind\":\"Status\",\"reason\":\"Invalid\",\"code\":422,\"details\":{\"causes\":[" causes    \
    "]}}"
#define SELECTOR                                                                                   \
    CAUSE("spec.selector", "FieldValueInvalid", "Invalid value: {}: field is immutable")

static void only_what_is_immutable_and_nothing_else_is_proof(void **state)
{
    (void)state;
    static const struct {
        const char *body, *fields; /* NULL: no proof */
    } cases[] = {
        {STATUS(SELECTOR), "spec.selector"},
        {STATUS(SELECTOR "," SELECTOR), "spec.selector"},
        {STATUS(SELECTOR "," CAUSE("data", "FieldValueForbidden",
                                   "Forbidden: field is immutable when `immutable` is set")),
         "spec.selector, data"},
        {STATUS(CAUSE("spec", "FieldValueForbidden",
                      "Forbidden: updates to statefulset spec for fields other than 'replicas' are "
                      "forbidden")),
         "spec"},
        {STATUS(CAUSE("roleRef", "FieldValueInvalid", "Invalid value: cannot change roleRef")),
         "roleRef"},
        {STATUS(SELECTOR "," CAUSE("spec.x", "FieldValueRequired", "Required value")), NULL},
        {STATUS(CAUSE("spec.x", "FieldValueNotFound", "field is immutable")), NULL},
        {STATUS(CAUSE("spec.x", "FieldValueInvalid", "Invalid value: 1: must be 2")), NULL},
        {STATUS(""), NULL},
        {"{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"details\":{\"causes\":[" SELECTOR "]}}",
         NULL},
        {"{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"field is immutable\"}", NULL},
        {"no JSON", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO_FREE char *fields = immutable_fields(cases[i].body, strlen(cases[i].body));
        if (!text_equal(fields, cases[i].fields)) {
            fail_msg("%s: %s", cases[i].body, fields ? fields : "no proof");
        }
    }
    assert_null(immutable_fields(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_immutable_and_nothing_else_is_proof),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
