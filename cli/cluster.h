/* What the verbs that talk to the cluster share: how they reach it, and which object they mean. */
#ifndef GITMOOR_CLI_CLUSTER_H
#define GITMOOR_CLI_CLUSTER_H

#include "cli/progress.h"
#include "common/data/json.h"
#include "common/kube/client.h"
#include "common/kube/resource.h"

#include <event2/event.h>

struct cluster {
    /* Set by options (CLUSTER_OPTIONS) before cluster_open. */
    const char *kubeconfig;
    const char *context;
    const char *namespace_; /* after cluster_open: the context's, if none was given */

    struct event_base *loop;
    struct kube_client *client;
};

#define CLUSTER_OPTIONS(cluster)                                                                   \
    {"namespace",           'n',         OPTION_TEXT,                                              \
     &(cluster).namespace_, "NAMESPACE", "Default: the namespace of the context."},                \
        {"kubeconfig", 0,                                                                          \
         OPTION_TEXT,  &(cluster).kubeconfig,                                                      \
         "FILE",       "Default: as kubectl has it, or the service account of the Pod."},          \
    {                                                                                              \
        "context", 0, OPTION_TEXT, &(cluster).context, "NAME", "Context of the kubeconfig."        \
    }

bool cluster_open(struct cluster *cluster, struct error *error);
void cluster_close(struct cluster *cluster);

/* ---- Our three kinds ---- */
extern const struct kube_resource cluster_applications;
extern const struct kube_resource cluster_repositories;
extern const struct kube_resource cluster_charts; /* HelmRepository: each follows one chart */

/* What people call an object of it: "application", "repository", "chart". */
const char *cluster_kind_word(const struct kube_resource *kind);

/* The kind that a user calls "app", "applications", "repository", "gitrepositories.gitmoor.io", …;
 * NULL for another word. */
const struct kube_resource *cluster_find_kind(const char *word);

struct cluster_target {
    const struct kube_resource *kind;
    const char *name; /* points into the operand */
};

/* "web" or "application/web" is an application, "repository/shop" a repository, "chart/web" a
 * chart. */
bool cluster_parse_target(const char *operand, struct cluster_target *ret, struct error *error);

/* Reads one object; name NULL: the list of all, in all namespaces if `namespace_` is NULL. */
bool cluster_read(struct cluster *cluster, const struct kube_resource *kind, const char *namespace_,
                  const char *name, cJSON **ret, struct error *error);

/* The same of our kinds: a 404 of the kind itself says that Gitmoor is not installed. */
bool cluster_get(struct cluster *cluster, const struct kube_resource *kind, const char *namespace_,
                 const char *name, cJSON **ret, struct error *error);

/* Merges `patch` (taken) into the object and hands out what it became (ret may be NULL). */
bool cluster_patch(struct cluster *cluster, const struct cluster_target *target, cJSON *patch,
                   cJSON **ret, struct error *error);

/* "v1.35.4", as the server tells it; for the caller to free. */
bool cluster_version(struct cluster *cluster, char **ret, struct error *error);

/* Posts a review, such as a SelfSubjectReview: nothing comes of it but the answer. */
bool cluster_ask(struct cluster *cluster, const char *path, const cJSON *body, cJSON **ret);

/* The user as the API server sees them: {username, groups}; NULL if it does not tell. */
cJSON *cluster_who(struct cluster *cluster);

/* Sets one annotation of the object and hands out what it became (ret may be NULL). */
bool cluster_annotate(struct cluster *cluster, const struct cluster_target *target,
                      const char *annotation, const char *value, cJSON **ret, struct error *error);

/* Has it reconciled: as cluster_annotate, with what is known of the request afterwards. */
bool cluster_request(struct cluster *cluster, const struct cluster_target *target,
                     struct progress_request *ret_request, cJSON **ret, struct error *error);

/* The same where it must be an application: hands out its name. */
bool cluster_parse_application(const char *operand, const char **ret_name, struct error *error);

/* Connects and reads one Application of the namespace. Returns the verb's exit status, having told
 * what is wrong unless it is CLI_OK. */
int cluster_open_application(const char *verb, struct cluster *cluster, const char *name,
                             cJSON **ret);

/* A verb about one Application, once its options are read: connects, reads what `operand` means,
 * and returns what `run` makes of it, or the status of what went wrong, having told it. */
int cluster_run_on_application(const char *verb, struct cluster *cluster, const char *operand,
                               int (*run)(const char *name, const cJSON *application,
                                          void *context),
                               void *context);

/* The exit status of a verb that the cluster failed: CLI_NO if it refused or has no such object,
 * CLI_USAGE if it could not be asked. */
int cluster_fail(const char *verb, const struct error *error);

/* "application web in namespace shop". For messages; allocated. */
char *cluster_describe(const struct cluster *cluster, const struct cluster_target *target);

#endif
