#include "differ/permit.h"

#include "common/base/text.h"
#include "common/run/log.h"

bool permit_is_left_out(const struct differ *differ, const struct kube_resource *resource)
{
    return differ->settings->without_secrets && !*resource->group &&
           text_equal(resource->plural, "secrets");
}

static bool check_object(const struct application *application,
                         const struct kube_resource *resource, const char *namespace_,
                         const char *name, struct error *error)
{
    const struct differ *differ = application->differ;
    if (permit_is_left_out(differ, resource)) {
        return error_set(error, ERROR_DENIED,
                         "this installation of Gitmoor keeps away from Secrets: take it out of Git "
                         "and make it by other means, or ask whoever operates Gitmoor to set "
                         "differ.secrets of the chart to true");
    }
    const struct tenancy_object object = {.group = resource->group,
                                          .resource = resource->plural,
                                          .namespace_ = namespace_,
                                          .name = name};
    return tenancy_check_object(tenancy_file_get(differ->tenancy), application->namespace_, &object,
                                error);
}

/* ---- What is asked for ---- */

/* The default service account is the applier's to know. */
static bool check_account(const struct application *application, struct error *error)
{
    const char *account = application->spec.service_account;
    return !account ||
           tenancy_check_account(tenancy_file_get(application->differ->tenancy),
                                 application->namespace_, application->namespace_, account, error);
}

static void judge_objects(struct application *application)
{
    struct error error;
    struct desired_object *object;
    for (size_t i = 0; (object = desired_at(application->desired, i)); i++) {
        object->denied = !check_object(application, &object->resource, object->ref.namespace_,
                                       object->ref.name, &error);
        if (object->denied) {
            AUTO_ARENA struct arena arena;
            arena_init(&arena);
            problems_add(&application->denied, object_ref_describe(&object->ref, &arena),
                         object->file, object->line, "%s", error.message);
        }
    }
}

void permit_judge(struct application *application)
{
    const struct tenancy *tenancy = tenancy_file_get(application->differ->tenancy);
    struct error error;
    problems_clear(&application->denied);
    application->source_denied =
        !tenancy_check_source(tenancy, application->namespace_, application->spec.source_namespace,
                              application->spec.repository, &error);
    if (application->source_denied) {
        problems_add(&application->denied, "", "", 0, "%s", error.message);
    }
    application->frozen = application->source_denied || !check_account(application, &error);
    if (application->frozen && !application->source_denied) {
        problems_add(&application->denied, "", "", 0, "%s", error.message);
    }
    if (application->desired) {
        judge_objects(application);
    }
    if (application->denied.total == 0 && application->outcome == OUTCOME_DENIED) {
        outcome_set(application, OUTCOME_NONE, NULL);
    }
}

/* ---- What would be deleted ---- */

static size_t leave_denied(struct application *application, const struct live_object **objects,
                           size_t count)
{
    size_t kept = 0;
    struct error error;
    for (size_t i = 0; i < count; i++) {
        const struct live_object *live = objects[i];
        if (check_object(application, &live->kind->resource, live->namespace_, live->name,
                         &error)) {
            objects[kept++] = live;
            continue;
        }
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        const struct object_ref ref = {
            .kind = live->kind->resource.kind, .namespace_ = live->namespace_, .name = live->name};
        problems_add(&application->kept, object_ref_describe(&ref, &arena), "", 0,
                     "not in Git any more, but left in place: %s", error.message);
    }
    return kept;
}

void permit_prune(struct application *application, struct prune_list *list)
{
    list->count = leave_denied(application, list->objects, list->count);
    list->kept_count = leave_denied(application, list->kept, list->kept_count);
}

/* ---- The settings ---- */

static void on_changed(void *context)
{
    struct differ *differ = context;
    log_info("tenancy settings read");
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        permit_judge(application);
        application_try_at_once(application);
        application_wake(application);
    }
}

static void on_trouble(const struct error *error, void *context)
{
    (void)context;
    log_error("the tenancy settings are broken: those before stay in force", "error",
              error->message);
}

bool permit_open(struct differ *differ, struct error *error)
{
    const struct tenancy_file_options options = {.base = differ->loop,
                                                 .path = differ->settings->common.tenancy,
                                                 .changed = on_changed,
                                                 .trouble = on_trouble,
                                                 .context = differ};
    return tenancy_file_open(&options, &differ->tenancy, error);
}
