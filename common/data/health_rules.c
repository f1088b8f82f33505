#include "common/data/health_rules.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/health_internal.h"
#include "common/data/object.h"
#include "common/data/yaml.h"

#include <string.h>

#define FILE_CHECKS_MAXIMUM 1000
#define LIST_CHECKS_MAXIMUM 64

static const struct yaml_limits file_limits = {
    .bytes = HEALTH_RULES_FILE_MAXIMUM, .depth = 20, .nodes = 100000};

/* health_rules.yaml, by the build. */
extern const char health_rules_shipped_text[];
extern const size_t health_rules_shipped_size;

/* ---- Making them ---- */

static struct health_rules *rules_new(cJSON *tree)
{
    struct health_rules *rules = NEW(struct health_rules);
    arena_init(&rules->arena);
    rules->tree = tree;
    return rules;
}

void health_rules_free(struct health_rules *rules)
{
    if (rules) {
        arena_release(&rules->arena);
        json_free(rules->tree);
        free(rules);
    }
}

struct file_reading {
    const char *name;
    struct health_rules *rules;
};

static bool refuse(const struct file_reading *reading, const cJSON *node, unsigned line,
                   struct error *error, const char *why)
{
    unsigned own = yaml_line(node);
    return error_set(error, ERROR_INVALID, "%s:%u: %s", reading->name, own ? own : line, why);
}

static bool check_head(const struct file_reading *reading, const cJSON *tree, unsigned line,
                       struct error *error)
{
    for (const cJSON *member = json_first(tree); member; member = member->next) {
        const char *wanted = text_equal(member->string, "apiVersion") ? GITMOOR_API_VERSION
                             : text_equal(member->string, "kind")     ? "HealthRules"
                                                                      : NULL;
        if (wanted && !(cJSON_IsString(member) && text_equal(member->valuestring, wanted))) {
            return refuse(reading, member, line, error,
                          "health rules have apiVersion " GITMOOR_API_VERSION
                          " and kind HealthRules");
        }
        if (!wanted && !text_equal(member->string, "checks")) {
            return refuse(reading, member, line, error,
                          "unknown field; beside checks there may be apiVersion and kind");
        }
    }
    return json_get(tree, "checks") ||
           refuse(reading, tree, line, error, "health rules must be a mapping that holds checks");
}

static bool on_document(cJSON *tree, unsigned line, void *context, struct error *error)
{
    struct file_reading *reading = context;
    if (reading->rules) {
        AUTO_JSON cJSON *owned = tree;
        return refuse(reading, owned, line, error, "a second document: the health rules are one");
    }
    reading->rules = rules_new(tree);
    const struct health_rules_source source = {
        .file = reading->name, .field = "checks", .line = line, .maximum = FILE_CHECKS_MAXIMUM};
    return check_head(reading, tree, line, error) &&
           health_rules_fill(reading->rules, json_get(tree, "checks"), &source, error);
}

bool health_rules_parse(const char *text, size_t size, const char *name, struct health_rules **ret,
                        struct error *error)
{
    struct file_reading reading = {.name = name};
    bool ok = yaml_parse(text, size, name, &file_limits, on_document, &reading, error);
    if (ok && !reading.rules) {
        ok = error_set(error, ERROR_INVALID, "%s:1: empty. No rules are written as {checks: []}",
                       name);
    }
    if (!ok) {
        health_rules_free(reading.rules);
        return false;
    }
    *ret = reading.rules;
    return true;
}

bool health_rules_read(const cJSON *checks, const char *field, struct health_rules **ret,
                       struct error *error)
{
    const struct health_rules_source source = {.field = field, .maximum = LIST_CHECKS_MAXIMUM};
    if (!checks || (cJSON_IsArray(checks) && !json_first(checks))) {
        *ret = NULL;
        return true;
    }
    struct health_rules *rules = rules_new(json_copy(checks));
    if (!health_rules_fill(rules, rules->tree, &source, error)) {
        health_rules_free(rules);
        return false;
    }
    *ret = rules;
    return true;
}

struct health_rules *health_rules_shipped(void)
{
    struct health_rules *rules = NULL;
    /* The tests read it: it is not broken. */
    health_rules_parse(health_rules_shipped_text, health_rules_shipped_size, "health_rules.yaml",
                       &rules, NULL);
    return rules;
}

/* ---- Asking them ---- */

/* An apiVersion, not copied. */
struct api_version {
    const char *group;
    size_t group_size;
    const char *version;
};

static bool is_for_group(const struct health_check *check, const char *group, size_t size)
{
    const char *wanted = check->group;
    size_t wanted_size = strlen(wanted);
    if (*wanted == '*') { /* "*.crossplane.io": what ends so */
        wanted++;
        wanted_size--;
        group += size > wanted_size ? size - wanted_size : 0;
        size = size > wanted_size ? wanted_size : 0;
    }
    return wanted_size == size && memcmp(wanted, group, size) == 0;
}

/* Never Secrets: what a rule finds is told in the status of the Application. */
static bool is_for_kind(const struct health_check *check, const char *group, size_t size,
                        const char *kind)
{
    if (size == 0 && strcmp(kind, "Secret") == 0) {
        return false;
    }
    return (strcmp(check->kind, kind) == 0 || strcmp(check->kind, "*") == 0) &&
           is_for_group(check, group, size);
}

static bool is_for(const struct health_check *check, const struct api_version *api,
                   const char *kind)
{
    return is_for_kind(check, api->group, api->group_size, kind) &&
           (!check->version || strcmp(check->version, api->version) == 0);
}

char *health_rules_of_kind(const struct health_rules *rules, const char *group, const char *kind)
{
    AUTO_BUF struct buf out;
    buf_init(&out, json_default_limits.bytes);
    for (size_t i = 0; rules && i < rules->count; i++) {
        const struct health_check *check = &rules->checks[i];
        if (is_for_kind(check, group, strlen(group), kind)) {
            json_write(check->tree, &out);
        }
    }
    return buf_detach(&out);
}

static const struct health_check *find_check(const struct health_rules *rules,
                                             const struct api_version *api, const char *kind)
{
    for (size_t i = 0; rules && i < rules->count; i++) {
        if (is_for(&rules->checks[i], api, kind)) {
            return &rules->checks[i];
        }
    }
    return NULL;
}

enum health_status health_judge_by(const struct health_rules *const *sets, size_t count,
                                   const cJSON *object, char ret_message[HEALTH_MESSAGE_SIZE])
{
    const char *text = text_or_empty(json_string(object, "apiVersion"));
    const char *kind = text_or_empty(json_string(object, "kind"));
    const char *slash = strchr(text, '/');
    const struct api_version api = {.group = text,
                                    .group_size = slash ? (size_t)(slash - text) : 0,
                                    .version = slash ? slash + 1 : text};
    for (size_t i = 0; *kind && i < count; i++) {
        const struct health_check *check = find_check(sets[i], &api, kind);
        if (check) {
            return health_check_judge(check, object, ret_message);
        }
    }
    return health_judge(object, ret_message);
}
