#include "differ/depends.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/repository.h"

#include <string.h>

/* Longer chains than that are not followed to their end: what goes round deep below is found by
 * those that are in the round. */
#define DEPTH_MAXIMUM 64

/* The caller frees. */
static cJSON *find_object(const struct differ *differ, const char *key)
{
    const char *slash = strchr(key, '/');
    AUTO_FREE char *namespace_ = mem_string_n(key, (size_t)(slash - key));
    return kube_store_copy(differ->application_objects, namespace_, slash + 1);
}

/* ---- Rounds ---- */

struct search {
    const struct differ *differ;
    const char *goal;
    const char *path[DEPTH_MAXIMUM]; /* the keys from the goal on */
    size_t depth;
    struct map seen; /* keys whose followers have been looked at */
    cJSON *keys;     /* owns the strings of `path` */
};

static bool leads_to_goal(struct search *search, const cJSON *keys)
{
    for (const cJSON *item = json_first(keys); item; item = item->next) {
        const char *key = item->valuestring;
        if (text_equal(key, search->goal)) {
            return true;
        }
        if (map_has(&search->seen, key) || search->depth == DEPTH_MAXIMUM) {
            continue;
        }
        map_set(&search->seen, key, (void *)"");
        search->path[search->depth++] = key;
        AUTO_JSON cJSON *object = find_object(search->differ, key);
        cJSON *next = json_append(search->keys, application_spec_depends_on(object));
        if (leads_to_goal(search, next)) {
            return true;
        }
        search->depth--;
    }
    return false;
}

bool depends_go_round(const struct application *application, struct buf *path)
{
    if (!json_first(application->spec.depends_on)) {
        return false;
    }
    AUTO_JSON cJSON *keys = json_new_array();
    struct search search = {.differ = application->differ, .goal = application->key, .keys = keys};
    map_init(&search.seen);
    bool round = leads_to_goal(&search, application->spec.depends_on);
    map_release(&search.seen, NULL);
    buf_append_string(path, application->key);
    for (size_t i = 0; i < search.depth; i++) {
        buf_append_format(path, " → %s", search.path[i]);
    }
    buf_append_format(path, " → %s", application->key);
    return round;
}

/* ---- Readiness ---- */

/* Of one of another namespace nothing is told but whether it is ready: whoever may write this
 * Application need not be somebody who may read that one. */
static bool is_ready_by_status(const cJSON *object, bool is_own, struct buf *reason)
{
    const cJSON *status = json_object(object, "status");
    const cJSON *ready = status_condition(json_array(status, "conditions"), "Ready");
    int64_t generation = json_int(json_object(object, "metadata"), "generation", 0);
    if (text_equal(json_string(ready, "status"), "True") &&
        json_int(status, "observedGeneration", 0) == generation) {
        return true;
    }
    const char *message = is_own ? json_string(ready, "message") : NULL;
    buf_append_format(reason, "it is not ready%s%s", message ? ": " : "", text_or_empty(message));
    return false;
}

static bool is_ready(const struct application *application, const char *key, struct buf *reason)
{
    const struct differ *differ = application->differ;
    const struct application *local = map_get(&differ->applications, key);
    AUTO_JSON cJSON *object = find_object(differ, key);
    if (!object) {
        buf_append_string(reason, "it does not exist: create it, or correct spec.dependsOn");
        return false;
    }
    /* What we know ourselves is newer than what its status says. */
    if (local && !local->spec.suspend) {
        if (!application_is_ready(local)) {
            buf_append_string(reason, "it is not ready");
            return false;
        }
        return true;
    }
    bool is_own =
        text_equal(json_string_path(object, "metadata.namespace"), application->namespace_);
    return is_ready_by_status(object, is_own, reason);
}

bool depends_are_ready(const struct application *application, struct buf *reason)
{
    for (const cJSON *item = json_first(application->spec.depends_on); item; item = item->next) {
        buf_append_format(
            reason, "waiting for Application %s, on which this one depends: ", item->valuestring);
        if (!is_ready(application, item->valuestring, reason)) {
            return false;
        }
        buf_consume(reason, reason->size);
    }
    return true;
}

void depends_wake(struct differ *differ, const char *key)
{
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        for (const cJSON *item = json_first(application->spec.depends_on); item;
             item = item->next) {
            if (text_equal(item->valuestring, key)) {
                application_wake(application);
            }
        }
    }
}
