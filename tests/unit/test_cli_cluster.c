#include "cli/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void an_operand_names_an_object(void **state)
{
    (void)state;
    static const struct {
        const char *operand;
        const struct kube_resource *kind; /* NULL: refused */
        const char *name;
    } cases[] = {
        {"web", &cluster_applications, "web"},
        {"app/web", &cluster_applications, "web"},
        {"application/web", &cluster_applications, "web"},
        {"repository/shop", &cluster_repositories, "shop"},
        {"gitrepository.gitmoor.io/shop", &cluster_repositories, "shop"},
        {"repo/shop", &cluster_repositories, "shop"},
        {"chart/web", &cluster_charts, "web"},
        {"helmrepositories.gitmoor.io/web", &cluster_charts, "web"},
        {"pod/web", NULL, "pod"},
        {"repository/", NULL, "no object"},
        {"/web", NULL, "no kind"},
        {"", NULL, "no object"},
        {"app/a/b", NULL, "no object"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cluster_target target = {0};
        struct error error = {0};
        bool ok = cluster_parse_target(cases[i].operand, &target, &error);
        assert_true(ok == (cases[i].kind != NULL));
        if (ok) {
            assert_ptr_equal(target.kind, cases[i].kind);
            assert_string_equal(target.name, cases[i].name);
        } else {
            assert_non_null(strstr(error.message, cases[i].name));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_operand_names_an_object)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
