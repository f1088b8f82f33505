#include "differ/spec.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

#define HEALTH_TIMEOUT_DEFAULT_MS 300000 /* as the CRD's */
#define HEALTH_TIMEOUT_MINIMUM_MS 1000

void application_spec_release(struct application_spec *spec)
{
    free(spec->source_namespace);
    free(spec->repository);
    free(spec->path);
    free(spec->target_namespace);
    free(spec->service_account);
    json_free(spec->render);
    json_free(spec->substitute);
    json_free(spec->substitute_from);
    free(spec->decryption_secret);
    json_free(spec->depends_on);
    health_rules_free(spec->health_checks);
    free(spec->error);
    free(spec->break_glass.reason);
    free(spec->break_glass.by);
    free(spec->drift_text);
    managers_release(&spec->allowed);
    managers_release(&spec->taken);
    ignore_fields_release(&spec->ignore);
    sync_windows_release(&spec->windows);
    *spec = (struct application_spec){0};
}

/* "a//b/./c/" and "a/b/c" are one directory. */
static char *clean_path(const char *path)
{
    AUTO_BUF struct buf out;
    buf_init(&out, 4096);
    while (path && *path) {
        size_t size = strcspn(path, "/");
        if (size > 0 && !(size == 1 && *path == '.')) {
            if (out.size > 0) {
                buf_append_char(&out, '/');
            }
            buf_append(&out, path, size);
        }
        path += size;
        path += strspn(path, "/");
    }
    return mem_string(out.size > 0 ? out.data : ".");
}

cJSON *application_spec_depends_on(const cJSON *object)
{
    cJSON *keys = json_new_array();
    const char *own = text_or_empty(json_string_path(object, "metadata.namespace"));
    for (const cJSON *item = json_first(json_get_path(object, "spec.dependsOn")); item;
         item = item->next) {
        const char *namespace_ = json_string(item, "namespace");
        AUTO_FREE char *key = mem_format("%s/%s", text_is_empty(namespace_) ? own : namespace_,
                                         text_or_empty(json_string(item, "name")));
        json_append(keys, json_new_string(key));
    }
    return keys;
}

/* The control plane's own. Who wants its objects exactly as in Git does not want them without it.
 */
#define ALWAYS_ALLOWED                                                                             \
    "gitmoor-applier,kube-controller-manager,kube-scheduler,kube-apiserver,kubelet,*cloud-"        \
    "controller-manager"

/* 10, or "25%". */
static void read_prune_limit(const cJSON *limit, struct prune_limit *ret)
{
    const char *text = cJSON_IsString(limit) ? limit->valuestring : NULL;
    size_t digits = text ? strspn(text, "0123456789") : 0;
    ret->value = -1;
    if (text && text_equal(text + digits, "%")) {
        AUTO_FREE char *number = mem_string_n(text, digits);
        ret->is_share = text_parse_int(number, &ret->value);
    } else if (limit && !text) {
        json_to_int(limit, &ret->value);
    }
}

static void add_managers(struct managers *managers, const cJSON *list)
{
    for (const cJSON *item = json_first(list); item; item = item->next) {
        managers_add(managers, cJSON_IsString(item) ? item->valuestring : NULL);
    }
}

static void read_drift(const cJSON *spec, struct application_spec *ret)
{
    const cJSON *drift = json_object(spec, "drift");
    ret->exact = text_equal(json_string(drift, "mode"), "Exact");
    managers_add(&ret->allowed, ALWAYS_ALLOWED);
    add_managers(&ret->allowed, json_array(drift, "allow"));
    add_managers(&ret->taken, json_array(drift, "takeOver"));
    if (drift) {
        AUTO_BUF struct buf text;
        buf_init(&text, json_default_limits.bytes);
        json_write(drift, &text);
        ret->drift_text = buf_detach(&text);
    }
    ignore_fields_read(json_get(spec, "ignore"), &ret->ignore);
}

