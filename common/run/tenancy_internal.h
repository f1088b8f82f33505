/* Shared by tenancy*.c only: the rules in memory. */
#ifndef GITMOOR_RUN_TENANCY_INTERNAL_H
#define GITMOOR_RUN_TENANCY_INTERNAL_H

#include "common/base/arena.h"
#include "common/run/tenancy.h"

#define TENANCY_VARIABLE "$namespace" /* in patterns: the namespace that is asked for */

struct tenancy_list {
    const char **patterns;
    size_t count;
    bool is_given; /* an empty list matches nothing; one that is not given restricts nothing */
};

struct tenancy_access {
    struct tenancy_list allow, deny;
};

struct tenancy_rule {
    const char *name; /* or NULL */
    unsigned line;
    struct tenancy_list namespaces;
    struct tenancy_list repositories;
    struct tenancy_list shared_repositories;
    struct tenancy_list target_namespaces;
    struct tenancy_list service_accounts;
    struct tenancy_access resources;
    struct tenancy_access cluster_resources;
    const char *default_namespace; /* of the default service account; NULL: one's own */
    const char *default_account;   /* or NULL */
};

/* Strings and rules are in the arena. */
struct tenancy {
    struct arena arena;
    const char *file;
    struct tenancy_rule *rules;
    size_t count;
};

/* A URL or a pattern of URLs in its parts. */
struct tenancy_url {
    const char *scheme, *authority, *path; /* sizes below; the path begins with a slash */
    size_t scheme_size, authority_size;
};
bool tenancy_split_url(const char *url, struct tenancy_url *ret);

#endif
