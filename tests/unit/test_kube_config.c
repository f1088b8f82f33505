/* Unit tests of common/kube/config.c. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define REST "contexts: [{name: c, context: {cluster: k, user: u}}]\ncurrent-context: c\n"
#define CLUSTER "clusters: [{name: k, cluster: {server: \"https://10.0.0.1:6443\"}}]\n"
#define USER "users: [{name: u, user: {token: secret}}]\n"

static bool parse(const char *text, const char *context, struct kube_config **ret,
                  struct error *error)
{
    return kube_config_parse(text, strlen(text), "kc", "/etc/kc", context, ret, error);
}

struct good {
    const char *name;
    const char *text;
    const char *context;
    struct kube_config expected;
};

static void check_text(const char *what, const char *field, const char *got, const char *expected)
{
    if (!text_equal(got, expected)) {
        fail_msg("%s: %s is %s, expected %s", what, field, got, expected);
    }
}

static void check_good(const struct good *good)
{
    struct kube_config *config = NULL;
    struct error error;
    if (!parse(good->text, good->context, &config, &error)) {
        fail_msg("%s: %s", good->name, error.message);
    }
    const struct kube_config *expected = &good->expected;
    check_text(good->name, "server", config->server, expected->server);
    check_text(good->name, "tls_server_name", config->tls_server_name, expected->tls_server_name);
    check_text(good->name, "proxy_url", config->proxy_url, expected->proxy_url);
    check_text(good->name, "ca_file", config->ca_file, expected->ca_file);
    check_text(good->name, "ca_data", config->ca_data, expected->ca_data);
    check_text(good->name, "cert_file", config->client_cert_file, expected->client_cert_file);
    check_text(good->name, "cert_data", config->client_cert_data, expected->client_cert_data);
    check_text(good->name, "key_file", config->client_key_file, expected->client_key_file);
    check_text(good->name, "key_data", config->client_key_data, expected->client_key_data);
    check_text(good->name, "token", config->token, expected->token);
    check_text(good->name, "token_file", config->token_file, expected->token_file);
    check_text(good->name, "namespace", config->namespace_, expected->namespace_);
    assert_int_equal(config->insecure_skip_tls_verify, expected->insecure_skip_tls_verify);
    kube_config_free(config);
}

static void test_good_files(void **state)
{
    (void)state;
    const struct good cases[] = {
        {"a token and the default namespace",
         CLUSTER USER REST,
         NULL,
         {.server = (char *)"https://10.0.0.1:6443",
          .token = (char *)"secret",
          .namespace_ = (char *)"default"}},
        {"JSON is YAML",
         "{\"kind\":\"Config\",\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\",\"context\":"
         "{\"cluster\":\"k\",\"user\":\"u\"}}],\"clusters\":[{\"name\":\"k\",\"cluster\":"
         "{\"server\":\"https://h\"}}],\"users\":[{\"name\":\"u\",\"user\":{}}]}",
         NULL,
         {.server = (char *)"https://h", .namespace_ = (char *)"default"}},
        {"a context by name, with a namespace, a slash at the end and no user",
         "clusters:\n- name: k\n  cluster: {server: 'https://h:1/p//', tls-server-name: name,"
         " proxy-url: 'http://p:3128', insecure-skip-tls-verify: true}\n"
         "contexts:\n- name: other\n  context: {cluster: k, namespace: shop}\n",
         "other",
         {.server = (char *)"https://h:1/p",
          .tls_server_name = (char *)"name",
          .proxy_url = (char *)"http://p:3128",
          .insecure_skip_tls_verify = true,
          .namespace_ = (char *)"shop"}},
        {"relative files are found beside the kubeconfig, absolute ones where they are",
         "clusters: [{name: k, cluster: {server: 'https://h', certificate-authority: ca.crt}}]\n"
         "users: [{name: u, user: {client-certificate: pki/c.crt, client-key: /k, tokenFile: t}}]"
         "\n" REST,
         NULL,
         {.server = (char *)"https://h",
          .ca_file = (char *)"/etc/kc/ca.crt",
          .client_cert_file = (char *)"/etc/kc/pki/c.crt",
          .client_key_file = (char *)"/k",
          .token_file = (char *)"/etc/kc/t",
          .namespace_ = (char *)"default"}},
        {"data is preferred to files, and a token file to a token",
         "clusters: [{name: k, cluster: {server: 'https://h', certificate-authority: ca.crt,"
         " certificate-authority-data: Q0E=}}]\n"
         "users: [{name: u, user: {client-certificate: c, client-certificate-data: Q0VSVA==,"
         " client-key: k, client-key-data: S0VZ, token: t, tokenFile: /t}}]\n" REST,
         NULL,
         {.server = (char *)"https://h",
          .ca_data = (char *)"CA",
          .client_cert_data = (char *)"CERT",
          .client_key_data = (char *)"KEY",
          .token_file = (char *)"/t",
          .namespace_ = (char *)"default"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_good(&cases[i]);
    }
}

struct bad {
    const char *name;
    const char *text;
    const char *context;
    const char *message; /* contained */
};

