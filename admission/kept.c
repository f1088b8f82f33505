#include "admission/kept.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/kube/watch.h"
#include "common/run/log.h"
#include "common/run/metrics.h"

#include <event2/event.h>

#define MANAGER "gitmoor-admission"
#define BODY_MAXIMUM ((size_t)1 << 20)
/* Between two writes of the same object, doubled each time up to the second: somebody fights with
 * us. */
#define FIRST_DELAY_MS 1000
#define LAST_DELAY_MS 30000
#define CALM_MS 60000 /* after which that is forgotten */

static struct metric repairs = {.name = "gitmoor_admission_configuration_writes_total",
                                .help = "Webhook configurations written, by kind: at start, for a "
                                        "new authority, and to put foreign edits back.",
                                .type = METRIC_COUNTER,
                                .label = "kind"};

struct kept {
    const struct kept_what *what;
    struct kube_client *client;
    struct kept_handlers handlers;
    struct kube_store *store; /* of this one object */
    bool known;               /* what is wanted: the next, or if that is NULL that there is none */
    cJSON *wanted;
    bool stood;             /* it was as wanted when we last looked */
    struct kube_call *call; /* a write under way */
    struct event *timer;
    cJSON *replace; /* as server-side apply left it, with what others had added; NULL: it did not */
    int64_t written_at; /* monotonic; 0: never */
    unsigned writes;    /* in a row */
};

const cJSON *kept_live(const struct kept *kept)
{
    return kube_store_get(kept->store, "", kept->what->name);
}

bool kept_is_wanted(const struct kept *kept)
{
    return kept->wanted != NULL;
}

static bool is_content_equal(const struct kept *kept, const cJSON *object)
{
    const char *content = kept->what->content;
    return json_equal(json_get(object, content), json_get(kept->wanted, content));
}

bool kept_stands(const struct kept *kept)
{
    const cJSON *live = kept_live(kept);
    if (!kept->wanted) {
        return kept->known && kube_store_is_synced(kept->store) && !live;
    }
    return live && is_content_equal(kept, live);
}

/* ---- Writing ---- */

/* Writes if it is due: at once, or, when it was written a moment ago, after a growing delay. */
static void reconcile(struct kept *kept)
{
    if (!kept->known || kept->call || kept_stands(kept) || !kube_store_is_synced(kept->store)) {
        return;
    }
    int64_t now = clock_monotonic_ms();
    if (now - kept->written_at > CALM_MS) {
        kept->writes = 0;
    }
    int64_t wait = 0;
    if (kept->written_at && kept->writes > 0) {
        wait = kept->written_at +
               clock_backoff_ms(FIRST_DELAY_MS, kept->writes - 1, LAST_DELAY_MS) - now;
    }
    wait = wait > 0 ? wait : 0;
    struct timeval delay = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    event_add(kept->timer, &delay);
}

static void on_written(const struct kube_response *response, void *context)
{
    struct kept *kept = context;
    bool replaced = kept->replace != NULL;
    kept->call = NULL;
    json_free(kept->replace);
    kept->replace = NULL; /* it may have changed meanwhile */
    kept->writes++;
    if (!response->ok && response->error.code != ERROR_NOT_FOUND) {
        log_error("what admission registers cannot be written", "kind", kept->what->kind, "error",
                  response->error.message);
        reconcile(kept);
        return;
    }
    AUTO_JSON cJSON *answer = NULL;
    if (kept->wanted && response->ok && !replaced &&
        json_parse(response->body, response->size, NULL, &answer, NULL) &&
        !is_content_equal(kept, answer)) {
        kept->replace = answer;
        answer = NULL;
        kept->writes = 0;
    }
    /* The watch tells what stands. If it has done so already, the write was of an older wish. */
    reconcile(kept);
}

static void write_object(struct kept *kept)
{
    AUTO_BUF struct buf path, body;
    buf_init(&path, 512);
    buf_init(&body, BODY_MAXIMUM);
    const struct kept_what *what = kept->what;
    bool replace = kept->replace != NULL;
    buf_append_format(&path, "%s/%s?fieldManager=%s%s", what->path, what->name, MANAGER,
                      replace ? "" : "&force=true");
    if (replace) {
        json_set(kept->replace, what->content, json_copy(json_get(kept->wanted, what->content)));
        json_remove(json_get(kept->replace, "metadata"), "managedFields");
    }
    json_write(replace ? kept->replace : kept->wanted, &body);
    const struct kube_request request = {
        .method = replace ? KUBE_PUT : KUBE_PATCH,
        .path = path.data,
        .content_type = replace ? NULL : KUBE_APPLY_TYPE,
        .body = body.data,
        .body_size = body.size,
    };
    kept->call = kube_client_call(kept->client, &request, on_written, kept);
}

