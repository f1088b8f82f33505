#include "differ/hook_record.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"

static struct metric hooks_total = {
    .name = "gitmoor_hooks_total",
    .help = "Hooks that have ended, by result: succeeded or failed.",
    .type = METRIC_COUNTER,
    .label = "result",
};

/* ---- The attempt ---- */

/* Hooks belong to the newest revision: an earlier one that was put back has no key. */
bool hook_record_applies(const struct application *application)
{
    const struct desired_set *desired = application->desired;
    return desired && desired->render_key && desired->hook_count > 0 && !application->rollback;
}

/* Where plain manifests go is not in their key. */
static char *attempt_key(const struct application *application)
{
    return mem_format("%s/%s", application->desired->render_key,
                      text_or_empty(application->spec.target_namespace));
}

/* Somebody wants what failed for a hook to be tried again. */
static bool is_retried(const struct application *application)
{
    const cJSON *record = application->hooks;
    return hooks_failure(application) &&
           !text_equal(application->reconcile_requested, json_string(record, "request"));
}

bool hook_record_is_current(const struct application *application)
{
    const cJSON *record = application->hooks;
    if (!record || json_bool(record, "ended", false) || is_retried(application)) {
        return false;
    }
    char content[DIGEST_HEX_SIZE];
    digest_to_hex(&application->desired->content, content);
    AUTO_FREE char *key = attempt_key(application);
    return text_equal(json_string(record, "renderKey"), key) ||
           text_equal(json_string(record, "content"), content);
}

/* Those of other tools at moments that Gitmoor does not have. */
static void note_left_out(const struct application *application, cJSON *record)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    cJSON *names = json_new_array();
    for (size_t i = 0; i < application->desired->hook_count; i++) {
        const struct desired_hook *hook = &application->desired->hooks[i];
        if (hook_never_runs(&hook->spec)) {
            json_append(names, json_new_string(object_ref_describe(&hook->object.ref, &arena)));
        }
    }
    if (json_first(names)) {
        json_add(record, "leftOut", names);
    } else {
        json_free(names);
    }
}

void hook_record_begin(struct application *application)
{
    char content[DIGEST_HEX_SIZE];
    digest_to_hex(&application->desired->content, content);
    AUTO_FREE char *key = attempt_key(application);
    AUTO_FREE char *run = mem_format("%llx-%.8s", (unsigned long long)clock_wall_ms(), content);
    bool first =
        text_is_empty(json_string(packed_tree(application->status), "lastAppliedRevision"));
    application->begun = true; /* whatever the sync windows say from now on */
    json_free(application->hooks);
    cJSON *record = application->hooks = json_new_object();
    json_add_string(record, "revision", application->revision);
    json_add_string(record, "renderKey", key);
    json_add_string(record, "content", content);
    json_add_string(record, "run", run);
    json_add_bool(record, "first", first);
    json_add_string(record, "request", application->reconcile_requested);
    json_add_string(record, "result", RUNNING);
    json_add_array(record, "runs");
    note_left_out(application, record);
}

void hooks_end_attempt(struct application *application)
{
    if (application->hooks) {
        json_set(application->hooks, "ended", json_new_bool(true));
    }
}

/* ---- One hook ---- */

char *hook_record_run(const struct application *application, enum hook_moment moment)
{
    return mem_format("%s.%s", text_or_empty(json_string(application->hooks, "run")),
                      hook_moment_name(moment));
}

bool hook_record_is_due(const struct application *application, const struct desired_hook *hook,
                        enum hook_moment moment)
{
    bool first = json_bool(application->hooks, "first", false);
    return hook->spec.moments[moment] & (first ? HOOK_FIRST : HOOK_LATER);
}

cJSON *hook_record_find(const struct application *application, const struct desired_hook *hook,
                        enum hook_moment moment)
{
    const struct object_ref *ref = &hook->object.ref;
    for (cJSON *item = json_first(json_array(application->hooks, "runs")); item;
         item = item->next) {
        if (text_equal(json_string(item, "moment"), hook_moment_name(moment)) &&
            text_equal(json_string(item, "kind"), ref->kind) &&
            text_equal(json_string(item, "name"), ref->name) &&
            text_equal(text_or_empty(json_string(item, "namespace")), ref->namespace_) &&
            text_equal(text_or_empty(json_string(item, "group")), ref->group)) {
            return item;
        }
    }
    return NULL;
}

cJSON *hook_record_add(struct application *application, const struct desired_hook *hook,
                       enum hook_moment moment)
{
    const struct object_ref *ref = &hook->object.ref;
    char now[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(clock_wall_ms(), now);
    cJSON *item = json_append(json_array(application->hooks, "runs"), json_new_object());
    json_add_string(item, "moment", hook_moment_name(moment));
    json_add_string(item, "group", ref->group);
    json_add_string(item, "kind", ref->kind);
    json_add_string(item, "namespace", ref->namespace_);
    json_add_string(item, "name", ref->name);
    json_add_string(item, "result", RUNNING);
    json_add_string(item, "startedAt", now);
    return item;
}

bool hook_record_succeeded(const cJSON *item)
{
    return text_equal(json_string(item, "result"), SUCCEEDED);
}

bool hook_record_failed(const cJSON *item)
{
    return text_equal(json_string(item, "result"), FAILED);
}

bool hook_record_ended(const cJSON *item)
{
    return hook_record_succeeded(item) || hook_record_failed(item);
}

/* "before hook Job shop/migrate". */
char *hook_record_describe(const struct desired_hook *hook, enum hook_moment moment)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    return mem_format("%s hook %s", hook_moment_name(moment),
                      object_ref_describe(&hook->object.ref, &arena));
}

void hook_record_end(struct application *application, const struct desired_hook *hook,
                     enum hook_moment moment, cJSON *item, bool ok, const char *message)
{
    char now[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(clock_wall_ms(), now);
    json_set(item, "result", json_new_string(ok ? SUCCEEDED : FAILED));
    json_set(item, "finishedAt", json_new_string(now));
    json_remove(item, "message");
    json_add_string(item, "message", text_is_empty(message) ? NULL : message);
    metric_add(&hooks_total, ok ? "succeeded" : "failed", 1);
    AUTO_FREE char *what = hook_record_describe(hook, moment);
    AUTO_FREE char *note = mem_format("%s of %s %s%s%s", what, application->revision,
                                      ok ? "has succeeded" : "has failed",
                                      text_is_empty(message) ? "" : ": ", text_or_empty(message));
    log_info("hook has ended", "application", application->key, "hook", note);
    status_event(application, ok ? "Normal" : "Warning", ok ? "HookSucceeded" : "HookFailed",
                 "Hook", note);
}

/* ---- What others ask ---- */

const char *hooks_failure(const struct application *application)
{
    const cJSON *record = application->hooks;
    bool failed =
        json_bool(record, "failedHook", false) && text_equal(json_string(record, "result"), FAILED);
    return failed ? text_or_empty(json_string(record, "message")) : NULL;
}

void hooks_set_status(const struct application *application, cJSON *status)
{
    if (application->hooks) {
        json_set(status, "hooks", json_copy(application->hooks));
    } else {
        json_remove(status, "hooks");
    }
}
