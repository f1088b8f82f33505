/* Kubeconfig files, and the credentials of a Pod. See config.h. Format:
 * k8s.io/client-go/tools/clientcmd/api/v1; merging: clientcmd.ClientConfigLoadingRules. */
#include "common/kube/config.h"
#include "common/base/base64.h"
#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAXIMUM (4U << 20)
#define POD_DIRECTORY "/var/run/secrets/kubernetes.io/serviceaccount"

static const struct yaml_limits file_limits = {FILE_MAXIMUM, 32, 100000};

static void free_secret(char *text)
{
    if (text) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}

void kube_config_free(struct kube_config *config)
{
    if (!config) {
        return;
    }
    free(config->server);
    free(config->tls_server_name);
    free(config->proxy_url);
    free(config->ca_file);
    free(config->ca_data);
    free(config->client_cert_file);
    free(config->client_cert_data);
    free(config->client_key_file);
    free_secret(config->client_key_data);
    free_secret(config->token);
    free(config->token_file);
    free(config->namespace_);
    free(config);
}

static void config_cleanup(struct kube_config **config)
{
    kube_config_free(*config);
}

/* ---- Reading and merging files ---- */

struct reading {
    const char *name;
    cJSON *tree;
};

static bool on_document(cJSON *tree, unsigned line, void *context, struct error *error)
{
    struct reading *reading = context;
    const char *kind = json_string(tree, "kind");
    if (reading->tree || !cJSON_IsObject(tree) || (kind && !text_equal(kind, "Config"))) {
        json_free(tree);
        return error_set(error, ERROR_INVALID, "%s:%u: a kubeconfig is one document of kind Config",
                         reading->name, line);
    }
    reading->tree = tree;
    return true;
}

static void resolve_file(cJSON *entry, const char *name, const char *directory)
{
    const char *file = json_string(entry, name);
    if (!text_is_empty(file) && *file != '/') {
        AUTO_FREE char *absolute = mem_format("%s/%s", directory, file);
        json_set(entry, name, json_new_string(absolute));
    }
}

static void resolve_files(cJSON *tree, const char *directory)
{
    if (!directory) {
        return;
    }
    for (cJSON *item = json_first(json_array(tree, "clusters")); item; item = item->next) {
        resolve_file(json_object(item, "cluster"), "certificate-authority", directory);
    }
    for (cJSON *item = json_first(json_array(tree, "users")); item; item = item->next) {
        cJSON *user = json_object(item, "user");
        resolve_file(user, "client-certificate", directory);
        resolve_file(user, "client-key", directory);
        resolve_file(user, "tokenFile", directory);
    }
}

/* The tree of one file, its file names made absolute. */
static bool read_tree(const char *text, size_t size, const char *name, const char *directory,
                      cJSON **ret, struct error *error)
{
    struct reading reading = {.name = name};
    if (!yaml_parse(text, size, name, &file_limits, on_document, &reading, error)) {
        json_free(reading.tree);
        return false;
    }
    if (!reading.tree) {
        reading.tree = json_new_object(); /* an empty file is an empty config, as for kubectl */
    }
    resolve_files(reading.tree, directory);
    *ret = reading.tree;
    return true;
}

static cJSON *find_entry(const cJSON *tree, const char *list, const char *name)
{
    for (cJSON *item = json_first(json_array(tree, list)); item; item = item->next) {
        if (text_equal(json_string(item, "name"), name)) {
            return item;
        }
    }
    return NULL;
}

/* Adds what `from` has and `into` has not: the first file that names something decides. */
static void merge(cJSON *into, const cJSON *from)
{
    static const char *const lists[] = {"clusters", "contexts", "users"};
    const char *current = json_string(from, "current-context");
    if (text_is_empty(json_string(into, "current-context")) && !text_is_empty(current)) {
        json_set(into, "current-context", json_new_string(current));
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        cJSON *list = json_array(into, lists[i]);
        for (cJSON *item = json_first(json_array(from, lists[i])); item; item = item->next) {
            const char *name = json_string(item, "name");
            if (name && !find_entry(into, lists[i], name)) {
                if (!list) {
                    json_set(into, lists[i], json_new_array());
                    list = json_array(into, lists[i]);
                }
                json_append(list, json_copy(item));
            }
        }
    }
}

