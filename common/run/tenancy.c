#include "common/run/tenancy.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/run/tenancy_internal.h"

#include <string.h>
#include <strings.h>

#define PATTERNS_SHOWN 5 /* of a list, in a message */
#define MESSAGE_MAXIMUM ((size_t)1024)

/* ---- Patterns ---- */

/* reached[i]: the pattern so far makes the first i characters of the text. */
static void step_over(bool *reached, const char *text, size_t size, const char *barriers)
{
    for (size_t i = 1; i <= size; i++) {
        bool passes = !barriers || !strchr(barriers, text[i - 1]);
        reached[i] = reached[i] || (reached[i - 1] && passes);
    }
}

static void step_literal(bool *reached, const char *text, size_t size, char wanted)
{
    for (size_t i = size; i > 0; i--) {
        reached[i] = reached[i - 1] && text[i - 1] == wanted;
    }
    reached[0] = false;
}

bool tenancy_glob(const char *pattern, const char *text, const char *barriers)
{
    if (!strchr(pattern, '*')) {
        return strcmp(pattern, text) == 0;
    }
    size_t size = strlen(text);
    AUTO_FREE bool *reached = mem_new(size + 1, sizeof *reached);
    reached[0] = true;
    for (; *pattern; pattern++) {
        if (*pattern != '*') {
            step_literal(reached, text, size, *pattern);
        } else if (pattern[1] == '*') {
            step_over(reached, text, size, NULL);
            pattern++;
        } else {
            step_over(reached, text, size, barriers);
        }
    }
    return reached[size];
}

/* The pattern with the namespace in the place of the variable; the caller frees. */
static char *expand(const char *pattern, const char *namespace_)
{
    AUTO_BUF struct buf out;
    buf_init(&out, (size_t)64 << 10);
    const char *variable;
    while ((variable = strstr(pattern, TENANCY_VARIABLE))) {
        buf_append(&out, pattern, (size_t)(variable - pattern));
        buf_append_string(&out, namespace_);
        pattern = variable + strlen(TENANCY_VARIABLE);
    }
    buf_append_string(&out, pattern);
    return buf_detach(&out);
}

typedef bool match_fn(const char *pattern, const char *text);

/* Whether one of the patterns matches; *ret_pattern (may be NULL) is the first that does. */
static bool list_matches(const struct tenancy_list *list, const char *namespace_, const char *text,
                         match_fn *match, const char **ret_pattern)
{
    for (size_t i = 0; i < list->count; i++) {
        AUTO_FREE char *expanded =
            strchr(list->patterns[i], '$') ? expand(list->patterns[i], namespace_) : NULL;
        if (match(expanded ? expanded : list->patterns[i], text)) {
            if (ret_pattern) {
                *ret_pattern = list->patterns[i];
            }
            return true;
        }
    }
    return false;
}

static bool match_name(const char *pattern, const char *text)
{
    return tenancy_glob(pattern, text, "/");
}

/* ---- Refusals ---- */

/* Of a tenant's own words not more than fits. */
static bool refuse(struct error *error, const struct tenancy *tenancy,
                   const struct tenancy_rule *rule, const char *what, const char *why)
{
    if (!rule) {
        return error_set(
            error, ERROR_DENIED,
            "%.300s: no rule of the tenancy settings (%s) is for this namespace, so it "
            "may use nothing. Ask whoever operates Gitmoor to name it in the "
            "`namespaces` of a rule",
            what, tenancy->file);
    }
    AUTO_FREE char *named = rule->name ? mem_format("rule \"%s\", ", rule->name) : NULL;
    return error_set(error, ERROR_DENIED,
                     "%.300s is not allowed by the tenancy settings (%s%s:%u): %s. Change it, or "
                     "ask whoever operates Gitmoor to allow it there",
                     what, text_or_empty(named), tenancy->file, rule->line, why);
}

static bool refuse_unlisted(struct error *error, const struct tenancy *tenancy,
                            const struct tenancy_rule *rule, const char *what, const char *field,
                            const struct tenancy_list *list)
{
    AUTO_BUF struct buf why;
    buf_init(&why, MESSAGE_MAXIMUM);
    buf_append_format(&why, "`%s` ", field);
    if (list->count == 0) {
        buf_append_string(&why, "allows none");
    }
    for (size_t i = 0; i < list->count && i < PATTERNS_SHOWN; i++) {
        buf_append_format(&why, "%s%.100s", i ? ", " : "allows only ", list->patterns[i]);
    }
    if (list->count > PATTERNS_SHOWN) {
        buf_append_format(&why, " and %zu more", list->count - PATTERNS_SHOWN);
    }
    return refuse(error, tenancy, rule, what, why.data);
}

/* ---- Rules ---- */

