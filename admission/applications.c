#include "admission/applications.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/watch.h"
#include "common/run/log.h"
#include "common/run/metrics.h"

static struct metric known = {.name = "gitmoor_admission_applications",
                              .help = "Applications that admission knows.",
                              .type = METRIC_GAUGE};

struct applications {
    struct application_set set;
    struct kube_watch *watch;
    struct applications_handlers handlers;
    bool told; /* that it is synced */
};

static void tell_list(const struct applications *applications)
{
    if (applications->told) {
        applications->handlers.listed(applications->handlers.context);
    }
}

static void on_deleted(struct applications *applications, const cJSON *object)
{
    application_set_remove(&applications->set,
                           text_or_empty(json_string_path(object, "metadata.namespace")),
                           text_or_empty(json_string_path(object, "metadata.name")));
    tell_list(applications);
}

static void on_written(struct applications *applications, const struct kube_event *event)
{
    struct application *application;
    struct error error;
    if (!application_from_json(event->object, &application, &error)) {
        log_error("an Application cannot be read", "error", error.message);
        return;
    }
    application->epoch = event->epoch;
    const struct application *before = application_set_find(&applications->set, application->label);
    bool is_news = !before || (before->protection == PROTECTION_ENFORCE) !=
                                  (application->protection == PROTECTION_ENFORCE);
    application_set_put(&applications->set, application);
    if (is_news) {
        tell_list(applications);
    }
}

static void on_event(const struct kube_event *event, void *context)
{
    struct applications *applications = context;
    if (event->type == KUBE_EVENT_DELETED) {
        on_deleted(applications, event->object);
    } else {
        on_written(applications, event);
    }
    metric_set(&known, NULL, (double)applications->set.by_label.count);
}

static void on_synced(uint64_t epoch, void *context)
{
    struct applications *applications = context;
    application_set_sweep(&applications->set, epoch);
    applications->set.complete = true;
    metric_set(&known, NULL, (double)applications->set.by_label.count);
    if (!applications->told) {
        applications->told = true;
        applications->handlers.synced(applications->handlers.context);
    }
    tell_list(applications);
}

static void on_trouble(const struct error *error, void *context)
{
    struct applications *applications = context;
    applications->set.complete = !error && applications->told;
    if (error) {
        log_warn("Applications cannot be watched; what is known of them stays in force", "error",
                 error->message);
    } else {
        log_info("Applications are watched again");
    }
}

struct applications *applications_new(struct kube_client *client,
                                      const struct applications_handlers *handlers)
{
    struct applications *applications = NEW(struct applications);
    application_set_init(&applications->set);
    applications->handlers = *handlers;
    struct kube_watch_options options = {
        .path = "/apis/" GITMOOR_API_VERSION "/applications",
        .api_version = GITMOOR_API_VERSION,
        .kind = "Application",
        .page_size = 100, /* a page is parsed at once; statuses may be long */
        .event = on_event,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = applications,
    };
    applications->watch = kube_watch_new(client, &options);
    return applications;
}

void applications_free(struct applications *applications)
{
    if (!applications) {
        return;
    }
    kube_watch_free(applications->watch);
    application_set_release(&applications->set);
    free(applications);
}

const struct application_set *applications_set(const struct applications *applications)
{
    return &applications->set;
}
