/* What is done with field sets: paths for people, what was lost, what changed, the digest.
 * Each is one walk of the set in sorted order; its recursion is bounded by the depth of what
 * json_parse lets through. */
#include "common/data/fields_internal.h"

#include "common/base/digest.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json_internal.h"

#include <ctype.h>
#include <string.h>

#define ROOM 32
/* Of one path as people read it; a longer one is cut. */
#define PATH_MAXIMUM 65536
/* So many levels of a set are skipped if the values below are equal as a whole, as most are. Not
 * more: each such level reads all that is below it. */
#define EQUAL_LEVELS 4

/* The steps from the root to where a walk stands. */
struct trail {
    const char *member;
    const struct trail *up;
};

/* ---- Paths ---- */

static bool is_identifier(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_') {
        return false;
    }
    while (isalnum((unsigned char)*name) || *name == '_') {
        name++;
    }
    return *name == '\0';
}

/* Canonical JSON without any white space: a blank in a string is written \u0020, so that paths can
 * stand in a list. */
static void append_value(struct buf *out, const cJSON *value)
{
    int64_t number;
    if (json_is_number(value) && json_to_int(value, &number)) { /* 80, 80.0 and 8e1 are the same */
        buf_append_format(out, "%lld", (long long)number);
        return;
    }
    AUTO_BUF struct buf text;
    buf_init(&text, PATH_MAXIMUM);
    if (!json_write(value, &text)) {
        out->overflowed = true;
        return;
    }
    for (const char *at = text.data; *at; at++) {
        if (*at == ' ') {
            buf_append_string(out, "\\u0020");
        } else {
            buf_append_char(out, *at);
        }
    }
}

static void append_string(struct buf *out, const char *text)
{
    AUTO_JSON cJSON *value = json_new_string(text);
    append_value(out, value);
}

static void append_keys(struct buf *out, const cJSON *keys)
{
    cJSON *room[ROOM];
    size_t count;
    cJSON **members = json_sorted_members(keys, room, ROOM, &count);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_append_char(out, ',');
        }
        if (is_identifier(members[i]->string)) {
            buf_append_string(out, members[i]->string);
        } else {
            append_string(out, members[i]->string);
        }
        buf_append_char(out, '=');
        append_value(out, members[i]);
    }
    if (members != room) {
        free(members);
    }
}

bool fields_append_step(struct buf *out, const char *member)
{
    if (!fields_is_step(member)) {
        return !out->overflowed;
    }
    const char *rest = member + 2;
    if (*member == 'f' && is_identifier(rest)) {
        buf_append_char(out, '.');
        return buf_append_string(out, rest);
    }
    buf_append_char(out, '[');
    AUTO_JSON cJSON *value = NULL;
    bool parsed = strchr("kv", *member) && json_parse(rest, strlen(rest), NULL, &value, NULL);
    if (*member == 'i' && rest[strspn(rest, "0123456789")] == '\0') {
        buf_append_string(out, rest);
    } else if (parsed && *member == 'v') {
        append_value(out, value);
    } else if (parsed && cJSON_IsObject(value)) {
        append_keys(out, value);
    } else {
        append_string(out, *member == 'f' ? rest : member);
    }
    return buf_append_char(out, ']');
}

/* ---- The walk that the three questions share ---- */

struct visit {
    bool (*function)(const char *path, void *context);
    void *context;
    struct buf path;
};

static void append_trail(struct buf *out, const struct trail *trail)
{
    if (trail) {
        append_trail(out, trail->up);
        fields_append_step(out, trail->member);
    }
}

/* The path is written only for what is told: to write it parses the keys of list items. */
static bool visit_leaf(struct visit *visit, const struct trail *trail)
{
    buf_clear(&visit->path);
    append_trail(&visit->path, trail);
    return visit->function(visit->path.data, visit->context);
}

/* ---- Lost ---- */

static bool lost_below(struct visit *visit, const cJSON *before, const cJSON *after,
                       const struct trail *up);

static bool lost_member(struct visit *visit, const cJSON *member, const cJSON *kept,
                        const struct trail *trail)
{
    if (fields_is_leaf(member)) {
        return kept || visit_leaf(visit, trail);
    }
    if (kept && fields_is_leaf(kept) && !fields_is_owned(member)) {
        return true; /* now owned as a whole: nothing below is lost */
    }
    return lost_below(visit, member, kept, trail);
}

/* Both levels are sorted, so that one pass over both finds the counterparts. */
static bool lost_below(struct visit *visit, const cJSON *before, const cJSON *after,
                       const struct trail *up)
{
    cJSON *before_room[ROOM], *after_room[ROOM];
    size_t count, after_count, j = 0;
    cJSON **members = json_sorted_members(before, before_room, ROOM, &count);
    cJSON **others = json_sorted_members(after, after_room, ROOM, &after_count);
    bool go_on = true;
    for (size_t i = 0; go_on && i < count; i++) {
        if (!fields_is_step(members[i]->string)) {
            continue;
        }
        while (j < after_count && strcmp(others[j]->string, members[i]->string) < 0) {
            j++;
        }
        bool kept = j < after_count && strcmp(others[j]->string, members[i]->string) == 0;
        struct trail trail = {.member = members[i]->string, .up = up};
        go_on = lost_member(visit, members[i], kept ? others[j] : NULL, &trail);
    }
    if (members != before_room) {
        free(members);
    }
    if (others != after_room) {
        free(others);
    }
    return go_on;
}

void fields_lost(const cJSON *before, const cJSON *after,
                 bool (*visit)(const char *path, void *context), void *context)
{
    if (json_equal(before, after)) {
        return; /* the usual case */
    }
    struct visit state = {.function = visit, .context = context};
    buf_init(&state.path, PATH_MAXIMUM);
    lost_below(&state, before, after, NULL);
    buf_release(&state.path);
}

