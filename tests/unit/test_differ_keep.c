/* Which words on an object keep it from being deleted. */
#include "differ/keep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void words_of_ours_and_of_others(void **state)
{
    (void)state;
#define ANNOTATION(name, value) "{\"annotations\":{\"" name "\":\"" value "\"}}"
    static const struct {
        const char *metadata;
        enum keep keep;
    } rows[] = {
        {"{}", KEEP_NO},
        {ANNOTATION("gitmoor.io/prune", "disabled"), KEEP_YES},
        {ANNOTATION("gitmoor.io/prune", "enabled"), KEEP_NO},
        {ANNOTATION("gitmoor.io/prune", "false"), KEEP_UNCLEAR},
        {ANNOTATION("gitmoor.io/prune", "Disabled"), KEEP_UNCLEAR},
        {ANNOTATION("gitmoor.io/prune", ""), KEEP_UNCLEAR},
        {ANNOTATION("kustomize.toolkit.fluxcd.io/prune", "disabled"), KEEP_YES},
        {"{\"labels\":{\"kustomize.toolkit.fluxcd.io/prune\":\"disabled\"}}", KEEP_YES},
        {ANNOTATION("kustomize.toolkit.fluxcd.io/prune", "enabled"), KEEP_NO},
        {ANNOTATION("argocd.argoproj.io/sync-options", "Prune=false"), KEEP_YES},
        {ANNOTATION("argocd.argoproj.io/sync-options", "Replace=true,Prune=false"), KEEP_YES},
        {ANNOTATION("argocd.argoproj.io/sync-options", " Prune=false , Replace=true"), KEEP_YES},
        {ANNOTATION("argocd.argoproj.io/sync-options", "Prune=falsely"), KEEP_NO},
        {ANNOTATION("argocd.argoproj.io/sync-options", "PruneLast=true"), KEEP_NO},
        {"{\"labels\":{\"argocd.argoproj.io/sync-options\":\"Prune=false\"}}", KEEP_NO},
        {ANNOTATION("helm.sh/resource-policy", "keep"), KEEP_YES},
        {ANNOTATION("helm.sh/resource-policy", "delete"), KEEP_NO},
        {"{\"labels\":{\"gitmoor.io/prune\":\"disabled\"}}", KEEP_NO},
        {"{\"annotations\":{\"gitmoor.io/prune\":\"enabled\",\"helm.sh/"
         "resource-policy\":\"keep\"}}",
         KEEP_NO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_JSON cJSON *metadata = NULL;
        assert_true(json_parse(rows[i].metadata, strlen(rows[i].metadata), NULL, &metadata, NULL));
        if (keep_read(metadata) != rows[i].keep) {
            fail_msg("%s: %d", rows[i].metadata, keep_read(metadata));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_of_ours_and_of_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
