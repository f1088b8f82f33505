/* Refusals, word by word as kube-apiserver 1.35 has them. */
#include "differ/remedy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct remedy_case {
    int status;
    const char *message;
    const char *expected; /* a part of it; NULL: there is none */
};

static const struct remedy_case cases[] = {
    {404, "namespaces \"nowhere\" not found", "Declare the Namespace"},
    {404, "configmaps \"a\" not found", NULL},
    {403,
     "configmaps \"settings\" is forbidden: User \"system:serviceaccount:shop:weak\" cannot patch "
     "resource \"configmaps\" in API group \"\" in the namespace \"shop\"",
     "spec.serviceAccountName"},
    {403, "pods \"a\" is forbidden: exceeded quota: small, requested: pods=1", "Raise the quota"},
    {403, "admission webhook \"x\" denied the request: no", NULL},
    {500,
     "failed to create typed patch object (shop/x; /v1, Kind=ConfigMap): .dta: field not declared "
     "in schema",
     "Correct its name"},
    {422, "Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -1", NULL},
};

static void what_the_server_does_not_say_is_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = remedy_for(cases[i].status, cases[i].message);
        if (cases[i].expected ? !strstr(text, cases[i].expected) : *text) {
            fail_msg("\"%s\": got \"%s\"", cases[i].message, text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_the_server_does_not_say_is_said)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
