#include "cli/follow.h"

#include "cli/table.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/kube/watch.h"

#include <event2/event.h>

#define MESSAGE_MAXIMUM 65536

struct walk {
    struct follow *follow;
    enum progress progress;
};

void follow_say(struct follow *follow, const char *message)
{
    if (!*message || text_equal(message, follow->said)) {
        return;
    }
    free(follow->said);
    follow->said = mem_string(message);
    fputs(follow->prefix, stderr);
    table_print_text(message, 2, stderr);
    fputc('\n', stderr);
}

static void on_event(const struct kube_event *event, void *context)
{
    struct walk *walk = context;
    struct follow *follow = walk->follow;
    AUTO_BUF struct buf message;
    buf_init(&message, MESSAGE_MAXIMUM);
    if (event->type == KUBE_EVENT_DELETED) {
        buf_append_string(&message, "it was deleted");
        walk->progress = PROGRESS_FAILED;
    } else {
        walk->progress = follow->judge(event->object, &message, follow->context);
    }
    follow_say(follow, message.data);
    if (walk->progress != PROGRESS_WORKING) {
        event_base_loopbreak(follow->cluster->loop);
    }
}

static void on_trouble(const struct error *error, void *context)
{
    struct walk *walk = context;
    follow_say(walk->follow, error ? error->message : "watching again");
}

static void on_timeout(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(context);
}

enum progress follow_until(struct follow *follow, int64_t until)
{
    struct walk walk = {follow, PROGRESS_WORKING};
    AUTO_BUF struct buf path;
    AUTO_FREE char *selector = mem_format("metadata.name=%s", follow->name);
    buf_init(&path, 4096);
    kube_resource_path(follow->kind, follow->namespace_, NULL, &path);
    const struct kube_watch_options options = {
        .path = path.data,
        .api_version = GITMOOR_API_VERSION,
        .kind = follow->kind->kind,
        .field_selector = selector,
        .event = on_event,
        .trouble = on_trouble,
        .context = &walk,
    };
    int64_t left = until - clock_monotonic_ms();
    if (left <= 0) {
        return PROGRESS_WORKING;
    }
    struct event_base *loop = follow->cluster->loop;
    struct kube_watch *watch = kube_watch_new(follow->cluster->client, &options);
    struct event *timer = evtimer_new(loop, on_timeout, loop);
    const struct timeval timeout = {left / 1000, left % 1000 * 1000};
    evtimer_add(timer, &timeout);
    event_base_dispatch(loop);
    event_free(timer);
    kube_watch_free(watch);
    return walk.progress;
}
