/* From the tree of a list of checks to rules: strict, since a check that is misspelt would judge
 * nothing and nobody would notice. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/health_internal.h"
#include "common/data/pointer.h"
#include "common/data/yaml.h"

#include <stdio.h>
#include <string.h>

#define RULES_MAXIMUM 16   /* of a check */
#define CLAUSES_MAXIMUM 8  /* conditions of a rule, and fields of a rule */
#define VALUES_MAXIMUM 16  /* of a clause */
#define STRING_MAXIMUM 256 /* bytes */
#define STARS_MAXIMUM 2    /* in one pointer: what judging an object costs is bounded */
#define PLACE_SIZE 512

/* Where in the list the reader is: a member by its name, or an item by its index. */
struct place {
    const struct place *up;
    const char *name; /* NULL: an item */
    size_t index;
};

struct reading {
    struct health_rules *rules;
    const struct health_rules_source *source;
    struct error *error;
};

static void append_place(const struct place *place, struct buf *out)
{
    if (place->up) {
        append_place(place->up, out);
    }
    if (!place->name) {
        buf_append_format(out, "[%zu]", place->index);
    } else {
        buf_append_format(out, "%s%.64s", place->up ? "." : "", place->name);
    }
}

static bool refuse(const struct reading *reading, const struct place *place, const cJSON *node,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

static bool refuse(const struct reading *reading, const struct place *place, const cJSON *node,
                   const char *format, ...)
{
    const struct health_rules_source *source = reading->source;
    char why[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    AUTO_BUF struct buf where;
    buf_init(&where, PLACE_SIZE);
    append_place(place, &where);
    if (!source->file) {
        return error_set(reading->error, ERROR_INVALID, "%s: %s", where.data, why);
    }
    unsigned line = yaml_line(node);
    return error_set(reading->error, ERROR_INVALID, "%s:%u: %s: %s", source->file,
                     line ? line : source->line, where.data, why);
}

/* ---- Members: each reader fills what is at `out` ---- */

typedef bool read_function(const struct reading *reading, const struct place *place,
                           const cJSON *node, void *out);

struct member {
    const char *name;
    size_t offset;
    read_function *read;
};

/* Reads a mapping that may hold these members and nothing else. */
static bool read_mapping(const struct reading *reading, const struct place *place,
                         const cJSON *node, const struct member *members, void *out)
{
    if (!cJSON_IsObject(node)) {
        return refuse(reading, place, node, "must be a mapping");
    }
    for (const cJSON *child = json_first(node); child; child = child->next) {
        const struct place here = {.up = place, .name = child->string};
        const struct member *member = members;
        while (member->name && !text_equal(member->name, child->string)) {
            member++;
        }
        if (!member->name) {
            AUTO_BUF struct buf known;
            buf_init(&known, 256);
            for (member = members; member->name; member++) {
                buf_append_format(&known, "%s%s", known.size > 0 ? ", " : "", member->name);
            }
            return refuse(reading, &here, child, "unknown field; there are %s", known.data);
        }
        if (!member->read(reading, &here, child, (char *)out + member->offset)) {
            return false;
        }
    }
    return true;
}

static bool read_string(const struct reading *reading, const struct place *place, const cJSON *node,
                        void *out)
{
    const char *text = cJSON_IsString(node) ? node->valuestring : NULL;
    if (cJSON_IsBool(node) || json_is_number(node)) {
        return refuse(reading, place, node, "must be a string: write it in quotes");
    }
    if (!text || strlen(text) > STRING_MAXIMUM) {
        return refuse(reading, place, node, "must be a string of at most %d bytes", STRING_MAXIMUM);
    }
    *(const char **)out = text;
    return true;
}

static bool read_name(const struct reading *reading, const struct place *place, const cJSON *node,
                      void *out)
{
    const char *text = NULL;
    if (!read_string(reading, place, node, &text)) {
        return false;
    }
    if (text_is_empty(text)) {
        return refuse(reading, place, node, "must not be empty");
    }
    *(const char **)out = text;
    return true;
}

static bool read_pointer(const struct reading *reading, const struct place *place,
                         const cJSON *node, void *out)
{
    struct error error;
    const char *text = NULL;
    if (!read_string(reading, place, node, &text)) {
        return false;
    }
    if (!pointer_is_valid(text, &error)) {
        return refuse(reading, place, node, "%s", error.message);
    }
    if (pointer_stars(text) > STARS_MAXIMUM) {
        return refuse(reading, place, node, "\"%s\": at most %d * in one pointer", text,
                      STARS_MAXIMUM);
    }
    *(const char **)out = text;
    return true;
}

/* One of the words, as its place among them. */
static bool read_word(const struct reading *reading, const struct place *place, const cJSON *node,
                      const char *const *words, size_t *ret)
{
    const char *text = cJSON_IsString(node) ? node->valuestring : NULL;
    AUTO_BUF struct buf known;
    buf_init(&known, 128);
    for (size_t i = 0; words[i]; i++) {
        if (text_equal(words[i], text)) {
            *ret = i;
            return true;
        }
        buf_append_format(&known, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    }
    return refuse(reading, place, node, "must be %s%s%.64s%s", known.data, text ? ", not \"" : "",
                  text_or_empty(text), text ? "\"" : "");
}

static bool read_match(const struct reading *reading, const struct place *place, const cJSON *node,
                       void *out)
{
    static const char *const words[] = {"All", "Any", NULL};
    size_t word;
    if (!read_word(reading, place, node, words, &word)) {
        return false;
    }
    *(enum health_match *)out = word == 0 ? HEALTH_ALL : HEALTH_ANY;
    return true;
}

static bool read_set(const struct reading *reading, const struct place *place, const cJSON *node,
                     void *out)
{
    if (!cJSON_IsBool(node)) {
        return refuse(reading, place, node, "must be true or false");
    }
    *(enum health_presence *)out = cJSON_IsTrue(node) ? HEALTH_SET : HEALTH_UNSET;
    return true;
}

static const enum health_status statuses[] = {HEALTH_CURRENT, HEALTH_IN_PROGRESS, HEALTH_FAILED};

static bool read_verdict(const struct reading *reading, const struct place *place,
                         const cJSON *node, void *out)
{
    static const char *const words[] = {"Current", "InProgress", "Failed", NULL};
    size_t word;
    if (!read_word(reading, place, node, words, &word)) {
        return false;
    }
    *(enum health_status *)out = statuses[word];
    return true;
}

/* A list of strings, or of scalars of any type. */
static bool read_list(const struct reading *reading, const struct place *place, const cJSON *node,
                      bool strings_only, void *out)
{
    if (!cJSON_IsArray(node) || !json_first(node) || json_size(node) > VALUES_MAXIMUM) {
        return refuse(reading, place, node, "must be a list of 1 to %d values", VALUES_MAXIMUM);
    }
    struct place here = {.up = place};
    for (const cJSON *item = json_first(node); item; item = item->next, here.index++) {
        bool ok = strings_only ? cJSON_IsString(item)
                               : cJSON_IsString(item) || cJSON_IsBool(item) || json_is_number(item);
        if (!ok) {
            return refuse(reading, &here, item, "must be a string%s",
                          strings_only ? "" : ", a number, true or false");
        }
    }
    *(const cJSON **)out = node;
    return true;
}

static bool read_reasons(const struct reading *reading, const struct place *place,
                         const cJSON *node, void *out)
{
    return read_list(reading, place, node, true, out);
}

static bool read_values(const struct reading *reading, const struct place *place, const cJSON *node,
                        void *out)
{
    return read_list(reading, place, node, false, out);
}

/* ---- Clauses ---- */

static const struct member condition_members[] = {
    {"type", offsetof(struct health_condition, type), read_name},
    {"status", offsetof(struct health_condition, status), read_name},
    {"reasons", offsetof(struct health_condition, reasons), read_reasons},
    {"at", offsetof(struct health_condition, at), read_pointer},
    {"match", offsetof(struct health_condition, match), read_match},
    {"set", offsetof(struct health_condition, presence), read_set},
    {0},
};

static bool read_condition(const struct reading *reading, const struct place *place,
                           const cJSON *node, void *out)
{
    struct health_condition *condition = out;
    condition->at = "/status/conditions";
    if (!read_mapping(reading, place, node, condition_members, condition)) {
        return false;
    }
    if (!condition->type) {
        return refuse(reading, place, node, "type is missing: that of a condition, such as Ready");
    }
    return condition->presence != HEALTH_UNSET || (!condition->status && !condition->reasons) ||
           refuse(reading, place, node,
                  "set: false is for a condition that is not there; it has no status or reasons");
}

static const struct member field_members[] = {
    {"path", offsetof(struct health_field, path), read_pointer},
    {"values", offsetof(struct health_field, values), read_values},
    {"sameAs", offsetof(struct health_field, same_as), read_pointer},
    {"match", offsetof(struct health_field, match), read_match},
    {"set", offsetof(struct health_field, presence), read_set},
    {0},
};

static bool read_field(const struct reading *reading, const struct place *place, const cJSON *node,
                       void *out)
{
    struct health_field *field = out;
    if (!read_mapping(reading, place, node, field_members, field)) {
        return false;
    }
    if (text_is_empty(field->path)) {
        return refuse(reading, place, node,
                      "path is missing: a JSON pointer such as /status/phase");
    }
    int asked =
        (field->values != NULL) + (field->same_as != NULL) + (field->presence != HEALTH_EITHER);
    return asked == 1 ||
           refuse(reading, place, node, "needs one of values, sameAs and set, to be compared with");
}

/* Reads a list of mappings into an array of the size of one each. */
static bool read_items(const struct reading *reading, const struct place *place, const cJSON *node,
                       size_t maximum, size_t size, read_function *read, void **ret, size_t *count)
{
    if (!cJSON_IsArray(node) || json_size(node) > maximum) {
        return refuse(reading, place, node, "must be a list of at most %zu items", maximum);
    }
    char *items = arena_new(&reading->rules->arena, json_size(node) * size + 1);
    struct place here = {.up = place};
    for (const cJSON *item = json_first(node); item; item = item->next, here.index++) {
        if (!read(reading, &here, item, items + here.index * size)) {
            return false;
        }
    }
    *ret = items;
    *count = here.index;
    return true;
}

static bool read_conditions(const struct reading *reading, const struct place *place,
                            const cJSON *node, void *out)
{
    struct health_rule *rule = out;
    return read_items(reading, place, node, CLAUSES_MAXIMUM, sizeof *rule->conditions,
                      read_condition, (void **)&rule->conditions, &rule->condition_count);
}

static bool read_fields(const struct reading *reading, const struct place *place, const cJSON *node,
                        void *out)
{
    struct health_rule *rule = out;
    return read_items(reading, place, node, CLAUSES_MAXIMUM, sizeof *rule->fields, read_field,
                      (void **)&rule->fields, &rule->field_count);
}

/* ---- Rules and checks ---- */

#define NO_STATUS HEALTH_UNKNOWN /* which no rule can have */

static const struct member rule_members[] = {
    {"status", offsetof(struct health_rule, status), read_verdict},
    {"conditions", 0, read_conditions},
    {"fields", 0, read_fields},
    {"message", offsetof(struct health_rule, message), read_pointer},
    {0},
};

static bool read_rule(const struct reading *reading, const struct place *place, const cJSON *node,
                      void *out)
{
    struct health_rule *rule = out;
    rule->status = NO_STATUS;
    if (!read_mapping(reading, place, node, rule_members, rule)) {
        return false;
    }
    if (rule->status == NO_STATUS) {
        return refuse(reading, place, node, "status is missing: Current, InProgress or Failed");
    }
    return rule->condition_count + rule->field_count > 0 ||
           refuse(reading, place, node,
                  "needs conditions or fields; for what holds otherwise there is the check's "
                  "otherwise");
}

static bool read_rules(const struct reading *reading, const struct place *place, const cJSON *node,
                       void *out)
{
    struct health_check *check = out;
    return read_items(reading, place, node, RULES_MAXIMUM, sizeof *check->rules, read_rule,
                      (void **)&check->rules, &check->count);
}

static bool read_otherwise(const struct reading *reading, const struct place *place,
                           const cJSON *node, void *out)
{
    static const char *const words[] = {"Current", "InProgress", "Failed", "Kstatus", NULL};
    struct health_check *check = out;
    size_t word;
    if (!read_word(reading, place, node, words, &word)) {
        return false;
    }
    check->otherwise_kstatus = word == 3;
    check->otherwise = word < 3 ? statuses[word] : HEALTH_UNKNOWN;
    return true;
}

/* "*.crossplane.io" stands for the groups below it. */
static bool read_group(const struct reading *reading, const struct place *place, const cJSON *node,
                       void *out)
{
    const char *text = NULL;
    if (!read_string(reading, place, node, &text)) {
        return false;
    }
    const char *star = strchr(text, '*');
    if (star && (star != text || text[1] != '.' || !text[2] || strchr(text + 1, '*'))) {
        return refuse(reading, place, node,
                      "\"%s\": a * may only stand first, before a dot, for all groups that end so",
                      text);
    }
    *(const char **)out = text;
    return true;
}

static const struct member check_members[] = {
    {"group", offsetof(struct health_check, group), read_group},
    {"kind", offsetof(struct health_check, kind), read_name},
    {"version", offsetof(struct health_check, version), read_name},
    {"observedGeneration", offsetof(struct health_check, observed_generation), read_pointer},
    {"rules", 0, read_rules},
    {"otherwise", 0, read_otherwise},
    {0},
};

static bool read_check(const struct reading *reading, const struct place *place, const cJSON *node,
                       void *out)
{
    struct health_check *check = out;
    check->observed_generation = "/status/observedGeneration";
    check->otherwise = HEALTH_IN_PROGRESS;
    check->tree = node;
    if (!read_mapping(reading, place, node, check_members, check)) {
        return false;
    }
    if (!check->group || !check->kind) {
        return refuse(reading, place, node, "%s is missing%s", check->kind ? "group" : "kind",
                      check->kind ? "; \"\" is the group of Kubernetes' core" : "");
    }
    if (!*check->group && text_equal(check->kind, "Secret")) {
        return refuse(reading, place, node,
                      "Secrets have no health rules: what a rule finds is told in the status of "
                      "the Application");
    }
    return check->count > 0 || check->otherwise_kstatus ||
           refuse(reading, place, node, "rules is missing: without one nothing is ever Current");
}

static bool is_same_kind(const struct health_check *left, const struct health_check *right)
{
    return text_equal(left->kind, right->kind) && text_equal(left->group, right->group) &&
           text_equal(left->version, right->version);
}

static bool kinds_are_distinct(const struct reading *reading, const struct place *place)
{
    const struct health_rules *rules = reading->rules;
    for (size_t i = 0; i < rules->count; i++) {
        for (size_t before = 0; before < i; before++) {
            if (is_same_kind(&rules->checks[i], &rules->checks[before])) {
                const struct place here = {.up = place, .index = i};
                return refuse(reading, &here, rules->checks[i].tree,
                              "a second check for %s of %s%s; the first is [%zu]",
                              rules->checks[i].kind,
                              *rules->checks[i].group ? rules->checks[i].group : "the core group",
                              rules->checks[i].version ? " in that version" : "", before);
            }
        }
    }
    return true;
}

bool health_rules_fill(struct health_rules *rules, const cJSON *checks,
                       const struct health_rules_source *source, struct error *error)
{
    const struct reading reading = {.rules = rules, .source = source, .error = error};
    const struct place place = {.name = source->field};
    return read_items(&reading, &place, checks, source->maximum, sizeof *rules->checks, read_check,
                      (void **)&rules->checks, &rules->count) &&
           kinds_are_distinct(&reading, &place);
}