/* The rule of the namespace; NULL if it has none, which is then refused. */
static const struct tenancy_rule *find_rule(const struct tenancy *tenancy, const char *namespace_)
{
    for (size_t i = 0; i < tenancy->count; i++) {
        const struct tenancy_rule *rule = &tenancy->rules[i];
        if (list_matches(&rule->namespaces, namespace_, namespace_, match_name, NULL)) {
            return rule;
        }
    }
    return NULL;
}

/* ---- URLs ---- */

bool tenancy_split_url(const char *url, struct tenancy_url *ret)
{
    const char *scheme_end = strstr(url, "://");
    if (!scheme_end || scheme_end == url) {
        return false;
    }
    const char *authority = scheme_end + strlen("://");
    size_t authority_size = strcspn(authority, "/?#\\");
    *ret = (struct tenancy_url){.scheme = url,
                                .scheme_size = (size_t)(scheme_end - url),
                                .authority = authority,
                                .authority_size = authority_size,
                                .path = authority + authority_size};
    return *ret->path == '/';
}

/* "example.org" of "Example.org:443", where that is the scheme's own port; the caller frees. */
static char *plain_authority(const struct tenancy_url *url)
{
    static const struct {
        const char *scheme, *port;
    } ports[] = {{"https", ":443"}, {"http", ":80"}, {"ssh", ":22"}};
    char *authority = mem_string_n(url->authority, url->authority_size);
    for (char *at = strrchr(authority, '@') ? strrchr(authority, '@') : authority; *at; at++) {
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    }
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        if (strlen(ports[i].scheme) == url->scheme_size &&
            strncasecmp(ports[i].scheme, url->scheme, url->scheme_size) == 0 &&
            text_has_suffix(authority, ports[i].port)) {
            authority[strlen(authority) - strlen(ports[i].port)] = '\0';
        }
    }
    return authority;
}

/* A path that a client or a server may take for another one than it looks like: then what a pattern
 * says of it means nothing. */
static bool is_devious(const char *path)
{
    static const char *const parts[] = {"//", "/./", "/../", "%2e", "%2f", "%5c", "\\", "?", "#"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strcasestr(path, parts[i])) {
            return true;
        }
    }
    return text_has_suffix(path, "/.") || text_has_suffix(path, "/..");
}

static bool match_url(const char *pattern, const char *text)
{
    struct tenancy_url wanted, url;
    if (text_equal(pattern, "*")) {
        return true;
    }
    if (!tenancy_split_url(pattern, &wanted) || !tenancy_split_url(text, &url) ||
        is_devious(url.path) || wanted.scheme_size != url.scheme_size ||
        strncasecmp(wanted.scheme, url.scheme, url.scheme_size) != 0) {
        return false;
    }
    AUTO_FREE char *host_pattern = plain_authority(&wanted);
    AUTO_FREE char *host = plain_authority(&url);
    return tenancy_glob(host_pattern, host, "@:") && tenancy_glob(wanted.path, url.path, "/");
}

bool tenancy_check_url(const struct tenancy *tenancy, const char *namespace_, const char *url,
                       struct error *error)
{
    if (!tenancy) {
        return true;
    }
    const struct tenancy_rule *rule = find_rule(tenancy, namespace_);
    if (rule && (!rule->repositories.is_given ||
                 list_matches(&rule->repositories, namespace_, url, match_url, NULL))) {
        return true;
    }
    AUTO_FREE char *what = mem_format("repository URL %s", url);
    return rule ? refuse_unlisted(error, tenancy, rule, what, "repositories", &rule->repositories)
                : refuse(error, tenancy, NULL, what, "");
}

cJSON *tenancy_url_patterns(const struct tenancy *tenancy, const char *namespace_)
{
    const struct tenancy_rule *rule = tenancy ? find_rule(tenancy, namespace_) : NULL;
    if (!rule || !rule->repositories.is_given) {
        return NULL;
    }
    cJSON *patterns = json_new_array();
    for (size_t i = 0; i < rule->repositories.count; i++) {
        AUTO_FREE char *expanded = expand(rule->repositories.patterns[i], namespace_);
        json_append(patterns, json_new_string(expanded));
    }
    return patterns;
}

bool tenancy_url_matches(const cJSON *patterns, const char *url)
{
    bool matches = !patterns;
    for (const cJSON *item = json_first(patterns); item && !matches; item = item->next) {
        matches = cJSON_IsString(item) && match_url(item->valuestring, url);
    }
    return matches;
}

/* ---- Sources ---- */

