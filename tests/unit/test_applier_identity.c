/* Unit tests of applier/identity.c. */
#include "applier/identity.h"

#include "common/base/memory.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned changes;

static void count_change(void *context)
{
    (void)context;
    changes++;
}

static struct identities *known(const char *default_service_account)
{
    struct identity_options options = {.default_service_account = default_service_account,
                                       .changed = count_change};
    struct error error;
    struct identities *identities = identities_new(&options, &error);
    if (!identities) {
        fail_msg("%s", error.message);
    }
    changes = 0;
    return identities;
}

static void tell(struct identities *identities, enum kube_event_type type, uint64_t epoch,
                 const char *namespace_, const char *name, const char *uid, const char *account)
{
    AUTO_JSON cJSON *object = json_new_object();
    cJSON *metadata = json_add_object(object, "metadata");
    json_add_string(metadata, "namespace", namespace_);
    json_add_string(metadata, "name", name);
    json_add_string(metadata, "uid", uid);
    json_add_string(json_add_object(object, "spec"), "serviceAccountName", account);
    struct kube_event event = {.type = type, .object = object, .epoch = epoch};
    identities_take(identities, &event);
}

static void present(struct identities *identities, const char *name, const char *uid,
                    const char *account)
{
    tell(identities, KUBE_EVENT_PRESENT, 1, "team", name, uid, account);
}

/* "namespace/account", or the error's code word and message. */
static const char *found(const struct identities *identities, const char *name, const char *uid)
{
    static char text[4096];
    struct kube_impersonation as = {0};
    struct error error;
    if (identities_find(identities, "team", name, uid, &as, &error)) {
        snprintf(text, sizeof text, "%s/%s", as.namespace_, as.service_account);
    } else {
        assert_null(as.service_account);
        snprintf(text, sizeof text, "%s: %s", error_code_name(error.code), error.message);
    }
    return text;
}

static void the_application_names_the_service_account_of_its_namespace(void **state)
{
    (void)state;
    struct identities *identities = known("gitmoor-system/fallback");
    present(identities, "shop", "u1", "deployer");
    assert_string_equal(found(identities, "shop", "u1"), "team/deployer");
    identities_free(identities);
}

static void without_a_name_the_default_is_taken_here_or_elsewhere(void **state)
{
    (void)state;
    struct identities *here = known("default");
    present(here, "shop", "u1", NULL);
    assert_string_equal(found(here, "shop", "u1"), "team/default");
    identities_free(here);
    struct identities *elsewhere = known("gitmoor-system/fallback");
    present(elsewhere, "shop", "u1", NULL);
    assert_string_equal(found(elsewhere, "shop", "u1"), "gitmoor-system/fallback");
    identities_free(elsewhere);
}

static void an_application_that_is_not_known_or_another_is_refused_for_now(void **state)
{
    (void)state;
    struct identities *identities = known("default");
    assert_non_null(strstr(found(identities, "shop", "u1"), "Unavailable: "));
    present(identities, "shop", "u1", NULL);
    assert_non_null(strstr(found(identities, "shop", "u2"),
                           "Unavailable: the applier knows no Application team/shop with UID u2"));
    assert_non_null(strstr(found(identities, "web", "u1"), "Unavailable: "));
    tell(identities, KUBE_EVENT_DELETED, 1, "team", "shop", "u1", NULL);
    assert_non_null(strstr(found(identities, "shop", "u1"), "Unavailable: "));
    identities_free(identities);
}

/* CVE-2026-23990: an empty impersonation user means the controller's own power. The others would
 * end the header, or name another user. */
static void what_is_no_name_of_a_service_account_is_denied(void **state)
{
    (void)state;
    struct identities *identities = known("default");
    static const char *const names[] = {"",
                                        " ",
                                        "a b",
                                        "a\r\nImpersonate-Group: system:masters",
                                        "other:admin",
                                        "a/b",
                                        "A",
                                        "-a",
                                        "a-",
                                        ".",
                                        "a.",
                                        "ä",
                                        "../a"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        present(identities, "shop", "u1", names[i]);
        if (strncmp(found(identities, "shop", "u1"), "Denied: ", 8) != 0) {
            fail_msg("\"%s\": %s", names[i], found(identities, "shop", "u1"));
        }
    }
    identities_free(identities);
}

static void a_default_that_is_no_name_is_refused_at_the_start(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "", "/", "a/", "/a", "a/b/c", "system:masters", "A"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct identity_options options = {.default_service_account = names[i]};
        struct error error;
        assert_null(identities_new(&options, &error));
        assert_non_null(strstr(error.message, "is neither NAME nor NAMESPACE/NAME"));
    }
}

