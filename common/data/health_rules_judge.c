/* One object against the check of its kind. */
#include "common/base/text.h"
#include "common/data/health_internal.h"
#include "common/data/pointer.h"

#include <stdio.h>
#include <string.h>

/* ---- Generations ---- */

/* A whole number, or a string of one, as Argo Rollouts writes it. */
static bool read_generation(const cJSON *node, int64_t *ret)
{
    return cJSON_IsString(node) ? text_parse_int(node->valuestring, ret) : json_to_int(node, ret);
}

static bool is_other_generation(const cJSON *object, const cJSON *observed, int64_t *ret_own,
                                int64_t *ret_observed)
{
    return read_generation(json_get_path(object, "metadata.generation"), ret_own) &&
           read_generation(observed, ret_observed) && *ret_own != *ret_observed;
}

/* ---- Conditions ---- */

/* Matching a clause at the places that its pointer leads to. */
struct matching {
    const cJSON *object;
    const struct health_condition *condition; /* one of the two */
    const struct health_field *field;
    size_t places, matches;
    size_t outdated; /* places, not counted above, with conditions of earlier generations only */
    const cJSON *matched; /* the first condition or value that is as it should be */
    const cJSON *other;   /* the first that is not; NULL: there is nothing */
};

/* A condition of an earlier generation says nothing of this one. */
static bool is_stale(const cJSON *object, const cJSON *condition)
{
    int64_t own, observed;
    return is_other_generation(object, json_get(condition, "observedGeneration"), &own, &observed);
}

static bool has_reason(const cJSON *reasons, const char *reason)
{
    const cJSON *item = json_first(reasons);
    while (item && !text_equal(item->valuestring, reason)) {
        item = item->next;
    }
    return item != NULL;
}

static bool is_as_wanted(const struct health_condition *wanted, const cJSON *condition)
{
    return (!wanted->status || text_equal(json_string(condition, "status"), wanted->status)) &&
           (!wanted->reasons || has_reason(wanted->reasons, json_string(condition, "reason")));
}

static bool is_outdated(const cJSON *object, const cJSON *list)
{
    const cJSON *item = cJSON_IsArray(list) ? json_first(list) : NULL;
    bool is_any = item != NULL;
    while (item && is_stale(object, item)) {
        item = item->next;
    }
    return is_any && !item;
}

static bool match_conditions(const cJSON *list, void *context)
{
    struct matching *matching = context;
    const struct health_condition *wanted = matching->condition;
    const cJSON *found = NULL, *other = NULL;
    if (is_outdated(matching->object, list)) {
        matching->outdated++;
        return true;
    }
    for (const cJSON *item = cJSON_IsArray(list) ? json_first(list) : NULL; item && !found;
         item = item->next) {
        if (!text_equal(json_string(item, "type"), wanted->type) ||
            is_stale(matching->object, item)) {
            continue;
        }
        found = is_as_wanted(wanted, item) ? item : NULL;
        other = other ? other : item;
    }
    bool unset = wanted->presence == HEALTH_UNSET;
    bool matches = unset ? !found : found != NULL;
    matching->places++;
    matching->matches += matches;
    if (matches && !matching->matched) {
        matching->matched = found;
    }
    if (!matches && !matching->other) {
        matching->other = unset ? found : other;
    }
    return true;
}

/* ---- Fields ---- */

static bool is_among(const cJSON *values, const cJSON *node)
{
    const cJSON *item = json_first(values);
    while (item && !json_equal(item, node)) {
        item = item->next;
    }
    return item != NULL;
}

static bool match_field(const cJSON *node, void *context)
{
    struct matching *matching = context;
    const struct health_field *wanted = matching->field;
    bool is_set = node && !cJSON_IsNull(node);
    bool matches;
    if (wanted->values) {
        matches = is_set && is_among(wanted->values, node);
    } else if (wanted->same_as) {
        const cJSON *same = pointer_get(matching->object, wanted->same_as);
        matches = is_set && same && json_equal(node, same);
    } else {
        matches = is_set == (wanted->presence == HEALTH_SET);
    }
    matching->places++;
    matching->matches += matches;
    if (matches && !matching->matched) {
        matching->matched = node;
    }
    if (!matches && !matching->other) {
        matching->other = node;
    }
    return true;
}

/* Where there is no place at all, nothing is set there, and nothing else can be said of it. So it
 * is where all are outdated. Beside others outdated ones do not count: they are what a controller
 * has left there that is no longer concerned, and would be waited for for ever. */
static bool is_met(const struct matching *matching, enum health_match match,
                   enum health_presence presence)
{
    if (match == HEALTH_ANY) {
        bool is_unset = presence == HEALTH_UNSET && matching->places == 0 && matching->outdated > 0;
        return matching->matches > 0 || is_unset;
    }
    return matching->matches == matching->places &&
           (matching->places > 0 || presence == HEALTH_UNSET);
}

static bool condition_holds(const struct health_condition *condition, const cJSON *object,
                            struct matching *ret)
{
    *ret = (struct matching){.object = object, .condition = condition};
    pointer_each(object, condition->at, match_conditions, ret);
    return is_met(ret, condition->match, condition->presence);
}