/* ---- Values ---- */

static const cJSON *follow(const cJSON *set, const struct trail *trail)
{
    return trail ? json_get(follow(set, trail->up), trail->member) : set;
}

/* Whether another manager's entry in `object` owns something below the trail. Then the container
 * there is shared, and an owner of the container itself owns no more than its presence. Without
 * the schema nothing else tells a shared map from one that is owned as a whole. */
static bool is_shared(const cJSON *object, const cJSON *ours, const struct trail *trail)
{
    const cJSON *entries = json_array(json_object(object, "metadata"), "managedFields");
    for (const cJSON *entry = json_first(entries); entry; entry = entry->next) {
        const cJSON *set = json_object(entry, "fieldsV1");
        if (set && set != ours && !fields_is_leaf(follow(set, trail))) {
            return true;
        }
    }
    return false;
}

static bool is_container(const cJSON *node)
{
    return cJSON_IsObject(node) || cJSON_IsArray(node);
}

/* ---- Changed ---- */

struct comparison {
    struct visit visit;
    const cJSON *set, *before, *after;
};

static bool value_changed(const struct comparison *comparison, const cJSON *before,
                          const cJSON *after, const struct trail *trail)
{
    if (!before || !after) {
        return before != after;
    }
    if (is_container(before) && before->type == after->type &&
        (!json_first(before) || is_shared(comparison->before, comparison->set, trail) ||
         is_shared(comparison->after, comparison->set, trail))) {
        return false;
    }
    return !json_equal(before, after);
}

static unsigned depth_of(const struct trail *trail)
{
    unsigned depth = 0;
    for (; trail; trail = trail->up) {
        depth++;
    }
    return depth;
}

static bool changed_below(struct comparison *comparison, const cJSON *set, const cJSON *before,
                          const cJSON *after, const struct trail *up)
{
    if (depth_of(up) <= EQUAL_LEVELS && json_equal(before, after)) {
        return true;
    }
    cJSON *room[ROOM];
    size_t count;
    cJSON **members = json_sorted_members(set, room, ROOM, &count);
    struct fields_level old_level, new_level;
    fields_level_init(&old_level, set, before);
    fields_level_init(&new_level, set, after);
    bool go_on = true;
    for (size_t i = 0; go_on && i < count; i++) {
        const char *member = members[i]->string;
        if (!fields_is_step(member)) {
            continue;
        }
        struct trail trail = {.member = member, .up = up};
        const cJSON *old_value = fields_level_resolve(&old_level, member);
        const cJSON *new_value = fields_level_resolve(&new_level, member);
        if (!fields_is_leaf(members[i])) {
            go_on = changed_below(comparison, members[i], old_value, new_value, &trail);
        } else if (value_changed(comparison, old_value, new_value, &trail)) {
            go_on = visit_leaf(&comparison->visit, &trail);
        }
    }
    fields_level_release(&old_level);
    fields_level_release(&new_level);
    if (members != room) {
        free(members);
    }
    return go_on;
}

void fields_changed(const cJSON *set, const cJSON *before, const cJSON *after,
                    bool (*visit)(const char *path, void *context), void *context)
{
    struct comparison comparison = {.visit = {.function = visit, .context = context},
                                    .set = set,
                                    .before = before,
                                    .after = after};
    buf_init(&comparison.visit.path, PATH_MAXIMUM);
    changed_below(&comparison, set, before, after, NULL);
    buf_release(&comparison.visit.path);
}

/* ---- Digest ---- */

struct digestion {
    struct digest_state *digest;
    const cJSON *set, *object;
    struct buf text; /* of one value */
};

static void digest_text(struct digestion *digestion, char tag, const char *text)
{
    digest_update(digestion->digest, &tag, 1);
    digest_update(digestion->digest, text, strlen(text) + 1);
}

static void digest_value(struct digestion *digestion, const cJSON *value, const struct trail *trail)
{
    if (!value) {
        digest_text(digestion, '-', "");
    } else if (is_container(value) && json_first(value) &&
               is_shared(digestion->object, digestion->set, trail)) {
        digest_text(digestion, '=', cJSON_IsObject(value) ? "{}" : "[]");
    } else {
        buf_clear(&digestion->text);
        json_write(value, &digestion->text);
        digest_text(digestion, '=', digestion->text.data);
    }
}

static void digest_below(struct digestion *digestion, const cJSON *set, const cJSON *parent,
                         const struct trail *up)
{
    cJSON *room[ROOM];
    size_t count;
    cJSON **members = json_sorted_members(set, room, ROOM, &count);
    struct fields_level level;
    fields_level_init(&level, set, parent);
    for (size_t i = 0; i < count; i++) {
        const char *member = members[i]->string;
        if (strcmp(member, ".") == 0) {
            digest_text(digestion, '.', parent ? "+" : "-");
        } else if (fields_is_step(member)) {
            struct trail trail = {.member = member, .up = up};
            const cJSON *child = fields_level_resolve(&level, member);
            digest_text(digestion, '/', member);
            if (fields_is_leaf(members[i])) {
                digest_value(digestion, child, &trail);
            } else {
                digest_below(digestion, members[i], child, &trail);
            }
        }
    }
    digest_text(digestion, '^', "");
    fields_level_release(&level);
    if (members != room) {
        free(members);
    }
}

void fields_digest(const cJSON *set, const cJSON *object, struct digest_state *digest)
{
    struct digestion digestion = {.digest = digest, .set = set, .object = object};
    buf_init(&digestion.text, SIZE_MAX / 4);
    digest_below(&digestion, set, object, NULL);
    buf_release(&digestion.text);
}
