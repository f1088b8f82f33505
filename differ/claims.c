#include "differ/claims.h"

#include "common/base/text.h"
#include "differ/whole.h"

/* The application that the live object names, if it still declares it; else the one that came
 * first; else this one. */
static struct application *holder_of(struct application *application, const char *key)
{
    struct differ *differ = application->differ;
    const struct live_object *live = live_get(differ->live, key);
    if (live && text_equal(live->group->label, application->label)) {
        return application;
    }
    if (live && !digest_is_zero(&live->fingerprint)) {
        struct application *named = map_get(&differ->by_label, live->group->label);
        if (named && desired_declares(named->desired, key)) {
            return named;
        }
    }
    struct application *first = map_get(&differ->claims, key);
    return first ? first : application;
}

/* The application of another replica that has the object. Taking it from there would end in two
 * replicas that pull at it: it is left until that application is gone, or has deleted it. */
static const char *other_holder(const struct differ *differ, const char *key)
{
    const struct live_object *live = live_get(differ->live, key);
    return live && !digest_is_zero(&live->fingerprint)
               ? map_get(&differ->elsewhere, live->group->label)
               : NULL;
}

/* Who may turn out to hold the object, or not to, once it has been rendered; or NULL. */
static const struct application *unknown_holder(const struct application *application,
                                                const struct application *holder, const char *key)
{
    const struct differ *differ = application->differ;
    const struct live_object *live = live_get(differ->live, key);
    const struct application *named = live && !digest_is_zero(&live->fingerprint)
                                          ? map_get(&differ->by_label, live->group->label)
                                          : NULL;
    return whole_lacks(application, holder)           ? holder
           : named && whole_lacks(application, named) ? named
                                                      : NULL;
}

const struct application *claims_take(struct application *application, struct problems *problems)
{
    const struct application *awaited = NULL;
    const struct desired_object *object;
    for (size_t i = 0; (object = desired_at(application->desired, i)); i++) {
        struct application *holder = holder_of(application, object->key);
        const struct application *unknown = unknown_holder(application, holder, object->key);
        if (unknown) {
            awaited = awaited ? awaited : unknown;
            continue;
        }
        if (map_get(&application->differ->claims, object->key) != holder) {
            map_set(&application->differ->claims, object->key, holder);
        }
        const char *other = other_holder(application->differ, object->key);
        if (holder != application || other) {
            AUTO_ARENA struct arena arena;
            arena_init(&arena);
            problems_add(
                problems, object_ref_describe(&object->ref, &arena), object->file, object->line,
                other
                    ? "it belongs to application %s, whose repository is another: remove it there "
                      "first; it is deleted, and then made anew for this application"
                    : "application %s declares it too: remove it from one of the two",
                other ? other : holder->key);
        }
    }
    return awaited;
}

static void wake_the_waiting(struct differ *differ)
{
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        if (application->conflicted) {
            application->retry_at = 0;
            application_wake(application);
        }
    }
}

void claims_release(struct application *application, const struct desired_set *kept)
{
    struct map *claims = &application->differ->claims;
    bool released = false;
    const struct desired_set *desired = application->desired;
    const struct desired_object *object;
    for (size_t i = 0; desired && (object = desired_at(desired, i)); i++) {
        if (map_get(claims, object->key) == application && !desired_declares(kept, object->key)) {
            map_remove(claims, object->key);
            released = true;
        }
    }
    if (released) {
        wake_the_waiting(application->differ);
    }
}

bool claims_is_declared(const struct differ *differ, const char *key)
{
    if (map_has(&differ->claims, key)) {
        return true;
    }
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        const struct application *application = slot->value;
        const struct waiting *waiting = application->waiting;
        if (desired_declares(application->desired, key) ||
            (waiting && desired_declares(waiting->desired, key))) {
            return true;
        }
    }
    return false;
}
