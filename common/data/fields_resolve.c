/* One step of a field set, resolved in an object. */
#include "common/data/fields_internal.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

/* A level with fewer members than this is searched member by member. */
#define INDEX_MINIMUM 24
/* Of one key or value in a set: etcd stores 1.5 MiB an object. */
#define KEY_MAXIMUM ((size_t)2 << 20)

bool fields_is_step(const char *member)
{
    return member && member[0] != '\0' && member[1] == ':' && strchr("fkvi", member[0]);
}

bool fields_is_leaf(const cJSON *node)
{
    for (const cJSON *child = json_first(node); child; child = child->next) {
        if (fields_is_step(child->string)) {
            return false;
        }
    }
    return true;
}

bool fields_is_owned(const cJSON *node)
{
    return fields_is_leaf(node) || json_get(node, ".");
}

static bool item_has_keys(const cJSON *item, const cJSON *keys)
{
    for (const cJSON *key = json_first(keys); key; key = key->next) {
        if (!json_equal(json_get(item, key->string), key)) {
            return false;
        }
    }
    return true;
}

static cJSON *find_item(const cJSON *list, const cJSON *wanted, bool by_keys)
{
    if (by_keys && !cJSON_IsObject(wanted)) {
        return NULL;
    }
    for (cJSON *item = json_first(list); item; item = item->next) {
        if (by_keys ? cJSON_IsObject(item) && item_has_keys(item, wanted)
                    : json_equal(item, wanted)) {
            return item;
        }
    }
    return NULL;
}

static cJSON *item_at(const cJSON *list, const char *text)
{
    int64_t index;
    if (!text_parse_int(text, &index) || index < 0) {
        return NULL;
    }
    cJSON *item = json_first(list);
    for (; item && index > 0; index--) {
        item = item->next;
    }
    return item;
}

cJSON *fields_resolve(const cJSON *parent, const char *member)
{
    if (!fields_is_step(member)) {
        return NULL;
    }
    const char *rest = member + 2;
    if (*member == 'f') {
        return json_get(parent, rest);
    }
    if (!cJSON_IsArray(parent)) {
        return NULL;
    }
    if (*member == 'i') {
        return item_at(parent, rest);
    }
    AUTO_JSON cJSON *wanted = NULL;
    if (!json_parse(rest, strlen(rest), NULL, &wanted, NULL)) {
        return NULL;
    }
    return find_item(parent, wanted, *member == 'k');
}

/* ---- Levels with many members ---- */

static void append_key_names(const cJSON *keys, struct buf *out)
{
    for (const cJSON *key = json_first(keys); key; key = key->next) {
        buf_append_string(out, key->string);
        buf_append_char(out, ',');
    }
}

/* The item's keys as "k:" writes them: {"name":…,"protocol":…} in the order of `keys`, or nothing
 * if the item lacks one. */
static bool append_item_keys(const cJSON *item, const cJSON *keys, struct buf *out)
{
    for (const cJSON *key = json_first(keys); key; key = key->next) {
        const cJSON *value = json_get(item, key->string);
        if (!value || !json_write(value, out) || !buf_append_char(out, ',')) {
            return false;
        }
    }
    return true;
}

static void add_child(struct fields_level *level, const char *key, const cJSON *child)
{
    if (!map_has(&level->children, key)) { /* the first wins, as it does without an index */
        map_set(&level->children, key, (void *)child);
    }
}

static void index_map(struct fields_level *level)
{
    for (const cJSON *child = json_first(level->parent); child; child = child->next) {
        add_child(level, text_or_empty(child->string), child);
    }
}

static void index_list(struct fields_level *level, const char *first)
{
    AUTO_JSON cJSON *keys = NULL;
    bool by_keys = *first == 'k';
    if (by_keys) {
        if (!json_parse(first + 2, strlen(first + 2), NULL, &keys, NULL) || !cJSON_IsObject(keys)) {
            return;
        }
        AUTO_BUF struct buf names;
        buf_init(&names, KEY_MAXIMUM);
        append_key_names(keys, &names);
        level->key_names = buf_detach(&names);
    }
    AUTO_BUF struct buf key;
    buf_init(&key, KEY_MAXIMUM);
    for (const cJSON *item = json_first(level->parent); item; item = item->next) {
        buf_clear(&key);
        if (by_keys ? append_item_keys(item, keys, &key) : json_write(item, &key)) {
            add_child(level, key.data, item);
        }
    }
    level->indexed = true;
}

void fields_level_init(struct fields_level *level, const cJSON *set, const cJSON *parent)
{
    *level = (struct fields_level){.parent = parent};
    map_init(&level->children);
    if (!json_first(parent) || json_size(set) < INDEX_MINIMUM) {
        return;
    }
    if (cJSON_IsObject(parent)) {
        index_map(level);
        level->indexed = true;
        return;
    }
    for (const cJSON *member = json_first(set); member; member = member->next) {
        if (fields_is_step(member->string) && strchr("kv", *member->string)) {
            index_list(level, member->string);
            return;
        }
    }
}

void fields_level_release(struct fields_level *level)
{
    map_release(&level->children, NULL);
    free(level->key_names);
}

static cJSON *find_indexed_item(const struct fields_level *level, const char *member)
{
    bool by_keys = *member == 'k';
    AUTO_JSON cJSON *wanted = NULL;
    if (!json_parse(member + 2, strlen(member + 2), NULL, &wanted, NULL)) {
        return NULL;
    }
    AUTO_BUF struct buf names;
    buf_init(&names, KEY_MAXIMUM);
    append_key_names(by_keys ? wanted : NULL, &names);
    if (by_keys != (level->key_names != NULL) ||
        (by_keys && !text_equal(names.data, level->key_names))) {
        return find_item(level->parent, wanted, by_keys); /* not indexed by these */
    }
    AUTO_BUF struct buf key;
    buf_init(&key, KEY_MAXIMUM);
    if (by_keys ? append_item_keys(wanted, wanted, &key) : json_write(wanted, &key)) {
        return map_get(&level->children, key.data);
    }
    return NULL;
}

cJSON *fields_level_resolve(const struct fields_level *level, const char *member)
{
    if (!level->indexed || !fields_is_step(member) || *member == 'i') {
        return fields_resolve(level->parent, member);
    }
    if (cJSON_IsObject(level->parent)) {
        return *member == 'f' ? map_get(&level->children, member + 2) : NULL;
    }
    return *member == 'f' ? NULL : find_indexed_item(level, member);
}
