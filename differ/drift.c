#include "differ/drift.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/fields.h"
#include "common/data/object.h"

/* A fight: more repairs of one object in the window than people make. */
#define FIGHT_WINDOW_MS 10000
#define FIGHT_REPAIRS 10
#define FIGHT_BACKOFF_MS 5000
#define FIGHT_BACKOFF_MAXIMUM_MS 300000
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

int64_t drift_note_repair(struct desired_object *desired, int64_t now_ms)
{
    if (now_ms - desired->heal_window_start > FIGHT_WINDOW_MS &&
        now_ms >= desired->heal_not_before + FIGHT_WINDOW_MS) {
        desired->heal_window_start = now_ms;
        desired->heals = 0;
    }
    if (now_ms < desired->heal_not_before) {
        return desired->heal_not_before - now_ms;
    }
    desired->heals++;
    if (desired->heals > FIGHT_REPAIRS) {
        unsigned beyond = desired->heals - FIGHT_REPAIRS;
        int64_t wait = beyond > 6 ? FIGHT_BACKOFF_MAXIMUM_MS : FIGHT_BACKOFF_MS << (beyond - 1);
        desired->heal_not_before =
            now_ms + (wait < FIGHT_BACKOFF_MAXIMUM_MS ? wait : FIGHT_BACKOFF_MAXIMUM_MS);
    }
    return 0;
}

void drift_note_race(struct desired_object *desired)
{
    desired->heals -= desired->heals > 0;
}

void drift_note_failure(struct desired_object *desired, int64_t now_ms)
{
    unsigned before = desired->heal_failures < 5 ? desired->heal_failures : 5;
    int64_t wait = FAILURE_BACKOFF_MS << before;
    desired->heal_failures++;
    desired->heals -= desired->heals > 0; /* it was none, and nobody fights */
    desired->heal_not_before =
        now_ms + (wait < FAILURE_BACKOFF_MAXIMUM_MS ? wait : FAILURE_BACKOFF_MAXIMUM_MS);
}
