#include "differ/drift.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/fields.h"
#include "common/data/object.h"

/* A fight: more repairs of one object than people make. A burst of ten is none, nor is one each
 * half minute; both writers at full speed make as many in a fifth of a second. */
#define FIGHT_REPAIRS 10
#define FORGET_MS 30000
#define FIGHT_BACKOFF_MS 2000
#define FIGHT_BACKOFF_MAXIMUM_MS 300000
/* It is over when a repair has stood until the next might be made, and so much longer. */
#define FIGHT_CALM_MS 3000
#define FAILURE_BACKOFF_MS 2000
#define FAILURE_BACKOFF_MAXIMUM_MS 60000

bool drift_adopt(struct desired_object *desired, const struct live_object *live)
{
    if (desired->adopt_version == 0) {
        return false;
    }
    if (!live || live->version < desired->adopt_version) {
        return true;
    }
    desired->synced = live->fingerprint;
    desired->adopt_version = 0;
    return false;
}

enum drift_verdict drift_judge(const struct desired_object *desired, const struct live_object *live)
{
    bool known = !digest_is_zero(&desired->synced);
    if (!known) {
        return DRIFT_NEW;
    }
    if (!live || live->deleting || !digest_equal(&live->fingerprint, &desired->synced)) {
        return DRIFT_CHANGED;
    }
    return live->owners ? DRIFT_ADDED : DRIFT_NONE;
}

/* Whether each value that `desired` declares is in `live` just so. Lists must be of one length,
 * item by item: a list that others add to is settled by the server. */
static bool holds(const cJSON *desired, const cJSON *live)
{
    if (!live) {
        return false;
    }
    if (cJSON_IsObject(desired)) {
        if (!cJSON_IsObject(live)) {
            return false;
        }
        for (const cJSON *item = json_first(desired); item; item = item->next) {
            if (!holds(item, json_get(live, item->string))) {
                return false;
            }
        }
        return true;
    }
    if (cJSON_IsArray(desired)) {
        const cJSON *other = cJSON_IsArray(live) ? json_first(live) : NULL;
        const cJSON *item = json_first(desired);
        for (; item && other; item = item->next, other = other->next) {
            if (!holds(item, other)) {
                return false;
            }
        }
        return !item && !other;
    }
    return json_equal(desired, live);
}

/* Whether our entry owns each member that the text declares: a field that somebody changed and put
 * back is equal, and no longer ours. Lists count as a whole here. */
static bool owns(const cJSON *set, const cJSON *desired)
{
    for (const cJSON *item = json_first(desired); item; item = item->next) {
        AUTO_FREE char *member = mem_format("f:%s", item->string);
        const cJSON *child = json_get(set, member);
        if (!child || (cJSON_IsObject(item) && json_first(child) && !owns(child, item))) {
            return false;
        }
    }
    return true;
}

static bool owns_all(const cJSON *set, const cJSON *desired)
{
    for (const cJSON *item = json_first(desired); item; item = item->next) {
        if (text_equal(item->string, "apiVersion") || text_equal(item->string, "kind")) {
            continue; /* identity is nobody's field */
        }
        AUTO_FREE char *member = mem_format("f:%s", item->string);
        const cJSON *child = json_get(set, member);
        if (text_equal(item->string, "metadata")) {
            if (!owns(json_get(child, "f:labels"), json_get(item, "labels")) ||
                !owns(json_get(child, "f:annotations"), json_get(item, "annotations"))) {
                return false;
            }
        } else if (!child || (cJSON_IsObject(item) && json_first(child) && !owns(child, item))) {
            return false;
        }
    }
    return true;
}

static bool stop_at_first(const char *path, void *context)
{
    (void)path;
    *(bool *)context = true;
    return false;
}

bool drift_matches_text(const struct desired_object *desired, const cJSON *live)
{
    const cJSON *owned = object_managed_fields(live);
    AUTO_JSON cJSON *tree = NULL;
    if (!owned || !json_parse(desired->text, desired->size, NULL, &tree, NULL) ||
        !text_equal(json_string(tree, "apiVersion"), json_string(live, "apiVersion")) ||
        !holds(tree, live)) {
        return false;
    }
    /* What we own beyond the text has left Git and is to be pruned from the object. */
    bool differs = false;
    fields_changed(owned, live, tree, stop_at_first, &differs);
    return !differs && owns_all(owned, tree);
}

/* How many repairs are remembered, times FORGET_MS. */
static int64_t level_at(const struct drift_repairs *repairs, int64_t now_ms)
{
    int64_t level = repairs->level - (now_ms - repairs->last);
    return level > 0 ? level : 0;
}

static void begin_to_wait(struct drift_repairs *repairs, int64_t now_ms)
{
    int64_t wait = clock_backoff_ms(FIGHT_BACKOFF_MS, repairs->waits, FIGHT_BACKOFF_MAXIMUM_MS);
    repairs->fighting = true;
    repairs->waits++;
    repairs->not_before = now_ms + wait;
}

int64_t drift_note_repair(struct desired_object *desired, int64_t now_ms)
{
    struct drift_repairs *repairs = &desired->repairs;
    if (now_ms < repairs->not_before) {
        return repairs->not_before - now_ms;
    }
    drift_fight_left(desired, now_ms); /* one that is over is another than the next */
    repairs->level = level_at(repairs, now_ms) + FORGET_MS;
    repairs->last = now_ms;
    if (repairs->fighting || repairs->level > FIGHT_REPAIRS * (int64_t)FORGET_MS) {
        begin_to_wait(repairs, now_ms);
    }
    return 0;
}

int64_t drift_fight_left(struct desired_object *desired, int64_t now_ms)
{
    struct drift_repairs *repairs = &desired->repairs;
    if (!repairs->fighting) {
        return 0;
    }
    if (now_ms < repairs->not_before + FIGHT_CALM_MS) {
        return repairs->not_before + FIGHT_CALM_MS - now_ms;
    }
    repairs->fighting = false;
    repairs->waits = 0;
    repairs->last = now_ms;
    repairs->level = FIGHT_REPAIRS * (int64_t)FORGET_MS / 2; /* the next is noticed the sooner */
    return 0;
}

void drift_note_race(struct desired_object *desired)
{
    struct drift_repairs *repairs = &desired->repairs;
    repairs->level -= repairs->level < FORGET_MS ? repairs->level : FORGET_MS;
}

void drift_note_failure(struct desired_object *desired, int64_t now_ms)
{
    struct drift_repairs *repairs = &desired->repairs;
    drift_note_race(desired); /* it was none, and nobody fights */
    repairs->not_before = now_ms + clock_backoff_ms(FAILURE_BACKOFF_MS, repairs->failures,
                                                    FAILURE_BACKOFF_MAXIMUM_MS);
    repairs->failures++;
}