static const struct bad bad_files[] = {
    {"an exec plugin is refused and its user named (Flux CVE-2022-24817)",
     CLUSTER "users: [{name: u, user: {exec: {command: /bin/sh}}}]\n" REST, NULL,
     "kc: user \"u\": \"exec\" is refused"},
    {"an exec plugin is refused beside a token",
     CLUSTER "users: [{name: u, user: {token: t, exec: {}}}]\n" REST, NULL, "\"exec\" is refused"},
    {"an auth-provider is refused",
     CLUSTER "users: [{name: u, user: {auth-provider: {name: gcp}}}]\n" REST, NULL,
     "\"auth-provider\" is refused"},
    {"impersonation is refused rather than left out",
     CLUSTER "users: [{name: u, user: {token: t, as: bob}}]\n" REST, NULL, "\"as\" is refused"},
    {"a password is refused", CLUSTER "users: [{name: u, user: {username: a, password: b}}]\n" REST,
     NULL, "\"username\" is refused"},
    {"an unknown context", CLUSTER USER REST, "nowhere", "there is no context \"nowhere\""},
    {"an unknown cluster", USER REST, NULL,
     "context \"c\": kc: there is no cluster \"k\" under clusters"},
    {"an unknown user", CLUSTER REST, NULL, "there is no user \"u\" under users"},
    {"no current context", CLUSTER USER "contexts: []\n", NULL, "no current-context is set"},
    {"an empty file", "", NULL, "no current-context is set"},
    {"no server", "clusters: [{name: k, cluster: {}}]\n" USER REST, NULL, "no server is given"},
    {"a server that is no URL", "clusters: [{name: k, cluster: {server: 'h:6443'}}]\n" USER REST,
     NULL, "neither an https:// nor an http:// URL"},
    {"a token that is a number", CLUSTER "users: [{name: u, user: {token: 123}}]\n" REST, NULL,
     "token is not a string; quote it"},
    {"a token with a line break", CLUSTER "users: [{name: u, user: {token: \"a\\nb\"}}]\n" REST,
     NULL, "white space or control characters"},
    {"a certificate without its key",
     CLUSTER "users: [{name: u, user: {client-certificate: c}}]\n" REST, NULL,
     "a client certificate is given without its key"},
    {"a key without its certificate",
     CLUSTER "users: [{name: u, user: {client-key-data: S0VZ}}]\n" REST, NULL,
     "a client key is given without its certificate"},
    {"data that is not base64",
     CLUSTER "users: [{name: u, user: {client-key-data: '-----BEGIN'}}]\n" REST, NULL,
     "client-key-data is not base64"},
    {"another kind of document", "kind: Secret\n" CLUSTER USER REST, NULL,
     "a kubeconfig is one document of kind Config"},
    {"a list instead of a document", "- a\n", NULL, "a kubeconfig is one document"},
    {"two documents", CLUSTER "---\n" USER, NULL, "a kubeconfig is one document"},
    {"YAML that does not parse", "clusters: [", NULL, "kc:"},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
        const struct bad *bad = &bad_files[i];
        struct kube_config *config = NULL;
        struct error error;
        error_clear(&error);
        if (parse(bad->text, bad->context, &config, &error)) {
            fail_msg("%s: was accepted", bad->name);
        }
        if (!strstr(error.message, bad->message)) {
            fail_msg("%s: the message is: %s", bad->name, error.message);
        }
        assert_null(config);
    }
}

static char *write_file(const char *directory, const char *name, const char *text)
{
    char *path = mem_format("%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static void test_files_are_merged_as_kubectl_does(void **state)
{
    (void)state;
    char directory[] = "/tmp/kube-config-XXXXXX";
    struct kube_config *config = NULL;
    struct error error;
    assert_non_null(mkdtemp(directory));
    AUTO_FREE char *sub = mem_format("%s/sub", directory);
    assert_int_equal(mkdir(sub, 0700), 0);
    /* The first file decides on the context and the user, the second adds the cluster. */
    AUTO_FREE char *one =
        write_file(directory, "one", "users: [{name: u, user: {token: first}}]\n" REST);
    AUTO_FREE char *two = write_file(
        sub, "two",
        "clusters: [{name: k, cluster: {server: 'https://h', certificate-authority: ca}}]\n"
        "users: [{name: u, user: {exec: {}}}]\ncurrent-context: other\n");
    AUTO_FREE char *paths = mem_format("%s::%s/missing:%s", one, directory, two);
    setenv("KUBECONFIG", paths, 1);
    if (!kube_config_load(NULL, NULL, &config, &error)) {
        fail_msg("%s", error.message);
    }
    AUTO_FREE char *ca = mem_format("%s/ca", sub);
    assert_string_equal(config->token, "first");
    assert_string_equal(config->server, "https://h");
    assert_string_equal(config->ca_file, ca);
    kube_config_free(config);
    /* Nothing there at all. */
    AUTO_FREE char *missing = mem_format("%s/missing", directory);
    setenv("KUBECONFIG", missing, 1);
    assert_false(kube_config_load(NULL, NULL, &config, &error));
    assert_int_equal(error.code, ERROR_NOT_FOUND);
    assert_false(kube_config_load(missing, NULL, &config, &error));
    assert_non_null(strstr(error.message, missing));
    /* The home directory is looked at only without $KUBECONFIG. */
    unsetenv("KUBECONFIG");
    setenv("HOME", directory, 1);
    assert_false(kube_config_load(NULL, NULL, &config, &error));
    assert_non_null(strstr(error.message, "/.kube/config"));
    unlink(one);
    unlink(two);
    rmdir(sub);
    rmdir(directory);
}

static void test_outside_of_a_pod_there_are_no_credentials(void **state)
{
    (void)state;
    struct kube_config *config = NULL;
    struct error error;
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_false(kube_config_in_cluster(&config, &error));
    assert_int_equal(error.code, ERROR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_files_are_merged_as_kubectl_does),
        cmocka_unit_test(test_outside_of_a_pod_there_are_no_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
