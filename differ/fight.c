#include "differ/fight.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/drift.h"
#include "differ/drift_log.h"

static struct metric fights = {
    .name = "gitmoor_differ_fights_total",
    .help = "Fights over an object that another writer changes as often as it is repaired.",
    .type = METRIC_COUNTER,
};

/* "Deployment shop/web: .spec.replicas is changed … by field manager x", as the log of drift has
 * it. */
static void describe(const struct application *application, const struct desired_object *object,
                     struct buf *out)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    const cJSON *entry = drift_log_find(application->drift_log, &object->ref);
    const char *manager = json_string(entry, "manager");
    const cJSON *field = json_first(json_array(entry, "fields"));
    bool deleted = text_equal(json_string(entry, "change"), "Deleted");
    buf_append_format(out, "%s", object_ref_describe(&object->ref, &arena));
    if (cJSON_IsString(field) && !deleted) {
        buf_append_format(out, ": %s", field->valuestring);
    }
    buf_append_format(out, " is %s again and again", deleted ? "deleted" : "changed");
    if (manager && !deleted) {
        buf_append_format(out, " by field manager %s", manager);
    }
    buf_append_string(out, ": repairs are slowed down");
}

static void tell(struct application *application, const char *type, const char *reason,
                 const char *text)
{
    log_warn("a fight", "application", application->key, "what", text);
    status_event(application, type, reason, "Heal", text);
}

void fight_begin(struct application *application, const struct desired_object *object)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 8192);
    describe(application, object, &text);
    metric_add(&fights, NULL, 1);
    tell(application, "Warning", "Fight", text.data);
}

static void end(struct application *application, struct desired_object *object)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_FREE char *text = mem_format("%s stays as Git declares it: repairs are made at once again",
                                      object_ref_describe(&object->ref, &arena));
    tell(application, "Normal", "FightEnded", text);
}

void fight_look(struct application *application)
{
    int64_t now = clock_monotonic_ms();
    AUTO_BUF struct buf text;
    buf_init(&text, 8192);
    application->fights = 0;
    for (size_t i = 0; i < application->desired->count; i++) {
        struct desired_object *object = &application->desired->objects[i];
        if (!object->repairs.fighting) {
            continue;
        }
        int64_t left = drift_fight_left(object, now);
        if (left == 0) {
            end(application, object);
            continue;
        }
        application_wake_after(application, left);
        if (application->fights++ == 0) {
            describe(application, object, &text);
        }
    }
    if (application->fights > 1) {
        buf_append_format(&text, "; and %zu more", application->fights - 1);
    }
    free(application->fight);
    application->fight = application->fights > 0 ? mem_string(text.data) : NULL;
}