bool tenancy_check_source(const struct tenancy *tenancy, const char *namespace_,
                          const char *source_namespace, const char *source, struct error *error)
{
    bool own = text_equal(namespace_, source_namespace);
    const char *kind, *name = object_source_name(source, &kind);
    if (!tenancy) {
        return own ||
               error_set(error, ERROR_DENIED,
                         "%s %.253s/%.253s is in another namespace, which nothing "
                         "allows: use one of the Application's own namespace, or ask whoever "
                         "operates Gitmoor for a tenancy rule with `sharedRepositories`",
                         kind, source_namespace, name);
    }
    const struct tenancy_rule *rule = find_rule(tenancy, namespace_);
    AUTO_FREE char *text = mem_format("%s/%s", source_namespace, name);
    if (rule &&
        (own || list_matches(&rule->shared_repositories, namespace_, text, match_name, NULL))) {
        return true;
    }
    AUTO_FREE char *what = mem_format("%s %s", kind, text);
    return rule ? refuse_unlisted(error, tenancy, rule, what, "sharedRepositories",
                                  &rule->shared_repositories)
                : refuse(error, tenancy, NULL, what, "");
}

/* ---- Objects ---- */

/* "*" is every resource of every group. */
static bool match_resource(const char *pattern, const char *text)
{
    return text_equal(pattern, "*") || tenancy_glob(pattern, text, "/");
}

struct question {
    const struct tenancy *tenancy;
    const struct tenancy_rule *rule;
    const char *namespace_;
    const char *what;
    struct error *error;
};

static bool check_access(const struct question *question, const struct tenancy_access *access,
                         const char *field, const char *resource)
{
    const char *pattern = NULL;
    if (list_matches(&access->deny, question->namespace_, resource, match_resource, &pattern)) {
        AUTO_FREE char *why = mem_format("`%s.deny` names %.100s", field, pattern);
        return refuse(question->error, question->tenancy, question->rule, question->what, why);
    }
    if (!access->allow.is_given ||
        list_matches(&access->allow, question->namespace_, resource, match_resource, NULL)) {
        return true;
    }
    AUTO_FREE char *allow = mem_format("%s.allow", field);
    return refuse_unlisted(question->error, question->tenancy, question->rule, question->what,
                           allow, &access->allow);
}

static bool check_target(const struct question *question, const char *target)
{
    const struct tenancy_list *targets = &question->rule->target_namespaces;
    return !targets->is_given ||
           list_matches(targets, question->namespace_, target, match_name, NULL) ||
           refuse_unlisted(question->error, question->tenancy, question->rule, question->what,
                           "targetNamespaces", targets);
}

bool tenancy_check_object(const struct tenancy *tenancy, const char *namespace_,
                          const struct tenancy_object *object, struct error *error)
{
    if (!tenancy) {
        return true;
    }
    bool namespaced = !text_is_empty(object->namespace_);
    AUTO_FREE char *resource =
        mem_format("%s/%s", *object->group ? object->group : "core", object->resource);
    AUTO_FREE char *what = mem_format("%s %s%s%s", resource, namespaced ? object->namespace_ : "",
                                      namespaced ? "/" : "", object->name);
    const struct question question = {.tenancy = tenancy,
                                      .rule = find_rule(tenancy, namespace_),
                                      .namespace_ = namespace_,
                                      .what = what,
                                      .error = error};
    if (!question.rule) {
        return refuse(error, tenancy, NULL, what, "");
    }
    if (namespaced) {
        return check_access(&question, &question.rule->resources, "resources", resource) &&
               check_target(&question, object->namespace_);
    }
    return check_access(&question, &question.rule->cluster_resources, "clusterResources",
                        resource) &&
           (!text_equal(resource, "core/namespaces") || check_target(&question, object->name));
}

/* ---- Service accounts ---- */

bool tenancy_check_account(const struct tenancy *tenancy, const char *namespace_,
                           const char *account_namespace, const char *account, struct error *error)
{
    if (!tenancy) {
        return true;
    }
    const struct tenancy_rule *rule = find_rule(tenancy, namespace_);
    AUTO_FREE char *full = mem_format("%s/%s", account_namespace, account);
    const char *text = text_equal(namespace_, account_namespace) ? account : full;
    if (rule && (!rule->service_accounts.is_given ||
                 list_matches(&rule->service_accounts, namespace_, text, match_name, NULL))) {
        return true;
    }
    AUTO_FREE char *what = mem_format("service account %s", full);
    return rule ? refuse_unlisted(error, tenancy, rule, what, "serviceAccounts",
                                  &rule->service_accounts)
                : refuse(error, tenancy, NULL, what, "");
}

bool tenancy_default_account(const struct tenancy *tenancy, const char *namespace_,
                             const char **ret_account_namespace, const char **ret_account)
{
    const struct tenancy_rule *rule = tenancy ? find_rule(tenancy, namespace_) : NULL;
    if (!rule || !rule->default_account) {
        return false;
    }
    *ret_account_namespace = rule->default_namespace ? rule->default_namespace : namespace_;
    *ret_account = rule->default_account;
    return true;
}
