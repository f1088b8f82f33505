#include "cli/predict.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/fields.h"
#include "common/data/object.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAXIMUM 100 /* objects nest less deeply */

/* ---- Quantities ---- */

static bool quantity_scale(const char *suffix, long double *ret)
{
    static const struct {
        const char *suffix;
        long double scale;
    } scales[] = {
        {"", 1},         {"n", 1e-9L},    {"u", 1e-6L},    {"m", 1e-3L},
        {"k", 1e3L},     {"M", 1e6L},     {"G", 1e9L},     {"T", 1e12L},
        {"P", 1e15L},    {"E", 1e18L},    {"Ki", 0x1p10L}, {"Mi", 0x1p20L},
        {"Gi", 0x1p30L}, {"Ti", 0x1p40L}, {"Pi", 0x1p50L}, {"Ei", 0x1p60L},
    };
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        if (strcmp(suffix, scales[i].suffix) == 0) {
            *ret = scales[i].scale;
            return true;
        }
    }
    return false;
}

static bool quantity_parse(const char *text, long double *ret)
{
    char *end;
    long double scale;
    size_t size = strspn(text, "+-0123456789.");
    if (size == 0 || size > 40) {
        return false;
    }
    /* An exponent, but not the suffix E. */
    bool exponent = strchr("eE", text[size]) && text[size] && strpbrk(text + size, "0123456789");
    AUTO_FREE char *number = mem_string_n(text, exponent ? strlen(text) : size);
    long double value = strtold(number, &end);
    if (*end || !quantity_scale(exponent ? "" : text + size, &scale)) {
        return false;
    }
    *ret = value * scale;
    return true;
}

bool predict_is_same_quantity(const char *left, const char *right)
{
    long double a, b;
    if (!quantity_parse(left, &a) || !quantity_parse(right, &b)) {
        return false;
    }
    long double distance = a > b ? a - b : b - a, size = a > 0 ? a : -a;
    return distance <= size * 1e-15L;
}

/* Members whose values are quantities, all or below. In ConfigMaps "1" and "1000m" differ. */
static bool holds_quantities(const char *member)
{
    static const char *const names[] = {
        "limits", "requests", "capacity", "hard",     "sizeLimit",      "divisor",
        "min",    "max",      "default",  "overhead", "defaultRequest", "averageValue",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (text_equal(member, names[i])) {
            return true;
        }
    }
    return false;
}

/* The text of a string or number, or NULL. */
static const char *scalar_text(const cJSON *node)
{
    return cJSON_IsString(node) ? node->valuestring : json_number_text(node);
}

static bool is_same(const cJSON *live, const cJSON *desired, bool quantities)
{
    if (json_equal(live, desired)) {
        return true;
    }
    const char *left = scalar_text(live), *right = scalar_text(desired);
    return quantities && left && right && predict_is_same_quantity(left, right);
}

/* ---- What has left Git ---- */

static bool is_leaf(const cJSON *set)
{
    for (const cJSON *item = json_first(set); item; item = item->next) {
        if (fields_is_step(item->string)) {
            return false;
        }
    }
    return true;
}

/* The sets of all others at one place of the tree; a NULL ends them. */
struct others {
    const cJSON *sets[64];
};

static struct others others_below(const struct others *others, const char *step)
{
    struct others below = {{NULL}};
    size_t count = 0;
    for (size_t i = 0; others->sets[i]; i++) {
        const cJSON *set = json_get(others->sets[i], step);
        if (set) {
            below.sets[count++] = set;
        }
    }
    return below;
}

static void detach(cJSON *parent, cJSON *child)
{
    json_free(cJSON_DetachItemViaPointer(parent, child));
}

/* Takes out what we own, nobody else does and Git does not declare. Items of lists whose members
 * have all gone go too. */
static void drop_undeclared(cJSON *live, const cJSON *ours, const cJSON *desired,
                            const struct others *others, unsigned depth)
{
    for (const cJSON *item = json_first(ours); item && depth < DEPTH_MAXIMUM; item = item->next) {
        cJSON *value = fields_is_step(item->string) ? fields_resolve(live, item->string) : NULL;
        if (!value) {
            continue;
        }
        const cJSON *declared = fields_resolve(desired, item->string);
        struct others theirs = others_below(others, item->string);
        if (!declared && !theirs.sets[0]) {
            detach(live, value);
        } else if (!is_leaf(item)) {
            drop_undeclared(value, item, declared, &theirs, depth + 1);
        }
    }
}

/* ---- What Git declares ---- */