/* ---- From the tree to the config ---- */

/* Copies the string member, if it is there and not empty. */
static bool take(const cJSON *entry, const char *what, const char *name, char **ret,
                 struct error *error)
{
    const cJSON *value = json_get(entry, name);
    if (!value || cJSON_IsNull(value)) {
        return true;
    }
    if (!cJSON_IsString(value)) {
        return error_set(error, ERROR_INVALID, "%s: %s is not a string; quote it", what, name);
    }
    if (*value->valuestring) {
        *ret = mem_string(value->valuestring);
    }
    return true;
}

static bool take_pem(const cJSON *entry, const char *what, const char *name, char **ret,
                     struct error *error)
{
    AUTO_FREE char *encoded = NULL;
    if (!take(entry, what, name, &encoded, error)) {
        return false;
    }
    if (!encoded) {
        return true;
    }
    *ret = base64_decode_text(encoded);
    return *ret ||
           error_set(error, ERROR_INVALID, "%s: %s is not base64 of a PEM text", what, name);
}

static bool take_cluster(const cJSON *cluster, const char *what, struct kube_config *config,
                         struct error *error)
{
    if (!take(cluster, what, "server", &config->server, error) ||
        !take(cluster, what, "tls-server-name", &config->tls_server_name, error) ||
        !take(cluster, what, "proxy-url", &config->proxy_url, error) ||
        !take(cluster, what, "certificate-authority", &config->ca_file, error) ||
        !take_pem(cluster, what, "certificate-authority-data", &config->ca_data, error)) {
        return false;
    }
    config->insecure_skip_tls_verify = json_bool(cluster, "insecure-skip-tls-verify", false);
    if (!config->server) {
        return error_set(error, ERROR_INVALID, "%s: no server is given", what);
    }
    for (size_t size = strlen(config->server); size && config->server[size - 1] == '/'; size--) {
        config->server[size - 1] = '\0';
    }
    if (!text_has_prefix(config->server, "https://") &&
        !text_has_prefix(config->server, "http://")) {
        return error_set(error, ERROR_INVALID,
                         "%s: server \"%.200s\" is neither an https:// nor an http:// URL", what,
                         config->server);
    }
    return true;
}

/* What we must not do, or would do wrong by leaving it out. */
static bool check_user(const cJSON *user, const char *what, struct error *error)
{
    static const struct {
        const char *name;
        const char *why;
    } refused[] = {
        {"exec", "an exec plugin runs a program of the file's choice"},
        {"auth-provider", "auth-provider plugins run code of the file's choice"},
        {"as", "impersonation by kubeconfig is not supported"},
        {"as-uid", "impersonation by kubeconfig is not supported"},
        {"as-groups", "impersonation by kubeconfig is not supported"},
        {"as-user-extra", "impersonation by kubeconfig is not supported"},
        {"username", "API servers no longer know passwords"},
        {"password", "API servers no longer know passwords"},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const cJSON *value = json_get(user, refused[i].name);
        if (value && !cJSON_IsNull(value)) {
            return error_set(error, ERROR_DENIED,
                             "%s: \"%s\" is refused: %s; use a token, a token file or a client "
                             "certificate",
                             what, refused[i].name, refused[i].why);
        }
    }
    return true;
}

static bool take_user(const cJSON *user, const char *what, struct kube_config *config,
                      struct error *error)
{
    return check_user(user, what, error) && take(user, what, "token", &config->token, error) &&
           take(user, what, "tokenFile", &config->token_file, error) &&
           take(user, what, "client-certificate", &config->client_cert_file, error) &&
           take(user, what, "client-key", &config->client_key_file, error) &&
           take_pem(user, what, "client-certificate-data", &config->client_cert_data, error) &&
           take_pem(user, what, "client-key-data", &config->client_key_data, error);
}

