/* Are the application's objects healthy, and for how long have we waited? The verdicts come with
 * the watch events (live.c); here they are only added up. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/application.h"

/* Failed outweighs in progress, which outweighs current. */
static unsigned weight(enum health_status health)
{
    switch (health) {
    case HEALTH_CURRENT:
        return 0;
    case HEALTH_FAILED:
        return 2;
    default:
        return 1;
    }
}

enum health_status health_of_object(const struct desired_object *object,
                                    const struct live_object *live)
{
    if (!live) { /* one that cannot be watched: that it was applied must do */
        return object->resource.watchable ? HEALTH_NOT_FOUND : HEALTH_CURRENT;
    }
    /* What was applied has not been seen by the watch yet. */
    return object->adopt_version != 0 ? HEALTH_IN_PROGRESS : live->health;
}

static void add_up(struct application *application)
{
    const struct desired_object *worst = NULL;
    const struct live_object *worst_live = NULL;
    enum health_status health = HEALTH_CURRENT;
    application->counts.unhealthy = 0;
    for (size_t i = 0; i < application->desired->count; i++) {
        const struct desired_object *object = &application->desired->objects[i];
        const struct live_object *live = live_get(application->differ->live, object->key);
        enum health_status one = health_of_object(object, live);
        if (one == HEALTH_CURRENT || object->wave > application->wave) {
            continue;
        }
        application->counts.unhealthy++;
        if (!worst || weight(one) > weight(health)) {
            worst = object;
            worst_live = live;
            health = one;
        }
    }
    application->health = weight(health) == 1 ? HEALTH_IN_PROGRESS : health;
    free(application->health_message);
    application->health_message = NULL;
    if (worst) {
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        const char *why = worst_live ? worst_live->health_message : "it does not exist";
        application->health_message =
            mem_format("%s: %s%s%s", object_ref_describe(&worst->ref, &arena),
                       health_status_name(health), why ? ": " : "", text_or_empty(why));
        if (application->counts.unhealthy > 1) {
            char *longer = mem_format("%s; and %zu more", application->health_message,
                                      application->counts.unhealthy - 1);
            free(application->health_message);
            application->health_message = longer;
        }
    }
}

void health_step(struct application *application)
{
    bool in_force = application->outcome == OUTCOME_APPLIED ||
                    (application->outcome == OUTCOME_WINDOW && application->desired);
    bool is_applied = in_force && application->settled;
    if (!is_applied && application->outcome != OUTCOME_WAVE) {
        application->unhealthy_since = 0;
        return;
    }
    add_up(application);
    int64_t now = clock_monotonic_ms();
    if (application->health == HEALTH_CURRENT) {
        application->unhealthy_since = 0;
        application->health_timed_out = false;
        return;
    }
    if (application->unhealthy_since == 0) {
        application->unhealthy_since = now;
    }
    int64_t left = application->unhealthy_since + application->spec.health_timeout - now;
    if (left > 0) {
        application->health_timed_out = false;
        application_wake_after(application, left);
    } else if (!application->health_timed_out) {
        application->health_timed_out = true;
        status_event(application, "Warning", "HealthCheckFailed", "Wait",
                     application->health_message);
    }
}
