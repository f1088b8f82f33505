/* Tenancy: what an operator lets the Applications and repositories of a namespace use, as rules
 * in one YAML file (docs/tenancy.md). The first rule whose `namespaces` matches is the rule of a
 * namespace; what it does not mention it does not restrict, save that repositories of other
 * namespaces are always refused unless named. A namespace without a rule may use nothing.
 *
 * Every check takes the namespace of the Application or repository. Without settings (`tenancy`
 * NULL) everything passes but a source in another namespace. A refusal is ERROR_DENIED and says
 * what is refused, by which rule of which file and line, and what to do. Cost: one pass over the
 * rules and the patterns of one of them; nothing is remembered. */
#ifndef GITMOOR_RUN_TENANCY_H
#define GITMOOR_RUN_TENANCY_H

#include "common/base/error.h"
#include "common/data/json.h"

#include <stdbool.h>
#include <stddef.h>

#define TENANCY_FILE_MAXIMUM ((size_t)1 << 20) /* as a ConfigMap */
#define TENANCY_REASON "NotAllowed"            /* of conditions, Events and results */

struct tenancy;

/* `name` is the file's, for messages, whose errors read "<name>:<line>: <why>". */
bool tenancy_parse(const char *text, size_t size, const char *name, struct tenancy **ret,
                   struct error *error);
void tenancy_free(struct tenancy *tenancy); /* NULL is fine */

/* Whether a GitRepository or HelmRepository may have that URL. */
bool tenancy_check_url(const struct tenancy *tenancy, const char *namespace_, const char *url,
                       struct error *error);

/* The patterns of URLs that the namespace's rule lists, as an array of strings that the caller
 * frees; NULL where it does not say which there may be. */
cJSON *tenancy_url_patterns(const struct tenancy *tenancy, const char *namespace_);
/* Whether it is one of them; any is, for NULL. */
bool tenancy_url_matches(const cJSON *patterns, const char *url);

/* Whether an Application may refer to that source, as object_source_word names it. */
bool tenancy_check_source(const struct tenancy *tenancy, const char *namespace_,
                          const char *source_namespace, const char *source, struct error *error);

/* An object as its path names it: resources by their plural, as in RBAC. */
struct tenancy_object {
    const char *group;      /* "" for core */
    const char *resource;   /* "deployments" */
    const char *namespace_; /* "" or NULL: cluster-scoped */
    const char *name;
};

/* Whether an Application may create, change and delete it. A Namespace is restricted as a
 * cluster-scoped resource and as a target namespace. */
bool tenancy_check_object(const struct tenancy *tenancy, const char *namespace_,
                          const struct tenancy_object *object, struct error *error);

/* Whether an Application may write as that service account. */
bool tenancy_check_account(const struct tenancy *tenancy, const char *namespace_,
                           const char *account_namespace, const char *account, struct error *error);

/* The service account of an Application that names none; false if the rule says nothing of it.
 * *ret_account_namespace is `namespace_` where the rule names no other. It need not be checked. */
bool tenancy_default_account(const struct tenancy *tenancy, const char *namespace_,
                             const char **ret_account_namespace, const char **ret_account);

/* Whether `*` (anything but the characters of `barriers`), `**` (anything) and themselves make the
 * text of the pattern. */
bool tenancy_glob(const char *pattern, const char *text, const char *barriers);

#endif
