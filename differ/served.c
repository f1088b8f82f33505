#include "differ/served.h"

#include "common/base/memory.h"
#include "common/run/log.h"

struct served {
    struct served_options options;
    struct kube_watch *watch;
    struct event *settled;
};

static void on_settled(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    const struct served *served = context;
    served->options.changed(served->options.context);
}

static void settle(struct served *served)
{
    int64_t wait = served->options.settle_ms;
    const struct timeval after = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    event_add(served->settled, &after);
}

/* What the first list tells is what discovery has told at the start. */
static void on_event(const struct kube_event *event, void *context)
{
    if (!event->listed) {
        settle(context);
    }
}

/* A later list comes after a gap, in which anything may have happened. */
static void on_synced(uint64_t epoch, void *context)
{
    if (epoch > 1) {
        settle(context);
    }
}

static void on_trouble(const struct error *error, void *context)
{
    const struct served *served = context;
    if (error) {
        log_warn("it is not noticed when the cluster serves other kinds", "kind",
                 served->options.resource.kind, "error", error->message);
    }
}

struct served *served_new(const struct served_options *options)
{
    struct served *served = NEW(struct served);
    served->options = *options;
    served->settled = evtimer_new(options->loop, on_settled, served);
    const struct kube_watch_options watch = {
        .metadata_only = true,
        .event = on_event,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = served,
    };
    served->watch = kube_watch_resource(options->client, &options->resource, &watch);
    return served;
}

void served_free(struct served *served)
{
    if (served) {
        kube_watch_free(served->watch);
        event_free(served->settled);
        free(served);
    }
}
