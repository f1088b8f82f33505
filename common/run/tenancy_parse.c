/* The file of the tenancy settings to rules: strict, since what is misspelt would otherwise allow
 * what it was to refuse. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/data/yaml.h"
#include "common/run/tenancy_internal.h"

#include <stdio.h>
#include <string.h>

#define RULES_MAXIMUM ((size_t)1000)
#define PATTERNS_MAXIMUM ((size_t)1000) /* of one list */
#define PATTERN_MAXIMUM ((size_t)512)   /* bytes */

static const struct yaml_limits limits = {
    .bytes = TENANCY_FILE_MAXIMUM, .depth = 10, .nodes = 100000};

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789-"

/* What it is read with. */
struct reading {
    struct tenancy *tenancy;
    struct error *error;
    unsigned document_line; /* for values whose own line is not known */
    bool taken;
};

static bool refuse(const struct reading *reading, const cJSON *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool refuse(const struct reading *reading, const cJSON *node, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    unsigned line = yaml_line(node);
    return error_set(reading->error, ERROR_INVALID, "%s:%u: %s", reading->tenancy->file,
                     line ? line : reading->document_line, text);
}

/* ---- Patterns: each check answers NULL, or what is wrong ---- */

typedef const char *check_fn(const char *pattern);

static bool is_made_of(const char *pattern, const char *characters)
{
    return *pattern && pattern[strspn(pattern, characters)] == '\0';
}

static const char *check_namespace(const char *pattern)
{
    return is_made_of(pattern, LOWER "*")
               ? NULL
               : "is no pattern of namespaces: lower-case letters, digits, - and *";
}

static const char *check_account(const char *pattern)
{
    const char *slash = strchr(pattern, '/');
    return is_made_of(pattern, LOWER ".*/") && (!slash || !strchr(slash + 1, '/'))
               ? NULL
               : "is no pattern of service accounts: NAME, or NAMESPACE/NAME for those of other "
                 "namespaces";
}

static const char *check_shared(const char *pattern)
{
    const char *slash = strchr(pattern, '/');
    return is_made_of(pattern, LOWER ".*/") && slash && slash != pattern && slash[1] &&
                   !strchr(slash + 1, '/')
               ? NULL
               : "is no pattern of GitRepositories of other namespaces: NAMESPACE/NAME, such as "
                 "platform/*";
}

/* Kinds are what people think in, resources what a path names. */
static const char *check_resource(const char *pattern)
{
    const char *slash = strchr(pattern, '/');
    if (text_equal(pattern, "*")) {
        return NULL;
    }
    if (!slash || slash == pattern || !slash[1] || strchr(slash + 1, '/')) {
        return "is no pattern of resources: GROUP/RESOURCE, such as apps/deployments or "
               "core/secrets, or * for all";
    }
    return is_made_of(pattern, LOWER ".*/")
               ? NULL
               : "is no pattern of resources: write the resource as RBAC does, lower-case and in "
                 "the plural, such as apps/deployments";
}

static const char *check_repository(const char *pattern)
{
    struct tenancy_url url;
    if (text_equal(pattern, "*")) {
        return NULL;
    }
    if (!tenancy_split_url(pattern, &url) || url.scheme_size == 0 ||
        memchr(url.scheme, '*', url.scheme_size)) {
        return "is no pattern of URLs: SCHEME://HOST/PATH, such as https://git.example.org/shop/*, "
               "or * for all; /** is everything on a host";
    }
    return strpbrk(pattern, " \t\r\n?#\\") || strstr(url.path, "//") || strstr(url.path, "/../")
               ? "is no pattern of URLs: it holds blanks, a query, // or /../, with which no URL "
                 "is "
                 "allowed"
               : NULL;
}

/* ---- Fields ---- */

struct field {
    const char *name;
    size_t offset; /* of a tenancy_list in the rule, or in a tenancy_access */
    check_fn *check;
    bool has_variable; /* $namespace may stand in it */
};

static const struct field rule_fields[] = {
    {"namespaces", offsetof(struct tenancy_rule, namespaces), check_namespace, false},
    {"repositories", offsetof(struct tenancy_rule, repositories), check_repository, true},
    {"sharedRepositories", offsetof(struct tenancy_rule, shared_repositories), check_shared, true},
    {"targetNamespaces", offsetof(struct tenancy_rule, target_namespaces), check_namespace, true},
    {"serviceAccounts", offsetof(struct tenancy_rule, service_accounts), check_account, true},
    {0},
};

static const struct field access_fields[] = {
    {"allow", offsetof(struct tenancy_access, allow), check_resource, false},
    {"deny", offsetof(struct tenancy_access, deny), check_resource, false},
    {0},
};

/* The pattern without its variables, as they stand for something harmless. */
static char *without_variable(const char *pattern)
{
    char *plain = mem_string(pattern), *found;
    while ((found = strstr(plain, TENANCY_VARIABLE))) {
        char *rest = found + strlen(TENANCY_VARIABLE);
        *found = 'n';
        memmove(found + 1, rest, strlen(rest) + 1);
    }
    return plain;
}

static bool read_pattern(struct reading *reading, const struct field *field, const cJSON *node,
                         const char **ret)
{
    const char *pattern = cJSON_IsString(node) ? node->valuestring : NULL;
    if (!pattern || strlen(pattern) > PATTERN_MAXIMUM) {
        return refuse(reading, node, "%s: each item must be a string of at most %zu bytes",
                      field->name, PATTERN_MAXIMUM);
    }
    AUTO_FREE char *plain = field->has_variable ? without_variable(pattern) : mem_string(pattern);
    if (strchr(plain, '$')) {
        return refuse(reading, node, "%s: \"%s\": %s", field->name, pattern,
                      field->has_variable ? "the only variable is " TENANCY_VARIABLE
                                          : "there are no variables here");
    }
    const char *wrong = field->check(plain);
    if (wrong) {
        return refuse(reading, node, "%s: \"%s\" %s", field->name, pattern, wrong);
    }
    *ret = arena_string(&reading->tenancy->arena, pattern);
    return true;
}

static bool read_list(struct reading *reading, const struct field *field, const cJSON *node,
                      struct tenancy_list *ret)
{
    size_t count = json_size(node);
    if (!cJSON_IsArray(node) || count > PATTERNS_MAXIMUM) {
        return refuse(reading, node, "%s must be a list of at most %zu patterns", field->name,
                      PATTERNS_MAXIMUM);
    }
    ret->is_given = true;
    ret->patterns = arena_new(&reading->tenancy->arena, (count + 1) * sizeof *ret->patterns);
    for (const cJSON *item = json_first(node); item; item = item->next) {
        if (!read_pattern(reading, field, item, &ret->patterns[ret->count])) {
            return false;
        }
        ret->count++;
    }
    return true;
}

static const struct field *find_field(const struct field *fields, const char *name)
{
    for (; fields->name; fields++) {
        if (text_equal(fields->name, name)) {
            return fields;
        }
    }
    return NULL;
}

static struct tenancy_list *list_at(void *base, const struct field *field)
{
    return (struct tenancy_list *)((char *)base + field->offset);
}

static bool read_access(struct reading *reading, const cJSON *node, struct tenancy_access *ret)
{
    if (!cJSON_IsObject(node)) {
        return refuse(reading, node, "%s must hold allow, deny, or both", node->string);
    }
    for (const cJSON *member = json_first(node); member; member = member->next) {
        const struct field *field = find_field(access_fields, member->string);
        if (!field) {
            return refuse(reading, member,
                          "%s: unknown field \"%.64s\"; it may hold allow and deny", node->string,
                          member->string);
        }
        if (!read_list(reading, field, member, list_at(ret, field))) {
            return false;
        }
    }
    return true;
}

/* "NAME" or "NAMESPACE/NAME". */
static bool read_default_account(struct reading *reading, const cJSON *node,
                                 struct tenancy_rule *rule)
{
    const char *text = cJSON_IsString(node) ? node->valuestring : "";
    const char *slash = strchr(text, '/');
    const char *name = slash ? slash + 1 : text;
    bool ok = is_made_of(name, LOWER ".") && strlen(text) <= PATTERN_MAXIMUM && *name != '.' &&
              *name != '-' && !text_has_suffix(name, ".") && !text_has_suffix(name, "-");
    struct arena *arena = &reading->tenancy->arena;
    if (ok && slash) {
        rule->default_namespace = arena_string_n(arena, text, (size_t)(slash - text));
        ok = is_made_of(rule->default_namespace, LOWER) && *text != '-' && slash[-1] != '-';
    }
    rule->default_account = arena_string(arena, name);
    return ok ||
           refuse(reading, node,
                  "defaultServiceAccount: \"%.64s\" is neither NAME nor NAMESPACE/NAME", text);
}

static bool read_name(struct reading *reading, const cJSON *node, struct tenancy_rule *rule)
{
    const char *text = cJSON_IsString(node) ? node->valuestring : "";
    rule->name = arena_string(&reading->tenancy->arena, text);
    return (*text && strlen(text) <= 63) ||
           refuse(reading, node, "name must be a string of 1 to 63 bytes");
}

static bool read_member(struct reading *reading, const cJSON *member, struct tenancy_rule *rule)
{
    const struct field *field = find_field(rule_fields, member->string);
    if (field) {
        return read_list(reading, field, member, list_at(rule, field));
    }
    if (text_equal(member->string, "resources")) {
        return read_access(reading, member, &rule->resources);
    }
    if (text_equal(member->string, "clusterResources")) {
        return read_access(reading, member, &rule->cluster_resources);
    }
    if (text_equal(member->string, "defaultServiceAccount")) {
        return read_default_account(reading, member, rule);
    }
    if (text_equal(member->string, "name")) {
        return read_name(reading, member, rule);
    }
    return refuse(reading, member,
                  "unknown field \"%.64s\"; a rule may hold name, namespaces, repositories, "
                  "sharedRepositories, targetNamespaces, resources, clusterResources, "
                  "serviceAccounts and defaultServiceAccount",
                  member->string);
}

static bool read_rule(struct reading *reading, const cJSON *node, struct tenancy_rule *rule)
{
    if (!cJSON_IsObject(node)) {
        return refuse(reading, node, "a rule must be a mapping that holds namespaces");
    }
    rule->line = yaml_line(node) ? yaml_line(node) : reading->document_line;
    for (const cJSON *member = json_first(node); member; member = member->next) {
        if (!read_member(reading, member, rule)) {
            return false;
        }
    }
    return rule->namespaces.count > 0 ||
           refuse(reading, node, "a rule needs namespaces: a list of names, with * for the rest");
}

static bool read_rules(struct reading *reading, const cJSON *node)
{
    struct tenancy *tenancy = reading->tenancy;
    size_t count = json_size(node);
    if (!cJSON_IsArray(node) || count > RULES_MAXIMUM) {
        return refuse(reading, node, "rules must be a list of at most %zu rules", RULES_MAXIMUM);
    }
    tenancy->rules = arena_new(&tenancy->arena, (count + 1) * sizeof *tenancy->rules);
    for (const cJSON *item = json_first(node); item; item = item->next) {
        if (!read_rule(reading, item, &tenancy->rules[tenancy->count])) {
            return false;
        }
        tenancy->count++;
    }
    return true;
}

/* ---- The file ---- */

static bool read_document(struct reading *reading, const cJSON *tree)
{
    if (!cJSON_IsObject(tree) || !json_get(tree, "rules")) {
        return refuse(reading, tree, "the tenancy settings must be a mapping that holds rules");
    }
    for (const cJSON *member = json_first(tree); member; member = member->next) {
        bool type = text_equal(member->string, "apiVersion") || text_equal(member->string, "kind");
        const char *wanted = text_equal(member->string, "kind") ? "Tenancy" : GITMOOR_API_VERSION;
        if (type && !(cJSON_IsString(member) && text_equal(member->valuestring, wanted))) {
            return refuse(reading, member, "%s must be %s", member->string, wanted);
        }
        if (!type && !text_equal(member->string, "rules")) {
            return refuse(reading, member,
                          "unknown field \"%.64s\"; beside rules there may be "
                          "apiVersion and kind",
                          member->string);
        }
    }
    return read_rules(reading, json_get(tree, "rules"));
}

static bool on_document(cJSON *tree, unsigned line, void *context, struct error *error)
{
    AUTO_JSON cJSON *owned = tree;
    struct reading *reading = context;
    reading->error = error;
    reading->document_line = line;
    if (reading->taken) {
        return refuse(reading, owned, "a second document: the tenancy settings are one");
    }
    reading->taken = true;
    return read_document(reading, owned);
}

bool tenancy_parse(const char *text, size_t size, const char *name, struct tenancy **ret,
                   struct error *error)
{
    struct tenancy *tenancy = NEW(struct tenancy);
    arena_init(&tenancy->arena);
    tenancy->file = arena_string(&tenancy->arena, name);
    struct reading reading = {.tenancy = tenancy};
    bool ok = yaml_parse(text, size, name, &limits, on_document, &reading, error);
    if (ok && !reading.taken) {
        ok = error_set(error, ERROR_INVALID,
                       "%s:1: empty. Settings that allow everything are one rule: "
                       "{rules: [{namespaces: [\"*\"]}]}",
                       name);
    }
    if (!ok) {
        tenancy_free(tenancy);
        return false;
    }
    *ret = tenancy;
    return true;
}

void tenancy_free(struct tenancy *tenancy)
{
    if (tenancy) {
        arena_release(&tenancy->arena);
        free(tenancy);
    }
}