static void what_a_complete_list_lacks_is_forgotten(void **state)
{
    (void)state;
    struct identities *identities = known("default");
    present(identities, "shop", "u1", NULL);
    present(identities, "web", "u2", NULL);
    assert_false(identities_are_synced(identities));
    identities_take_synced(identities, 1);
    assert_true(identities_are_synced(identities));
    assert_int_equal(identities_count(identities), 2);
    tell(identities, KUBE_EVENT_PRESENT, 2, "team", "web", "u2", NULL);
    identities_take_synced(identities, 2);
    assert_int_equal(identities_count(identities), 1);
    assert_string_equal(found(identities, "web", "u2"), "team/default");
    identities_free(identities);
}

static void only_a_change_of_uid_or_account_is_told(void **state)
{
    (void)state;
    struct identities *identities = known("default");
    present(identities, "shop", "u1", NULL);
    assert_int_equal(changes, 1);
    present(identities, "shop", "u1", NULL); /* its status, as a rule */
    assert_int_equal(changes, 1);
    present(identities, "shop", "u1", "a");
    assert_int_equal(changes, 2);
    present(identities, "shop", "u2", "a");
    assert_int_equal(changes, 3);
    assert_string_equal(found(identities, "shop", "u2"), "team/a");
    identities_free(identities);
}

static void the_tenancy_settings_choose_and_refuse_accounts_and_sources(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/test-identity-%d.yaml", (int)getpid());
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs("rules: [{namespaces: [team], serviceAccounts: [deployer], defaultServiceAccount: "
          "platform/writer, sharedRepositories: [platform/*]}]\n",
          out);
    fclose(out);
    struct event_base *base = event_base_new();
    const struct tenancy_file_options file_options = {.base = base, .path = path};
    struct tenancy_file *file = NULL;
    struct error error;
    assert_true(tenancy_file_open(&file_options, &file, &error));
    struct identity_options options = {.default_service_account = "default", .tenancy = file};
    struct identities *identities = identities_new(&options, &error);
    present(identities, "named", "u1", "deployer");
    present(identities, "other", "u2", "admin");
    present(identities, "unnamed", "u3", NULL);
    assert_string_equal(found(identities, "named", "u1"), "team/deployer");
    assert_non_null(strstr(found(identities, "other", "u2"), "Denied: Application team/other: "
                                                             "service account team/admin is not"));
    assert_string_equal(found(identities, "unnamed", "u3"), "platform/writer");

    static const char *const sources[][2] = {
        {"platform", "team/deployer"}, {"team", "team/deployer"}, {"blue", "Denied: "}};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        AUTO_JSON cJSON *object = json_new_object();
        cJSON *metadata = json_add_object(object, "metadata");
        json_add_string(metadata, "namespace", "team");
        json_add_string(metadata, "name", "named");
        json_add_string(metadata, "uid", "u1");
        cJSON *spec = json_add_object(object, "spec");
        json_add_string(spec, "serviceAccountName", "deployer");
        cJSON *source = json_add_object(spec, "source");
        json_add_string(source, "namespace", sources[i][0]);
        json_add_string(source, "repository", "shop");
        struct kube_event event = {.type = KUBE_EVENT_PRESENT, .object = object, .epoch = 1};
        identities_take(identities, &event);
        assert_non_null(strstr(found(identities, "named", "u1"), sources[i][1]));
    }
    identities_free(identities);
    tenancy_file_free(file);
    event_base_free(base);
    unlink(path);
}

static void applications_are_shared_by_their_repository(void **state)
{
    (void)state;
    static const struct {
        const char *source, *share;
    } cases[] = {{"{\"repository\":\"shop\"}", "team/shop"},
                 {"{\"repository\":\"shop\",\"namespace\":\"platform\"}", "platform/shop"},
                 {"{\"repository\":\"shop\",\"namespace\":\"\"}", "team/shop"}};
    struct identities *identities = known("default");
    assert_null(identities_share(identities, "team/web"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO_FREE char *text = mem_format("{\"metadata\":{\"namespace\":\"team\",\"name\":\"web\","
                                          "\"uid\":\"u1\"},\"spec\":{\"source\":%s}}",
                                          cases[i].source);
        AUTO_JSON cJSON *object = NULL;
        assert_true(json_parse(text, strlen(text), NULL, &object, NULL));
        struct kube_event event = {.type = KUBE_EVENT_PRESENT, .object = object, .epoch = 1};
        identities_take(identities, &event);
        AUTO_FREE char *share = identities_share(identities, "team/web");
        assert_string_equal(share, cases[i].share);
    }
    identities_free(identities);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tenancy_settings_choose_and_refuse_accounts_and_sources),
        cmocka_unit_test(the_application_names_the_service_account_of_its_namespace),
        cmocka_unit_test(without_a_name_the_default_is_taken_here_or_elsewhere),
        cmocka_unit_test(an_application_that_is_not_known_or_another_is_refused_for_now),
        cmocka_unit_test(what_is_no_name_of_a_service_account_is_denied),
        cmocka_unit_test(a_default_that_is_no_name_is_refused_at_the_start),
        cmocka_unit_test(what_a_complete_list_lacks_is_forgotten),
        cmocka_unit_test(only_a_change_of_uid_or_account_is_told),
        cmocka_unit_test(applications_are_shared_by_their_repository),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
