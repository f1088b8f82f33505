#include "differ/break_glass.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/status.h"
#include "common/run/log.h"
#include "differ/application.h"
#include "differ/live.h"

#define REASONS_SHOWN 5
#define WAKE_MAXIMUM_MS ((int64_t)3600 * 1000) /* the wall clock may be set meanwhile */

/* ---- Whether it holds ---- */

bool break_glass_holds(const struct application *application)
{
    return application->spec.break_glass.until > clock_wall_ms();
}

/* ---- Telling of it ---- */

/* "until 2026-11-24T12:00:00Z, by anna: INC-1" */
static void describe(const struct break_glass *glass, struct buf *out)
{
    char until[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(glass->until, until);
    buf_append_format(out, "until %s", until);
    if (glass->by) {
        buf_append_format(out, ", by %s", glass->by);
    }
    buf_append_format(out, ": %s", glass->reason);
}

/* What the status says is what has been told, by whichever replica. */
static int64_t told_until(const struct application *application)
{
    int64_t until = 0;
    clock_parse_rfc3339(json_string_path(packed_tree(application->status), "breakGlass.until"),
                        &until);
    return until;
}

static void tell_begin(struct application *application)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    buf_append_string(&text, "repairs are suspended ");
    describe(&application->spec.break_glass, &text);
    log_warn("break-glass: repairs are suspended", "application", application->key, "what",
             text.data);
    status_event(application, "Warning", "BreakGlass", "BreakGlass", text.data);
}

/* Objects on which the reason still stands: it is a person's, who may still be at it, and so is not
 * taken away; but with it the group may edit them without another one. */
static void describe_reasons_left(const struct application *application, struct buf *out)
{
    const struct desired_set *desired = application->desired;
    size_t left = 0;
    for (size_t i = 0; desired && i < desired->count; i++) {
        const struct desired_object *object = &desired->objects[i];
        const struct live_object *live = live_get(application->differ->live, object->key);
        if (!live || !live->reason) {
            continue;
        }
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        if (left < REASONS_SHOWN) {
            buf_append_format(out, "%s%s", left ? ", " : ". The reason still stands on ",
                              object_ref_describe(&object->ref, &arena));
        }
        left++;
    }
    if (left > REASONS_SHOWN) {
        buf_append_format(out, " and %zu more", left - REASONS_SHOWN);
    }
    if (left > 0) {
        buf_append_string(out, ": remove the annotation " GITMOOR_BREAK_GLASS_ANNOTATION
                               ", or the group may edit without another one");
    }
}

static void tell_end(struct application *application)
{
    AUTO_BUF struct buf note;
    buf_init(&note, 4096);
    buf_append_string(&note, application->spec.break_glass.until
                                 ? "repairs go on: the time of break-glass is over"
                                 : "repairs go on: break-glass was ended");
    describe_reasons_left(application, &note);
    log_info("break-glass is over", "application", application->key, "what", note.data);
    status_event(application, "Normal", "BreakGlassEnded", "BreakGlass", note.data);
}

void break_glass_step(struct application *application)
{
    int64_t until = application->spec.break_glass.until;
    int64_t left = until - clock_wall_ms();
    int64_t now = left > 0 ? until : 0;
    if (!application->break_glass_known) {
        application->break_glass_known = true;
        application->break_glass_told = told_until(application);
    }
    /* RFC 3339 without a fraction: the status tells it to the second. */
    if (now / 1000 != application->break_glass_told / 1000) {
        application->break_glass_told = now;
        if (now) {
            tell_begin(application);
        } else {
            tell_end(application);
        }
    }
    if (left > 0) {
        application_wake_after(application, left < WAKE_MAXIMUM_MS ? left : WAKE_MAXIMUM_MS);
    }
}

void break_glass_set_status(const struct application *application, cJSON *status)
{
    const struct break_glass *glass = &application->spec.break_glass;
    cJSON *conditions = json_array(status, "conditions");
    if (!break_glass_holds(application)) {
        status_remove_condition(conditions, "BreakGlass");
        json_remove(status, "breakGlass");
        return;
    }
    char until[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(glass->until, until);
    cJSON *told = json_new_object();
    json_add_string(told, "until", until);
    json_add_string(told, "reason", glass->reason);
    json_add_string(told, "by", glass->by);
    json_set(status, "breakGlass", told);
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    buf_append_string(&text, "repairs are suspended ");
    describe(glass, &text);
    status_set_condition(conditions, "BreakGlass", "True", "RepairsSuspended", text.data,
                         application->generation);
}
