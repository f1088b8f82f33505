#include "admission/registration.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/watch.h"
#include "common/run/log.h"
#include "common/run/metrics.h"

#include <event2/event.h>
#include <string.h>

#define MANAGER "gitmoor-admission"
#define BODY_MAXIMUM ((size_t)1 << 20)
#define FIRST_DELAY_MS                                                                             \
    1000                    /* between two writes of the same configuration, doubled each time … \
                             */
#define LAST_DELAY_MS 30000 /* … up to this: somebody fights with us */
#define CALM_MS 60000       /* after which it is forgotten */

static struct metric repairs = {.name = "gitmoor_admission_configuration_writes_total",
                                .help = "Webhook configurations written, by kind: at start, for a "
                                        "new authority, and to put foreign edits back.",
                                .type = METRIC_COUNTER,
                                .label = "kind"};

/* One of the two configurations. */
struct configuration {
    struct registration *registration;
    enum webhooks_kind kind;
    struct kube_store *store; /* of this one object */
    cJSON *wanted;            /* NULL until there is a bundle */
    bool stood;               /* it was as wanted when we last looked */
    struct kube_call *call;   /* a write under way */
    struct event *timer;
    bool replace; /* server-side apply left what others had added: replace the list as a whole */
    int64_t written_at; /* monotonic; 0: never */
    int64_t delay_ms;
};

struct registration {
    struct kube_client *client;
    struct webhooks_options options;
    struct registration_handlers handlers;
    char *bundle;
    bool standing; /* told so for this bundle */
    struct configuration configurations[WEBHOOKS_KINDS];
};

static const cJSON *live(const struct configuration *configuration)
{
    return kube_store_get(configuration->store, "", WEBHOOKS_NAME);
}

static bool is_standing(const struct configuration *configuration)
{
    return configuration->wanted && live(configuration) &&
           json_equal(json_get(live(configuration), "webhooks"),
                      json_get(configuration->wanted, "webhooks"));
}

static void check_standing(struct registration *registration)
{
    for (unsigned i = 0; i < WEBHOOKS_KINDS; i++) {
        if (!is_standing(&registration->configurations[i])) {
            return;
        }
    }
    if (!registration->standing) {
        registration->standing = true;
        log_info("the webhook configurations stand", "name", WEBHOOKS_NAME);
        registration->handlers.standing(registration->bundle, registration->handlers.context);
    }
}

/* ---- Writing ---- */

static void schedule(struct configuration *configuration, int64_t delay_ms)
{
    struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
    event_add(configuration->timer, &delay);
}

/* Writes if it is due: at once, or, when it was written a moment ago, after a growing delay. */
static void reconcile(struct configuration *configuration)
{
    if (!configuration->wanted || configuration->call || is_standing(configuration) ||
        !kube_store_is_synced(configuration->store)) {
        return;
    }
    int64_t now = clock_monotonic_ms();
    if (now - configuration->written_at > CALM_MS) {
        configuration->delay_ms = 0;
    }
    int64_t due = configuration->written_at + configuration->delay_ms;
    schedule(configuration, configuration->written_at && due > now ? due - now : 0);
}

static void on_written(const struct kube_response *response, void *context)
{
    struct configuration *configuration = context;
    configuration->call = NULL;
    configuration->delay_ms =
        configuration->delay_ms ? configuration->delay_ms * 2 : FIRST_DELAY_MS;
    if (configuration->delay_ms > LAST_DELAY_MS) {
        configuration->delay_ms = LAST_DELAY_MS;
    }
    const char *kind = webhooks_kind_name(configuration->kind);
    if (!response->ok) {
        log_error("the webhook configuration cannot be written", "kind", kind, "error",
                  response->error.message);
        configuration->replace = false; /* it may have been deleted meanwhile */
        reconcile(configuration);
        return;
    }
    AUTO_JSON cJSON *answer = NULL;
    if (json_parse(response->body, response->size, NULL, &answer, NULL)) {
        configuration->replace =
            !json_equal(json_get(answer, "webhooks"), json_get(configuration->wanted, "webhooks"));
        if (configuration->replace) {
            configuration->delay_ms = 0;
        }
    }
    /* The watch tells what stands. If it has done so already, the write was of an older wish. */
    reconcile(configuration);
}

