/* Events (events.k8s.io/v1): created once, then counted. See status.h. */
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/internal.h"
#include "common/kube/status.h"

#include <event2/event.h>
#include <string.h>

#define SERIES_MS 600000        /* the same within this time is the same Event, counted */
#define UPDATE_MS 60000         /* and its count is written at most so often */
#define NOTE_MAXIMUM 1024       /* events.k8s.io/v1 */
#define NAME_PREFIX_MAXIMUM 200 /* of 253, with a suffix of ours */
#define SERIES_MAXIMUM 2000     /* kept in memory */
#define IN_FLIGHT_MAXIMUM 64    /* an Event is not worth more */

/* One Event that exists on the server. */
struct series {
    char *path;
    int64_t count;
    int64_t seen; /* monotonic ms */
    int64_t written;
    int64_t seen_wall;
    bool dirty; /* counted since it was written */
};

struct kube_event_recorder {
    struct kube_client *client;
    char *controller;
    char *instance;
    struct event *timer;
    struct map series; /* by object, type, reason and note */
    uint64_t created;  /* makes names unique */
    unsigned in_flight;
    bool closed; /* freed, but requests of it are still on their way */
};

/* A request on its way. */
struct writing {
    struct kube_event_recorder *recorder;
    char *key;
};

static void series_free(void *value)
{
    struct series *series = value;
    free(series->path);
    free(series);
}

static void recorder_destroy(struct kube_event_recorder *recorder)
{
    map_release(&recorder->series, series_free);
    free(recorder->controller);
    free(recorder->instance);
    free(recorder);
}

static void on_abandoned(void *context)
{
    struct writing *writing = context;
    struct kube_event_recorder *recorder = writing->recorder;
    free(writing->key);
    free(writing);
    if (--recorder->in_flight == 0 && recorder->closed) {
        recorder_destroy(recorder);
    }
}

static void on_written(const struct kube_response *response, void *context)
{
    struct writing *writing = context;
    if (!response->ok) {
        /* Not created, or expired meanwhile: the next one starts anew. */
        struct series *series = map_remove(&writing->recorder->series, writing->key);
        if (series) {
            series_free(series);
        }
    }
    on_abandoned(writing);
}

static void write_event(struct kube_event_recorder *recorder, const char *key,
                        enum kube_method method, const char *path, const cJSON *body)
{
    AUTO_BUF struct buf text = {0};
    if (recorder->in_flight >= IN_FLIGHT_MAXIMUM) {
        return;
    }
    buf_init(&text, 65536);
    json_write(body, &text);
    struct kube_request request = {
        .method = method,
        .path = path,
        .content_type = method == KUBE_PATCH ? KUBE_MERGE_TYPE : NULL,
        .body = text.data,
        .body_size = text.size,
    };
    struct writing *writing = NEW(struct writing);
    writing->recorder = recorder;
    writing->key = mem_string(key);
    recorder->in_flight++;
    kube_call_on_abandon(kube_client_call(recorder->client, &request, on_written, writing),
                         on_abandoned);
}

/* ---- A series ---- */

static void write_series(struct kube_event_recorder *recorder, const char *key,
                         struct series *series)
{
    char time[CLOCK_RFC3339_SIZE];
    AUTO_JSON cJSON *patch = json_new_object();
    cJSON *counted = json_add_object(patch, "series");
    clock_format_micro(series->seen_wall, time);
    json_add_int(counted, "count", series->count);
    json_add_string(counted, "lastObservedTime", time);
    series->dirty = false;
    series->written = clock_monotonic_ms();
    write_event(recorder, key, KUBE_PATCH, series->path, patch);
}

/* Writes the counts that are due and forgets what is over. */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct kube_event_recorder *recorder = context;
    int64_t now = clock_monotonic_ms();
    struct map kept;
    (void)fd;
    (void)what;
    map_init(&kept);
    for (struct map_slot *slot = map_first(&recorder->series); slot;
         slot = map_next(&recorder->series, slot)) {
        struct series *series = slot->value;
        if (series->dirty && now - series->written >= UPDATE_MS) {
            write_series(recorder, slot->key, series);
        }
        if (!series->dirty && now - series->seen >= SERIES_MS) {
            series_free(series);
        } else {
            map_set(&kept, slot->key, series);
        }
    }
    map_release(&recorder->series, NULL);
    recorder->series = kept;
}

static void count(struct kube_event_recorder *recorder, const char *key, struct series *series)
{
    series->count++;
    series->dirty = true;
    series->seen = clock_monotonic_ms();
    series->seen_wall = clock_wall_ms();
    if (series->seen - series->written >= UPDATE_MS) {
        write_series(recorder, key, series);
    }
}