static void drop(char **text)
{
    free_secret(*text);
    *text = NULL;
}

/* Where both forms are given, the one that client-go prefers stays. */
static bool settle(struct kube_config *config, const char *what, struct error *error)
{
    if (config->ca_data) {
        drop(&config->ca_file);
    }
    if (config->client_cert_data) {
        drop(&config->client_cert_file);
    }
    if (config->client_key_data) {
        drop(&config->client_key_file);
    }
    if (config->token_file) {
        drop(&config->token);
    }
    bool has_cert = config->client_cert_data || config->client_cert_file;
    bool has_key = config->client_key_data || config->client_key_file;
    if (has_cert != has_key) {
        return error_set(error, ERROR_INVALID, "%s: a client %s is given without its %s", what,
                         has_cert ? "certificate" : "key", has_cert ? "key" : "certificate");
    }
    for (const char *c = text_or_empty(config->token); *c; c++) {
        if (*c <= ' ' || *c == 0x7f) {
            return error_set(error, ERROR_INVALID,
                             "%s: the token holds white space or control "
                             "characters",
                             what);
        }
    }
    return true;
}

/* The object named `member` of the entry `name` in `list`. */
static bool find(const cJSON *tree, const char *list, const char *member, const char *name,
                 const char *file, const cJSON **ret, struct error *error)
{
    const cJSON *found = json_object(find_entry(tree, list, name), member);
    if (!found) {
        return error_set(error, ERROR_INVALID, "%s: there is no %s \"%.200s\" under %s", file,
                         member, name, list);
    }
    *ret = found;
    return true;
}

static bool resolve(const cJSON *tree, const char *file, const char *wanted,
                    struct kube_config **ret, struct error *error)
{
    __attribute__((cleanup(config_cleanup))) struct kube_config *config = NEW(struct kube_config);
    const char *name = wanted ? wanted : json_string(tree, "current-context");
    const cJSON *context = NULL;
    const cJSON *cluster = NULL;
    const cJSON *user = NULL;
    if (text_is_empty(name)) {
        return error_set(error, ERROR_INVALID,
                         "%s: no current-context is set; name a context, or run kubectl config "
                         "use-context",
                         file);
    }
    if (!find(tree, "contexts", "context", name, file, &context, error)) {
        return false;
    }
    const char *cluster_name = text_or_empty(json_string(context, "cluster"));
    const char *user_name = json_string(context, "user");
    if (!find(tree, "clusters", "cluster", cluster_name, file, &cluster, error)) {
        return error_prefix(error, "context \"%.200s\"", name);
    }
    if (!text_is_empty(user_name) && !find(tree, "users", "user", user_name, file, &user, error)) {
        return error_prefix(error, "context \"%.200s\"", name);
    }
    AUTO_FREE char *in_cluster = mem_format("%s: cluster \"%.200s\"", file, cluster_name);
    AUTO_FREE char *in_user = mem_format("%s: user \"%.200s\"", file, text_or_empty(user_name));
    AUTO_FREE char *in_context = mem_format("%s: context \"%.200s\"", file, name);
    if (!take(context, in_context, "namespace", &config->namespace_, error) ||
        !take_cluster(cluster, in_cluster, config, error) ||
        !take_user(user, in_user, config, error) || !settle(config, in_user, error)) {
        return false;
    }
    if (!config->namespace_) {
        config->namespace_ = mem_string("default");
    }
    *ret = config;
    config = NULL;
    return true;
}

bool kube_config_parse(const char *text, size_t size, const char *name, const char *directory,
                       const char *context, struct kube_config **ret, struct error *error)
{
    AUTO_JSON cJSON *tree = NULL;
    return read_tree(text, size, name, directory, &tree, error) &&
           resolve(tree, name, context, ret, error);
}

/* ---- Where configs are found ---- */