static char *object_path(const struct kept_what *what)
{
    return mem_format("%s/%s", what->path, what->name);
}

static void remove_object(struct kept *kept)
{
    AUTO_FREE char *path = object_path(kept->what);
    const struct kube_request request = {.method = KUBE_DELETE, .path = path};
    kept->call = kube_client_call(kept->client, &request, on_written, kept);
}

static void on_due(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct kept *kept = context;
    if (kept->call || kept_stands(kept)) {
        return;
    }
    kept->written_at = clock_monotonic_ms();
    metric_add(&repairs, kept->what->kind, 1);
    if (kept->wanted) {
        write_object(kept);
    } else {
        remove_object(kept);
    }
}

bool kept_remove(struct kube_client *client, const struct kept_what *what, struct error *error)
{
    AUTO_FREE char *path = object_path(what);
    const struct kube_request request = {.method = KUBE_DELETE, .path = path};
    AUTO_JSON cJSON *answer = NULL;
    return kube_client_call_wait(client, &request, &answer, error) ||
           error->code == ERROR_NOT_FOUND ||
           error_prefix(error, "removing %s %s", what->kind, what->name);
}

/* ---- Watching ---- */

/* Looks at what stands, and does what is to be done about it. */
static void look(struct kept *kept)
{
    kept->handlers.seen(kept, kept->handlers.context);
    bool stands = kept_stands(kept);
    if (kept->stood && !stands) {
        log_warn("what admission registers was changed by somebody else and is put back", "kind",
                 kept->what->kind, "what", kept_live(kept) ? "edited" : "deleted");
    }
    kept->stood = stands;
    kept->handlers.judged(kept->handlers.context);
    reconcile(kept);
}

static void on_changed(const char *namespace_, const char *name, const cJSON *now,
                       const cJSON *before, void *context)
{
    (void)namespace_, (void)name, (void)now, (void)before;
    look(context);
}

static void on_synced(void *context)
{
    look(context);
}

static void on_trouble(const struct error *error, void *context)
{
    const struct kept *kept = context;
    if (error) {
        log_warn("what admission registers cannot be watched", "kind", kept->what->kind, "error",
                 error->message);
    }
}

/* ---- What is wanted ---- */

static void set_wanted(struct kept *kept, cJSON *wanted)
{
    json_free(kept->wanted);
    kept->wanted = wanted;
    kept->known = true;
}

void kept_want(struct kept *kept, cJSON *wanted)
{
    set_wanted(kept, wanted);
    json_free(kept->replace);
    kept->replace = NULL;
    kept->stood = false;
    kept->writes = 0; /* our own change waits for nothing */
    reconcile(kept);
}

void kept_adopt(struct kept *kept, cJSON *wanted)
{
    set_wanted(kept, wanted);
}

/* ---- Life ---- */

struct kept *kept_new(struct event_base *base, struct kube_client *client,
                      const struct kept_what *what, const struct kept_handlers *handlers)
{
    struct kept *kept = NEW(struct kept);
    kept->what = what;
    kept->client = client;
    kept->handlers = *handlers;
    kept->timer = event_new(base, -1, 0, on_due, kept);
    AUTO_FREE char *selector = mem_format("metadata.name=%s", what->name);
    const struct kube_store_options options = {
        .watch = {.path = what->path,
                  .api_version = "admissionregistration.k8s.io/v1",
                  .kind = what->kind,
                  .field_selector = selector},
        .changed = on_changed,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = kept,
    };
    kept->store = kube_store_new(client, &options);
    return kept;
}

void kept_free(struct kept *kept)
{
    if (!kept) {
        return;
    }
    if (kept->call) {
        kube_call_cancel(kept->call);
    }
    kube_store_free(kept->store);
    event_free(kept->timer);
    json_free(kept->wanted);
    json_free(kept->replace);
    free(kept);
}