static void overlay(cJSON *live, const cJSON *desired, const cJSON *known, bool quantities,
                    unsigned depth);

/* Takes `value`. */
static void replace(cJSON *parent, cJSON *old, cJSON *value)
{
    if (cJSON_IsObject(parent)) {
        AUTO_FREE char *name = mem_string(old->string);
        json_set(parent, name, value);
    } else {
        cJSON_ReplaceItemViaPointer(parent, old, value);
    }
}

static void overlay_value(cJSON *parent, cJSON *old, const cJSON *value, const cJSON *known,
                          bool quantities, unsigned depth)
{
    bool both = (cJSON_IsObject(old) && cJSON_IsObject(value)) ||
                (cJSON_IsArray(old) && cJSON_IsArray(value));
    if (both && depth < DEPTH_MAXIMUM && !(known && is_leaf(known) && cJSON_IsArray(old))) {
        overlay(old, value, known, quantities, depth + 1);
    } else if (!is_same(old, value, quantities)) {
        replace(parent, old, json_copy(value));
    }
}

/* The item of `list` that has the keys of `item`: those that a step of managedFields tells, or its
 * name. */
static cJSON *find_item(const cJSON *list, const cJSON *item, const cJSON *desired,
                        const cJSON *known, const cJSON **ret_step)
{
    for (const cJSON *step = json_first(known); step; step = step->next) {
        if (fields_is_step(step->string) && fields_resolve(desired, step->string) == item) {
            *ret_step = step;
            return fields_resolve(list, step->string);
        }
    }
    const char *name = json_string(item, "name");
    for (cJSON *other = json_first(list); name && other; other = other->next) {
        if (text_equal(json_string(other, "name"), name)) {
            return other;
        }
    }
    return NULL;
}

static bool are_named(const cJSON *list)
{
    for (const cJSON *item = json_first(list); item; item = item->next) {
        if (!json_string(item, "name")) {
            return false;
        }
    }
    return true;
}

static void overlay_list(cJSON *live, const cJSON *desired, const cJSON *known, bool quantities,
                         unsigned depth)
{
    bool keyed = (known && !is_leaf(known)) || (are_named(live) && are_named(desired));
    if (!keyed) {
        if (json_equal(live, desired)) {
            return;
        }
        while (json_first(live)) {
            detach(live, json_first(live));
        }
    }
    for (const cJSON *item = json_first(desired); item; item = item->next) {
        const cJSON *step = NULL;
        cJSON *old = keyed ? find_item(live, item, desired, known, &step) : NULL;
        if (old) {
            overlay_value(live, old, item, step, quantities, depth);
        } else {
            json_append(live, json_copy(item));
        }
    }
}

static void overlay(cJSON *live, const cJSON *desired, const cJSON *known, bool quantities,
                    unsigned depth)
{
    if (cJSON_IsArray(desired)) {
        overlay_list(live, desired, known, quantities, depth);
        return;
    }
    for (const cJSON *item = json_first(desired); item; item = item->next) {
        cJSON *old = json_get(live, item->string);
        AUTO_FREE char *step = mem_format("f:%s", item->string);
        if (cJSON_IsNull(item)) {
            json_remove(live, item->string);
        } else if (old) {
            overlay_value(live, old, item, json_get(known, step),
                          quantities || holds_quantities(item->string), depth);
        } else {
            json_add(live, item->string, json_copy(item));
        }
    }
}

/* ---- The whole ---- */

static const cJSON *read_owners(const cJSON *owners, struct others *ret_others)
{
    const cJSON *ours = NULL;
    size_t count = 0;
    *ret_others = (struct others){{NULL}};
    for (const cJSON *entry = json_first(owners); entry; entry = entry->next) {
        const cJSON *set = json_object(entry, "fieldsV1");
        if (text_equal(json_string(entry, "manager"), GITMOOR_FIELD_MANAGER) &&
            text_equal(json_string(entry, "operation"), "Apply") &&
            text_is_empty(json_string(entry, "subresource"))) {
            ours = set;
        } else if (set && count + 1 < sizeof ret_others->sets / sizeof ret_others->sets[0]) {
            ret_others->sets[count++] = set;
        }
    }
    return ours;
}

cJSON *predict_apply(const cJSON *live, const cJSON *desired, const cJSON *owners)
{
    cJSON *result = json_copy(live);
    struct others others;
    const cJSON *ours =
        read_owners(owners ? owners : json_get_path(live, "metadata.managedFields"), &others);
    drop_undeclared(result, ours, desired, &others, 0);
    overlay(result, desired, ours, false, 0);
    return result;
}