/* Merges one file into `tree`. A file that does not exist leaves it as it is if `may_lack`. */
static bool load_file(cJSON *tree, const char *path, bool may_lack, struct error *error)
{
    AUTO_BUF struct buf text = {0};
    AUTO_JSON cJSON *more = NULL;
    AUTO_FREE char *directory = NULL;
    const char *slash = strrchr(path, '/');
    buf_init(&text, FILE_MAXIMUM);
    if (may_lack && access(path, F_OK) != 0 && errno == ENOENT) {
        return true;
    }
    if (!buf_read_file(&text, path, error)) {
        return error_prefix(error, "the kubeconfig");
    }
    directory = !slash          ? mem_string(".")
                : slash == path ? mem_string("/")
                                : mem_string_n(path, (size_t)(slash - path));
    if (!read_tree(text.data, text.size, path, directory, &more, error)) {
        return false;
    }
    merge(tree, more);
    return true;
}

static bool load_files(cJSON *tree, const char *paths, struct error *error)
{
    while (*paths) {
        size_t size = strcspn(paths, ":");
        AUTO_FREE char *path = mem_string_n(paths, size);
        if (*path && !load_file(tree, path, true, error)) {
            return false;
        }
        paths += size + (paths[size] == ':');
    }
    return true;
}

bool kube_config_load(const char *path, const char *context, struct kube_config **ret,
                      struct error *error)
{
    AUTO_JSON cJSON *tree = json_new_object();
    AUTO_FREE char *home_file = NULL;
    const char *variable = getenv("KUBECONFIG");
    const char *name = path;
    if (path) {
        return load_file(tree, path, false, error) && resolve(tree, path, context, ret, error);
    }
    if (!text_is_empty(variable)) {
        name = variable;
        if (!load_files(tree, variable, error)) {
            return false;
        }
    } else {
        home_file = mem_format("%s/.kube/config", text_or_empty(getenv("HOME")));
        name = home_file;
        if (!load_file(tree, home_file, true, error)) {
            return false;
        }
    }
    if (!json_first(tree)) {
        return error_set(error, ERROR_NOT_FOUND,
                         "no kubeconfig: %s does not exist or is empty; name one with --kubeconfig "
                         "or $KUBECONFIG",
                         name);
    }
    return resolve(tree, name, context, ret, error);
}

bool kube_config_in_cluster(struct kube_config **ret, struct error *error)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    AUTO_BUF struct buf namespace_ = {0};
    if (text_is_empty(host) || text_is_empty(port)) {
        return error_set(error, ERROR_NOT_FOUND,
                         "not in a Pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are "
                         "not set");
    }
    if (access(POD_DIRECTORY "/token", R_OK) != 0) {
        return error_set_errno(error, errno,
                               "in a Pod without a service account token (is "
                               "automountServiceAccountToken off?): %s",
                               POD_DIRECTORY "/token");
    }
    struct kube_config *config = NEW(struct kube_config);
    config->server = strchr(host, ':') ? mem_format("https://[%s]:%s", host, port)
                                       : mem_format("https://%s:%s", host, port);
    config->token_file = mem_string(POD_DIRECTORY "/token");
    config->ca_file = mem_string(POD_DIRECTORY "/ca.crt");
    buf_init(&namespace_, 256);
    if (buf_read_file(&namespace_, POD_DIRECTORY "/namespace", NULL) && namespace_.size) {
        namespace_.data[strcspn(namespace_.data, " \r\n\t")] = '\0';
        config->namespace_ = mem_string(namespace_.data);
    } else {
        config->namespace_ = mem_string("default");
    }
    *ret = config;
    return true;
}

bool kube_config_find(const char *path, const char *context, struct kube_config **ret,
                      struct error *error)
{
    struct error pod;
    if (!path) {
        if (kube_config_in_cluster(ret, &pod)) {
            return true;
        }
        if (pod.code != ERROR_NOT_FOUND) {
            if (error) {
                *error = pod;
            }
            return false;
        }
    }
    return kube_config_load(path, context, ret, error);
}
