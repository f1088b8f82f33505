/* How to reach an API server and as whom: a kubeconfig, or the credentials of a Pod. */
#ifndef GITMOOR_KUBE_CONFIG_H
#define GITMOOR_KUBE_CONFIG_H

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* All strings are owned by the struct; NULL where not given. Either *_file or *_data of a kind. */
struct kube_config {
    char *server; /* "https://127.0.0.1:6443", without a trailing slash */
    char *tls_server_name;
    char *proxy_url;
    char *ca_file;
    char *ca_data; /* PEM */
    bool insecure_skip_tls_verify;
    char *client_cert_file;
    char *client_cert_data; /* PEM */
    char *client_key_file;
    char *client_key_data; /* PEM */
    char *token;
    char *token_file; /* re-read as it rotates */
    char *namespace_; /* of the context, or of the Pod; "default" if none is given */
};

/* Reads the kubeconfig at `path` (NULL: $KUBECONFIG, merged as kubectl does, then ~/.kube/config),
 * current context or `context`. Exec and auth-provider plugins run code of a stranger's choice and
 * are refused, with a message that names the user entry (Flux CVE-2022-24817). */
bool kube_config_load(const char *path, const char *context, struct kube_config **ret,
                      struct error *error);

/* The parse alone, for tests and the fuzz target. Relative file names are resolved against
 * `directory`. */
bool kube_config_parse(const char *text, size_t size, const char *name, const char *directory,
                       const char *context, struct kube_config **ret, struct error *error);

/* The service account of the Pod: $KUBERNETES_SERVICE_HOST/_PORT and
 * /var/run/secrets/kubernetes.io/serviceaccount. ERROR_NOT_FOUND outside a Pod. */
bool kube_config_in_cluster(struct kube_config **ret, struct error *error);

/* `path` if given, else in-cluster, else the default kubeconfig: what every process does. */
bool kube_config_find(const char *path, const char *context, struct kube_config **ret,
                      struct error *error);

void kube_config_free(struct kube_config *config);

#endif