static bool field_holds(const struct health_field *field, const cJSON *object, struct matching *ret)
{
    *ret = (struct matching){.object = object, .field = field};
    pointer_each(object, field->path, match_field, ret);
    return is_met(ret, field->match, field->presence);
}

/* ---- Rules ---- */

/* The first clause that does not hold, in ret; or the first one, if all do. */
static bool rule_holds(const struct health_rule *rule, const cJSON *object, struct matching *ret)
{
    struct matching matching;
    bool is_first = true;
    for (size_t i = 0; i < rule->condition_count + rule->field_count; i++) {
        bool holds = i < rule->condition_count
                         ? condition_holds(&rule->conditions[i], object, &matching)
                         : field_holds(&rule->fields[i - rule->condition_count], object, &matching);
        if (!holds || is_first) {
            *ret = matching;
        }
        if (!holds) {
            return false;
        }
        is_first = false;
    }
    return true;
}

/* ---- Messages ---- */

#define SHOWN 128 /* bytes of a value */

static const char *scalar_text(const cJSON *node)
{
    if (cJSON_IsString(node)) {
        return node->valuestring;
    }
    if (json_is_number(node)) {
        return json_number_text(node);
    }
    return cJSON_IsBool(node) ? (cJSON_IsTrue(node) ? "true" : "false") : NULL;
}

static bool take_text(const cJSON *node, void *context)
{
    const char **text = context;
    const char *found = scalar_text(node);
    *text = text_is_empty(found) ? NULL : found;
    return !*text;
}

static void describe_condition(const cJSON *condition, char *message)
{
    const char *own = json_string(condition, "message");
    const char *reason = json_string(condition, "reason");
    if (!text_is_empty(own)) {
        health_answer(message, HEALTH_UNKNOWN, "%s", own);
        return;
    }
    health_answer(message, HEALTH_UNKNOWN, "%s is %.*s%s%.*s",
                  text_or_empty(json_string(condition, "type")), SHOWN,
                  text_or_empty(json_string(condition, "status")),
                  text_is_empty(reason) ? "" : ": ", SHOWN, text_or_empty(reason));
}

static void describe_field(const struct health_field *field, const cJSON *node, char *message)
{
    const char *text = scalar_text(node);
    if (text) {
        health_answer(message, HEALTH_UNKNOWN, "%s is %.*s", field->path, SHOWN, text);
    } else {
        health_answer(message, HEALTH_UNKNOWN, "%s is %s", field->path, node ? "set" : "not set");
    }
}

static void describe_rule(const struct health_rule *rule, const struct matching *matching,
                          char *message)
{
    const char *text = NULL;
    if (rule->message) {
        pointer_each(matching->object, rule->message, take_text, &text);
    }
    if (text) {
        health_answer(message, HEALTH_UNKNOWN, "%s", text);
    } else if (matching->field) {
        describe_field(matching->field, matching->matched, message);
    } else if (matching->matched) {
        describe_condition(matching->matched, message);
    } else {
        health_answer(message, HEALTH_UNKNOWN, "there is no condition %s",
                      matching->condition->type);
    }
}

/* What the first rule that would make it Current lacks. */
static void describe_lack(const struct health_check *check, const cJSON *object, char *message)
{
    struct matching lack = {0};
    health_answer(message, HEALTH_UNKNOWN, "no health rule holds");
    for (size_t i = 0; i < check->count; i++) {
        if (check->rules[i].status != HEALTH_CURRENT) {
            continue;
        }
        rule_holds(&check->rules[i], object, &lack);
        if (lack.field) {
            describe_field(lack.field, lack.other, message);
        } else if (lack.other) {
            describe_condition(lack.other, message);
        } else {
            health_answer(message, HEALTH_UNKNOWN, "waiting for condition %s",
                          lack.condition->type);
        }
        return;
    }
}

/* ---- The check ---- */

static bool is_unobserved(const struct health_check *check, const cJSON *object, char *message)
{
    int64_t own, observed;
    if (!*check->observed_generation ||
        !is_other_generation(object, pointer_get(object, check->observed_generation), &own,
                             &observed)) {
        return false;
    }
    health_answer(message, HEALTH_IN_PROGRESS,
                  "%s generation is %lld, but latest observed generation is %lld", check->kind,
                  (long long)own, (long long)observed);
    return true;
}

enum health_status health_check_judge(const struct health_check *check, const cJSON *object,
                                      char message[HEALTH_MESSAGE_SIZE])
{
    enum health_status status;
    struct matching matching;
    if (health_judge_deletion(object, message, &status)) {
        return status;
    }
    if (is_unobserved(check, object, message)) {
        return HEALTH_IN_PROGRESS;
    }
    for (size_t i = 0; i < check->count; i++) {
        if (rule_holds(&check->rules[i], object, &matching)) {
            describe_rule(&check->rules[i], &matching, message);
            return check->rules[i].status;
        }
    }
    if (check->otherwise_kstatus) {
        return health_judge(object, message);
    }
    describe_lack(check, object, message);
    return check->otherwise;
}
