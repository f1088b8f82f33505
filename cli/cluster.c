#include "cli/cluster.h"

#include "cli/cli.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

/* What a person changes with this tool is not drift: a name outside of "kubectl*", whose fields the
 * differ takes away again (DESIGN §5). */
#define CLUSTER_FIELD_MANAGER "gitmoor-cli"

const struct kube_resource cluster_applications = {
    .group = GITMOOR_GROUP,
    .version = "v1alpha1",
    .kind = "Application",
    .plural = "applications",
    .namespaced = true,
    .preferred = true,
    .watchable = true,
};

const struct kube_resource cluster_repositories = {
    .group = GITMOOR_GROUP,
    .version = "v1alpha1",
    .kind = "GitRepository",
    .plural = "gitrepositories",
    .namespaced = true,
    .preferred = true,
    .watchable = true,
};

const struct kube_resource cluster_charts = {
    .group = GITMOOR_GROUP,
    .version = "v1alpha1",
    .kind = "HelmRepository",
    .plural = "helmrepositories",
    .namespaced = true,
    .preferred = true,
    .watchable = true,
};

const char *cluster_kind_word(const struct kube_resource *kind)
{
    return kind == &cluster_applications ? "application"
           : kind == &cluster_charts     ? "chart"
                                         : "repository";
}

bool cluster_open(struct cluster *cluster, struct error *error)
{
    struct kube_config *config;
    const struct kube_client_options options = {.user_agent = "gitmoor/" GITMOOR_VERSION};
    if (!kube_config_find(cluster->kubeconfig, cluster->context, &config, error)) {
        return false;
    }
    cluster->loop = event_base_new();
    if (!cluster->loop) {
        kube_config_free(config);
        return error_set(error, ERROR_SYSTEM, "cannot make an event loop");
    }
    cluster->client = kube_client_new(cluster->loop, config, &options, error);
    if (!cluster->client) {
        return false;
    }
    if (!cluster->namespace_) {
        cluster->namespace_ = kube_client_config(cluster->client)->namespace_;
    }
    return true;
}

void cluster_close(struct cluster *cluster)
{
    if (cluster->client) {
        kube_client_free(cluster->client);
    }
    if (cluster->loop) {
        event_base_free(cluster->loop);
    }
    cluster->client = NULL;
    cluster->loop = NULL;
}

const struct kube_resource *cluster_find_kind(const char *word)
{
    static const struct {
        const char *word;
        const struct kube_resource *kind;
    } words[] = {
        {"application", &cluster_applications},
        {"applications", &cluster_applications},
        {"applications.gitmoor.io", &cluster_applications},
        {"application.gitmoor.io", &cluster_applications},
        {"app", &cluster_applications},
        {"apps", &cluster_applications},
        {"gmapp", &cluster_applications},
        {"repository", &cluster_repositories},
        {"repositories", &cluster_repositories},
        {"repo", &cluster_repositories},
        {"repos", &cluster_repositories},
        {"gitrepository", &cluster_repositories},
        {"gitrepositories", &cluster_repositories},
        {"gitrepository.gitmoor.io", &cluster_repositories},
        {"gitrepositories.gitmoor.io", &cluster_repositories},
        {"gmrepo", &cluster_repositories},
        {"chart", &cluster_charts},
        {"charts", &cluster_charts},
        {"helmrepository", &cluster_charts},
        {"helmrepositories", &cluster_charts},
        {"helmrepository.gitmoor.io", &cluster_charts},
        {"helmrepositories.gitmoor.io", &cluster_charts},
        {"gmhelm", &cluster_charts},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i].word, word) == 0) {
            return words[i].kind;
        }
    }
    return NULL;
}

bool cluster_parse_target(const char *operand, struct cluster_target *ret, struct error *error)
{
    const char *slash = strchr(operand, '/');
    struct cluster_target target = {&cluster_applications, operand};
    if (slash) {
        AUTO_FREE char *word = mem_string_n(operand, (size_t)(slash - operand));
        target.kind = cluster_find_kind(word);
        target.name = slash + 1;
        if (!target.kind) {
            return error_set(error, ERROR_INVALID,
                             "%s is no kind of ours; write application/NAME, repository/NAME or "
                             "chart/NAME, and the namespace with -n",
                             word);
        }
    }
    if (*target.name == '\0' || strchr(target.name, '/')) {
        return error_set(error, ERROR_INVALID, "%s names no object; write NAME or repository/NAME",
                         operand);
    }
    *ret = target;
    return true;
}

bool cluster_parse_application(const char *operand, const char **ret_name, struct error *error)
{
    struct cluster_target target;
    if (!cluster_parse_target(operand, &target, error)) {
        return false;
    }
    *ret_name = target.name;
    return target.kind == &cluster_applications ||
           error_set(error, ERROR_INVALID, "%s is no application: write NAME, or application/NAME",
                     operand);
}

/* Tells "there is no such object" from "there is no such kind". */
static bool cluster_explain(struct cluster *cluster, const struct kube_resource *kind,
                            const char *namespace_, const char *name, struct error *error)
{
    if (error->code != ERROR_NOT_FOUND) {
        return false;
    }
    if (!name || strstr(error->message, "the server could not find the requested resource")) {
        return error_set(error, ERROR_NOT_FOUND,
                         "the cluster at %s does not serve %s.%s: Gitmoor is not installed there",
                         kube_client_config(cluster->client)->server, kind->plural, kind->group);
    }
    return error_set(error, ERROR_NOT_FOUND, "there is no %s %s in namespace %s",
                     cluster_kind_word(kind), name, namespace_);
}