/* ---- A new one ---- */

static cJSON *make_event(struct kube_event_recorder *recorder, const cJSON *object,
                         const char *name, const char *namespace_)
{
    static const char *const copied[] = {"name", "namespace", "uid"};
    const cJSON *metadata = json_object(object, "metadata");
    char time[CLOCK_RFC3339_SIZE];
    cJSON *event = json_new_object();
    clock_format_micro(clock_wall_ms(), time);
    json_add_string(event, "apiVersion", "events.k8s.io/v1");
    json_add_string(event, "kind", "Event");
    cJSON *own = json_add_object(event, "metadata");
    json_add_string(own, "name", name);
    json_add_string(own, "namespace", namespace_);
    json_add_string(event, "eventTime", time);
    json_add_string(event, "reportingController", recorder->controller);
    json_add_string(event, "reportingInstance", recorder->instance);
    cJSON *regarding = json_add_object(event, "regarding");
    json_add_string(regarding, "apiVersion", json_string(object, "apiVersion"));
    json_add_string(regarding, "kind", json_string(object, "kind"));
    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
        json_add_string(regarding, copied[i], json_string(metadata, copied[i]));
    }
    return event;
}

static void create(struct kube_event_recorder *recorder, const char *key, const cJSON *event,
                   const char *name, const char *namespace_)
{
    AUTO_BUF struct buf path = {0};
    buf_init(&path, 4096);
    buf_append_string(&path, "/apis/events.k8s.io/v1/namespaces/");
    buf_append_percent(&path, namespace_);
    buf_append_string(&path, "/events");
    struct series *series = NEW(struct series);
    AUTO_FREE char *collection = mem_string(path.data);
    buf_append_char(&path, '/');
    buf_append_percent(&path, name);
    series->path = mem_string(path.data);
    series->count = 1;
    series->seen = series->written = clock_monotonic_ms();
    if (recorder->series.count >= SERIES_MAXIMUM) {
        map_release(&recorder->series, series_free);
    }
    map_set(&recorder->series, key, series);
    write_event(recorder, key, KUBE_POST, collection, event);
}

void kube_event_record(struct kube_event_recorder *recorder, const cJSON *object, const char *type,
                       const char *reason, const char *action, const char *note)
{
    const char *whole = text_or_empty(note);
    AUTO_FREE char *cut = mem_string_n(whole, kube_text_cut(whole, NOTE_MAXIMUM));
    const char *namespace_ = json_string_path(object, "metadata.namespace");
    const char *name = text_or_empty(json_string_path(object, "metadata.name"));
    const char *uid = text_or_empty(json_string_path(object, "metadata.uid"));
    AUTO_FREE char *key =
        mem_format("%s/%s/%s\n%s\n%s\n%s\n%s", text_or_empty(json_string(object, "kind")),
                   text_or_empty(namespace_), name, uid, type, reason, cut);
    struct series *series = map_get(&recorder->series, key);
    if (series && clock_monotonic_ms() - series->seen < SERIES_MS) {
        count(recorder, key, series);
        return;
    }
    if (series) {
        map_remove(&recorder->series, key);
        series_free(series);
    }
    /* Events of cluster-scoped objects live in "default", as those of the control plane do. */
    const char *home = text_is_empty(namespace_) ? "default" : namespace_;
    AUTO_FREE char *own =
        mem_format("%.*s.%llx%llx", NAME_PREFIX_MAXIMUM, name, (long long)clock_wall_ms(),
                   (unsigned long long)recorder->created++);
    AUTO_JSON cJSON *event = make_event(recorder, object, own, home);
    json_add_string(event, "type", type);
    json_add_string(event, "reason", reason);
    json_add_string(event, "action", action);
    json_add_string(event, "note", cut);
    create(recorder, key, event, own, home);
}

struct kube_event_recorder *kube_event_recorder_new(struct kube_client *client,
                                                    const char *controller, const char *instance)
{
    struct kube_event_recorder *recorder = NEW(struct kube_event_recorder);
    struct timeval minute = {UPDATE_MS / 1000, 0};
    recorder->client = client;
    recorder->controller = mem_string(controller);
    recorder->instance = mem_string(instance);
    map_init(&recorder->series);
    recorder->timer = event_new(client->base, -1, EV_PERSIST, on_timer, recorder);
    event_add(recorder->timer, &minute);
    return recorder;
}

void kube_event_recorder_free(struct kube_event_recorder *recorder)
{
    if (!recorder) {
        return;
    }
    event_free(recorder->timer);
    recorder->closed = true;
    if (recorder->in_flight == 0) {
        recorder_destroy(recorder);
    }
}