static void read_health_checks(const cJSON *health, struct application_spec *ret)
{
    struct error error;
    if (!health_rules_read(json_get(health, "checks"), "spec.health.checks", &ret->health_checks,
                           &error)) {
        ret->error = mem_string(error.message);
    }
}

/* In less, nothing gets healthy: every commit would have failed at once, and be rolled back. */
static void read_health_timeout(const cJSON *health, struct application_spec *ret)
{
    const char *text = json_string(health, "timeout");
    ret->health_timeout = HEALTH_TIMEOUT_DEFAULT_MS;
    if (!text || (text_parse_duration(text, &ret->health_timeout) &&
                  ret->health_timeout >= HEALTH_TIMEOUT_MINIMUM_MS)) {
        return;
    }
    ret->health_timeout = HEALTH_TIMEOUT_DEFAULT_MS;
    if (!ret->error) {
        ret->error = mem_format("spec.health.timeout \"%.80s\" is not a duration from 1s on, such "
                                "as 30s or 5m, at most ten years",
                                text);
    }
}

/* It would be rendered otherwise than it says. */
static void read_damage(const cJSON *object, struct application_spec *ret)
{
    const char *lost = json_string(object, OBJECT_DAMAGED);
    if (lost) {
        free(ret->error);
        ret->error = mem_format("the Application cannot be read as it stands: %s", lost);
    }
}

static void read_break_glass(const cJSON *spec, struct break_glass *ret)
{
    const cJSON *glass = json_object(spec, "breakGlass");
    *ret = (struct break_glass){0};
    if (clock_parse_rfc3339(json_string(glass, "until"), &ret->until)) {
        ret->reason = mem_string(text_or_empty(json_string(glass, "reason")));
        ret->by = mem_string(json_string(glass, "by"));
    }
}

void application_spec_read(const cJSON *object, struct application_spec *ret)
{
    const cJSON *spec = json_object(object, "spec");
    const cJSON *health = json_object(spec, "health");
    const char *target = json_string(spec, "targetNamespace");
    char *source = object_source_word(object);
    const char *source_namespace = json_string_path(spec, "source.namespace");
    if (text_is_empty(source_namespace)) {
        source_namespace = text_or_empty(json_string_path(object, "metadata.namespace"));
    }
    *ret = (struct application_spec){
        .source_namespace = mem_string(source_namespace),
        .repository = source ? source : mem_string(""),
        .path = clean_path(json_string_path(spec, "source.path")),
        .target_namespace = mem_string(target),
        .service_account = mem_string(json_string(spec, "serviceAccountName")),
        .render = json_copy(json_object(spec, "render")),
        .substitute = json_copy(json_object(spec, "substitute")),
        .substitute_from = json_copy(json_array(spec, "substituteFrom")),
        .decryption_secret = mem_string(json_string_path(spec, "decryption.secretRef.name")),
        .depends_on = application_spec_depends_on(object),
        .preflight = !text_equal(json_string(spec, "preflight"), "Off"),
        .prune = json_bool(spec, "prune", true),
        .self_heal = json_bool(spec, "selfHeal", true),
        .rollback_on_failure = json_bool(json_object(spec, "rollback"), "onFailure", false),
        .force = json_bool(spec, "force", false),
        .adopts_if_approved = text_equal(json_string(spec, "adopt"), "IfApproved"),
        .deletes = text_equal(json_string(spec, "deletionPolicy"), "Delete"),
        .suspend = json_bool(spec, "suspend", false),
        .health_wait = json_bool(health, "wait", true),
    };
    read_health_checks(health, ret);
    read_health_timeout(health, ret);
    read_damage(object, ret);
    read_break_glass(spec, &ret->break_glass);
    read_prune_limit(json_get(spec, "pruneLimit"), &ret->prune_limit);
    read_drift(spec, ret);
    sync_windows_read(json_array(spec, "syncWindows"), &ret->windows);
}
