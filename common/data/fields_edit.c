/* Field sets that become others: split in two, merged. */
#include "common/data/fields_internal.h"

#include "common/base/text.h"

#define WIDE 24 /* members of a level from which on it is indexed */

struct splitting {
    bool (*stays)(const char *const *trail, unsigned depth, const cJSON *node, void *context);
    void *context;
    const char *trail[FIELDS_DEPTH_MAXIMUM];
};

static void put(cJSON *parent, const char *name, cJSON *child)
{
    if (json_first(child)) {
        json_add(parent, name, child);
    } else {
        json_free(child);
    }
}

/* Whether a set says nothing but that the container itself is owned. */
static bool is_mark_only(const cJSON *set)
{
    const cJSON *first = json_first(set);
    return first && !first->next && text_equal(first->string, ".");
}

static void split_below(struct splitting *splitting, unsigned depth, const cJSON *set,
                        const cJSON *parent, cJSON *staying, cJSON *going);

static void split_member(struct splitting *splitting, unsigned depth, const cJSON *member,
                         const cJSON *node, cJSON *staying, cJSON *going)
{
    splitting->trail[depth] = member->string;
    if (splitting->stays(splitting->trail, depth + 1, node, splitting->context)) {
        json_add(staying, member->string, json_copy(member));
    } else if (fields_is_leaf(member)) {
        json_add(going, member->string, json_copy(member));
    } else {
        cJSON *stay = json_new_object(), *go = json_new_object();
        split_below(splitting, depth + 1, member, node, stay, go);
        put(staying, member->string, stay);
        put(going, member->string, go);
    }
}

static void split_below(struct splitting *splitting, unsigned depth, const cJSON *set,
                        const cJSON *parent, cJSON *staying, cJSON *going)
{
    struct fields_level level;
    fields_level_init(&level, set, parent);
    for (const cJSON *member = json_first(set); member; member = member->next) {
        if (fields_is_step(member->string) && depth + 1 < FIELDS_DEPTH_MAXIMUM) {
            split_member(splitting, depth, member, fields_level_resolve(&level, member->string),
                         staying, going);
        } else {
            json_add(going, member->string, json_copy(member));
        }
    }
    fields_level_release(&level);
    if (json_first(staying) && is_mark_only(going)) {
        json_remove(going, ".");
        json_add(staying, ".", json_new_object());
    }
}

void fields_split(const cJSON *set, const cJSON *object,
                  bool (*stays)(const char *const *trail, unsigned depth, const cJSON *node,
                                void *context),
                  void *context, cJSON *ret_staying, cJSON *ret_going)
{
    struct splitting splitting = {.stays = stays, .context = context};
    split_below(&splitting, 0, set, object, ret_staying, ret_going);
}

void fields_merge(cJSON *into, const cJSON *from)
{
    struct map index;
    map_init(&index);
    bool wide = json_size(from) > WIDE;
    for (cJSON *child = wide ? json_first(into) : NULL; child; child = child->next) {
        map_set(&index, child->string, child);
    }
    for (const cJSON *child = json_first(from); child; child = child->next) {
        cJSON *known = wide ? map_get(&index, child->string) : json_get(into, child->string);
        if (known) {
            fields_merge(known, child);
        } else {
            json_add(into, child->string, json_copy(child));
        }
    }
    map_release(&index, NULL);
}