static void write_configuration(struct configuration *configuration)
{
    struct registration *registration = configuration->registration;
    AUTO_BUF struct buf path, body;
    buf_init(&path, 512);
    buf_init(&body, BODY_MAXIMUM);
    buf_append_format(&path, "%s/%s?fieldManager=%s%s",
                      webhooks_collection_path(configuration->kind), WEBHOOKS_NAME, MANAGER,
                      configuration->replace ? "" : "&force=true");
    if (configuration->replace) {
        AUTO_JSON cJSON *patch = json_new_object();
        json_add(patch, "webhooks", json_copy(json_get(configuration->wanted, "webhooks")));
        json_write(patch, &body);
    } else {
        json_write(configuration->wanted, &body);
    }
    struct kube_request request = {
        .method = KUBE_PATCH,
        .path = path.data,
        .content_type = configuration->replace ? KUBE_MERGE_TYPE : KUBE_APPLY_TYPE,
        .body = body.data,
        .body_size = body.size,
    };
    configuration->written_at = clock_monotonic_ms();
    metric_add(&repairs, webhooks_kind_name(configuration->kind), 1);
    configuration->call =
        kube_client_call(registration->client, &request, on_written, configuration);
}

static void on_due(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct configuration *configuration = context;
    if (!configuration->call && !is_standing(configuration)) {
        write_configuration(configuration);
    }
}

/* ---- Watching ---- */

/* Looks at what stands, and does what is to be done about it. */
static void look(struct configuration *configuration)
{
    bool stands = is_standing(configuration);
    if (configuration->stood && !stands) {
        log_warn("the webhook configuration was changed by somebody else and is put back", "kind",
                 webhooks_kind_name(configuration->kind), "what",
                 live(configuration) ? "edited" : "deleted");
    }
    configuration->stood = stands;
    check_standing(configuration->registration);
    reconcile(configuration);
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
    const struct configuration *configuration = context;
    if (error) {
        log_warn("the webhook configuration cannot be watched", "kind",
                 webhooks_kind_name(configuration->kind), "error", error->message);
    }
}

static void open_configuration(struct registration *registration, enum webhooks_kind kind,
                               struct event_base *base)
{
    struct configuration *configuration = &registration->configurations[kind];
    configuration->registration = registration;
    configuration->kind = kind;
    configuration->timer = event_new(base, -1, 0, on_due, configuration);
    struct kube_store_options options = {
        .watch = {.path = webhooks_collection_path(kind),
                  .api_version = "admissionregistration.k8s.io/v1",
                  .kind = webhooks_kind_name(kind),
                  .field_selector = "metadata.name=" WEBHOOKS_NAME},
        .changed = on_changed,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = configuration,
    };
    configuration->store = kube_store_new(registration->client, &options);
}

/* ---- Life ---- */

struct registration *registration_new(struct event_base *base, struct kube_client *client,
                                      const struct webhooks_options *options,
                                      const struct registration_handlers *handlers)
{
    struct registration *registration = NEW(struct registration);
    registration->client = client;
    registration->options = *options;
    registration->handlers = *handlers;
    for (unsigned i = 0; i < WEBHOOKS_KINDS; i++) {
        open_configuration(registration, (enum webhooks_kind)i, base);
    }
    return registration;
}

void registration_free(struct registration *registration)
{
    if (!registration) {
        return;
    }
    for (unsigned i = 0; i < WEBHOOKS_KINDS; i++) {
        struct configuration *configuration = &registration->configurations[i];
        if (configuration->call) {
            kube_call_cancel(configuration->call);
        }
        kube_store_free(configuration->store);
        event_free(configuration->timer);
        json_free(configuration->wanted);
    }
    free(registration->bundle);
    free(registration);
}

void registration_set_bundle(struct registration *registration, const char *ca_bundle)
{
    if (text_equal(registration->bundle, ca_bundle)) {
        return;
    }
    free(registration->bundle);
    registration->bundle = mem_string(ca_bundle);
    registration->standing = false;
    struct webhooks_options options = registration->options;
    options.ca_bundle = registration->bundle;
    for (unsigned i = 0; i < WEBHOOKS_KINDS; i++) {
        struct configuration *configuration = &registration->configurations[i];
        json_free(configuration->wanted);
        configuration->wanted = webhooks_configuration((enum webhooks_kind)i, &options);
        configuration->replace = false;
        configuration->stood = false;
        configuration->delay_ms = 0; /* our own change waits for nothing */
        reconcile(configuration);
    }
    check_standing(registration);
}

bool registration_remove(struct kube_client *client, struct error *error)
{
    for (unsigned i = 0; i < WEBHOOKS_KINDS; i++) {
        AUTO_BUF struct buf path;
        buf_init(&path, 512);
        buf_append_format(&path, "%s/%s", webhooks_collection_path((enum webhooks_kind)i),
                          WEBHOOKS_NAME);
        struct kube_request request = {.method = KUBE_DELETE, .path = path.data};
        AUTO_JSON cJSON *answer = NULL;
        if (!kube_client_call_wait(client, &request, &answer, error) &&
            error->code != ERROR_NOT_FOUND) {
            return error_prefix(error, "removing %s %s", webhooks_kind_name((enum webhooks_kind)i),
                                WEBHOOKS_NAME);
        }
    }
    return true;
}