bool cluster_read(struct cluster *cluster, const struct kube_resource *kind, const char *namespace_,
                  const char *name, cJSON **ret, struct error *error)
{
    AUTO_BUF struct buf path;
    buf_init(&path, 4096);
    kube_resource_path(kind, namespace_, name, &path);
    const struct kube_request request = {.method = KUBE_GET, .path = path.data};
    return kube_client_call_wait(cluster->client, &request, ret, error);
}

bool cluster_get(struct cluster *cluster, const struct kube_resource *kind, const char *namespace_,
                 const char *name, cJSON **ret, struct error *error)
{
    return cluster_read(cluster, kind, namespace_, name, ret, error) ||
           cluster_explain(cluster, kind, namespace_, name, error);
}

bool cluster_patch(struct cluster *cluster, const struct cluster_target *target, cJSON *patch,
                   cJSON **ret, struct error *error)
{
    AUTO_JSON cJSON *owned = patch;
    AUTO_JSON cJSON *answer = NULL;
    AUTO_BUF struct buf path;
    AUTO_BUF struct buf body;
    buf_init(&path, 4096);
    buf_init(&body, (size_t)1 << 20);
    kube_resource_path(target->kind, cluster->namespace_, target->name, &path);
    buf_append_string(&path, "?fieldManager=" CLUSTER_FIELD_MANAGER);
    json_write(owned, &body);
    const struct kube_request request = {
        .method = KUBE_PATCH,
        .path = path.data,
        .content_type = KUBE_MERGE_TYPE,
        .body = body.data,
        .body_size = body.size,
    };
    if (!kube_client_call_wait(cluster->client, &request, &answer, error)) {
        return cluster_explain(cluster, target->kind, cluster->namespace_, target->name, error);
    }
    if (ret) {
        *ret = answer;
        answer = NULL;
    }
    return true;
}

bool cluster_version(struct cluster *cluster, char **ret, struct error *error)
{
    const struct kube_request request = {.method = KUBE_GET, .path = "/version"};
    AUTO_JSON cJSON *version = NULL;
    if (!kube_client_call_wait(cluster->client, &request, &version, error)) {
        return error_prefix(error, "the version of the cluster cannot be read");
    }
    *ret = mem_string(json_string(version, "gitVersion"));
    return true;
}

bool cluster_ask(struct cluster *cluster, const char *path, const cJSON *body, cJSON **ret)
{
    struct error error;
    AUTO_BUF struct buf text;
    buf_init(&text, 65536);
    json_write(body, &text);
    const struct kube_request request = {
        .method = KUBE_POST, .path = path, .body = text.data, .body_size = text.size};
    return kube_client_call_wait(cluster->client, &request, ret, &error);
}

cJSON *cluster_who(struct cluster *cluster)
{
    AUTO_JSON cJSON *body = json_new_object();
    AUTO_JSON cJSON *answer = NULL;
    json_add_string(body, "apiVersion", "authentication.k8s.io/v1");
    json_add_string(body, "kind", "SelfSubjectReview");
    bool told =
        cluster_ask(cluster, "/apis/authentication.k8s.io/v1/selfsubjectreviews", body, &answer);
    return told ? json_copy(json_get_path(answer, "status.userInfo")) : NULL;
}

int cluster_fail(const char *verb, const struct error *error)
{
    bool answered = error->code == ERROR_NOT_FOUND || error->code == ERROR_DENIED ||
                    error->code == ERROR_CONFLICT || error->code == ERROR_INVALID ||
                    error->code == ERROR_LIMIT;
    return cli_fail(verb, answered ? CLI_NO : CLI_USAGE, error);
}

char *cluster_describe(const struct cluster *cluster, const struct cluster_target *target)
{
    return mem_format("%s %s in namespace %s", cluster_kind_word(target->kind), target->name,
                      cluster->namespace_);
}

bool cluster_annotate(struct cluster *cluster, const struct cluster_target *target,
                      const char *annotation, const char *value, cJSON **ret, struct error *error)
{
    cJSON *patch = json_new_object();
    cJSON *annotations = json_add_object(json_add_object(patch, "metadata"), "annotations");
    json_add_string(annotations, annotation, value);
    return cluster_patch(cluster, target, patch, ret, error);
}

bool cluster_request(struct cluster *cluster, const struct cluster_target *target,
                     struct progress_request *ret_request, cJSON **ret, struct error *error)
{
    AUTO_JSON cJSON *before = NULL;
    if (!cluster_get(cluster, target->kind, cluster->namespace_, target->name, &before, error) &&
        error->code != ERROR_DENIED) { /* who may only ask may ask */
        return false;
    }
    progress_request_init(ret_request, before);
    return cluster_annotate(cluster, target, GITMOOR_RECONCILE_ANNOTATION, ret_request->token, ret,
                            error);
}

int cluster_open_application(const char *verb, struct cluster *cluster, const char *name,
                             cJSON **ret)
{
    struct error error = {0};
    if (!cluster_open(cluster, &error)) {
        return cli_fail(verb, CLI_USAGE, &error);
    }
    return cluster_get(cluster, &cluster_applications, cluster->namespace_, name, ret, &error)
               ? CLI_OK
               : cluster_fail(verb, &error);
}

int cluster_run_on_application(const char *verb, struct cluster *cluster, const char *operand,
                               int (*run)(const char *name, const cJSON *application,
                                          void *context),
                               void *context)
{
    struct error error = {0};
    AUTO_JSON cJSON *application = NULL;
    const char *name;
    if (!cluster_parse_application(operand, &name, &error)) {
        return cli_fail(verb, CLI_USAGE, &error);
    }
    int status = cluster_open_application(verb, cluster, name, &application);
    if (status == CLI_OK) {
        status = run(name, application, context);
    }
    cluster_close(cluster);
    return status;
}
