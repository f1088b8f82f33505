#include "admission/serving.h"

#include "admission/serving_secret.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/crypto/certificate.h"
#include "common/kube/watch.h"
#include "common/run/log.h"
#include "common/run/metrics.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <string.h>

#define SECRET_MAXIMUM ((size_t)1 << 20)
#define BUSY_TICK_MS 250   /* while a rotation is under way, or a write has failed */
#define IDLE_TICK_MS 60000 /* to notice that a certificate grows old */
#define RETRY_MS 3000      /* after a write that failed */

static struct metric not_after = {.name = "gitmoor_admission_certificate_not_after_seconds",
                                  .help = "When the webhook's certificate ends, since the epoch.",
                                  .type = METRIC_GAUGE};
static struct metric writes = {.name = "gitmoor_admission_certificate_writes_total",
                               .help = "Writes of the certificate's Secret, by step.",
                               .type = METRIC_COUNTER,
                               .label = "step"};

static const char *const step_names[] = {
    [SERVING_KEEP] = "keep",       [SERVING_RENEW] = "renew",   [SERVING_STAGE] = "stage",
    [SERVING_PROMOTE] = "promote", [SERVING_RETIRE] = "retire",
};

struct serving {
    struct kube_client *client;
    struct serving_options options;
    struct kube_store *store; /* of the Secret */
    struct event *tick;
    struct kube_call *call; /* a write under way */
    int64_t not_before;     /* of the next write; monotonic */
    char *served;           /* the certificate that is served */
    char *trusted;          /* the bundle that stands */
    cJSON *good;            /* the last usable Secret, to be put back if it is lost */
};

static const cJSON *live(const struct serving *serving)
{
    return kube_store_get(serving->store, serving->options.namespace_, SERVING_SECRET);
}

/* ---- Using what the Secret holds ---- */

static void use(struct serving *serving, const cJSON *secret)
{
    AUTO_FREE char *certificate = serving_value(secret, "tls.crt");
    AUTO_FREE char *key = serving_value(secret, "tls.key");
    AUTO_FREE char *bundle = serving_bundle(secret);
    struct error error;
    if (!certificate || !key || !bundle) {
        return;
    }
    if (!text_equal(certificate, serving->served)) {
        if (!serving->options.serve(certificate, key, serving->options.context, &error)) {
            log_error("the certificate cannot be served", "error", error.message);
            OPENSSL_cleanse(key, strlen(key));
            return;
        }
        int64_t until = 0;
        if (certificate_not_after(certificate, &until, NULL)) {
            metric_set(&not_after, NULL, (double)until / 1000);
        }
        log_info("serving a certificate", "rotation", serving->served ? "yes" : "no");
        free(serving->served);
        serving->served = mem_string(certificate);
    }
    OPENSSL_cleanse(key, strlen(key));
    json_free(serving->good);
    serving->good = json_copy(secret);
    serving->options.trust(bundle, serving->options.context);
}

/* ---- Writing ---- */

static void tick_soon(struct serving *serving)
{
    struct timeval now = {0};
    event_add(serving->tick, &now);
}

static void on_written(const struct kube_response *response, void *context)
{
    struct serving *serving = context;
    serving->call = NULL;
    tick_soon(serving);
    if (response->ok || response->error.code == ERROR_CONFLICT) {
        /* It is written, or another replica was first: the watch tells, in a moment. */
        serving->not_before = clock_monotonic_ms() + BUSY_TICK_MS;
        return;
    }
    serving->not_before = clock_monotonic_ms() + RETRY_MS;
    log_error("the certificate's Secret cannot be written", "namespace",
              serving->options.namespace_, "name", SERVING_SECRET, "error",
              response->error.message);
}

static void write_secret(struct serving *serving, const cJSON *secret, bool exists)
{
    AUTO_BUF struct buf path, body;
    buf_init(&path, 1024);
    buf_init(&body, SECRET_MAXIMUM);
    buf_append_string(&path, "/api/v1/namespaces/");
    buf_append_percent(&path, serving->options.namespace_);
    buf_append_format(&path, "/secrets%s?fieldManager=gitmoor-admission",
                      exists ? "/" SERVING_SECRET : "");
    json_write(secret, &body);
    struct kube_request request = {.method = exists ? KUBE_PUT : KUBE_POST,
                                   .path = path.data,
                                   .body = body.data,
                                   .body_size = body.size};
    serving->call = kube_client_call(serving->client, &request, on_written, serving);
    OPENSSL_cleanse(body.data, body.size); /* the client has its own copy */
}

/* The last good content in the place of what was lost or damaged; NULL if it is of no use. */
static cJSON *restored(const struct serving *serving, const cJSON *secret)
{
    const char *why;
    if (!serving->good || serving_decide(serving->good, &serving->options, NULL, clock_wall_ms(),
                                         &why) == SERVING_RENEW) {
        return NULL;
    }
    cJSON *copy = json_copy(serving->good);
    cJSON *metadata = json_ensure_object(copy, "metadata");
    json_remove(metadata, "uid");
    json_remove(metadata, "creationTimestamp");
    json_remove(metadata, "managedFields");
    json_remove(metadata, "resourceVersion");
    json_add_string(metadata, "resourceVersion",
                    json_string_path(secret, "metadata.resourceVersion"));
    return copy;
}

static void take_step(struct serving *serving, enum serving_step step, const char *why)
{
    struct error error;
    const cJSON *secret = live(serving);
    AUTO_JSON cJSON *next = step == SERVING_RENEW ? restored(serving, secret) : NULL;
    log_info("the webhook's certificate", "step", next ? "restore" : step_names[step], "because",
             why);
    if (!next) {
        next = serving_advance(secret, step, &serving->options, clock_wall_ms(), &error);
    }
    if (!next) {
        serving->not_before = clock_monotonic_ms() + RETRY_MS;
        log_error("no certificate can be made", "error", error.message);
        return;
    }
    metric_add(&writes, step_names[step], 1);
    write_secret(serving, next, secret != NULL);
}

static void look(struct serving *serving)
{
    if (!kube_store_is_synced(serving->store) || serving->call) {
        return;
    }
    const char *why;
    const cJSON *secret = live(serving);
    enum serving_step step =
        serving_decide(secret, &serving->options, serving->trusted, clock_wall_ms(), &why);
    if (step != SERVING_RENEW) {
        use(serving, secret);
    }
    if (step != SERVING_KEEP && clock_monotonic_ms() >= serving->not_before) {
        take_step(serving, step, why);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct serving *serving = context;
    look(serving);
    const cJSON *data = json_object(live(serving), "data");
    bool busy = !serving->served || json_get(data, "next.crt") ||
                json_get(data, "previous-ca.crt") ||
                clock_monotonic_ms() < serving->not_before + BUSY_TICK_MS;
    int64_t delay = busy ? BUSY_TICK_MS : IDLE_TICK_MS;
    struct timeval timeout = {.tv_sec = delay / 1000, .tv_usec = delay % 1000 * 1000};
    event_add(serving->tick, &timeout);
}

/* ---- Watching ---- */

static void on_changed(const char *namespace_, const char *name, const cJSON *now,
                       const cJSON *before, void *context)
{
    (void)namespace_, (void)name, (void)now, (void)before;
    tick_soon(context);
}

static void on_synced(void *context)
{
    tick_soon(context);
}

static void on_trouble(const struct error *error, void *context)
{
    const struct serving *serving = context;
    if (error) {
        log_warn("the certificate's Secret cannot be watched", "namespace",
                 serving->options.namespace_, "name", SERVING_SECRET, "error", error->message);
    }
}

/* ---- Life ---- */

struct serving *serving_new(struct event_base *base, struct kube_client *client,
                            const struct serving_options *options)
{
    struct serving *serving = NEW(struct serving);
    serving->client = client;
    serving->options = *options;
    serving->tick = event_new(base, -1, 0, on_tick, serving);
    AUTO_BUF struct buf path;
    buf_init(&path, 1024);
    buf_append_string(&path, "/api/v1/namespaces/");
    buf_append_percent(&path, options->namespace_);
    buf_append_string(&path, "/secrets");
    struct kube_store_options store = {
        .watch = {.path = path.data,
                  .api_version = "v1",
                  .kind = "Secret",
                  .field_selector = "metadata.name=" SERVING_SECRET},
        .changed = on_changed,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = serving,
    };
    serving->store = kube_store_new(client, &store);
    return serving;
}

void serving_free(struct serving *serving)
{
    if (!serving) {
        return;
    }
    if (serving->call) {
        kube_call_cancel(serving->call);
    }
    kube_store_free(serving->store);
    event_free(serving->tick);
    json_free(serving->good);
    free(serving->served);
    free(serving->trusted);
    free(serving);
}

void serving_trusted(struct serving *serving, const char *ca_bundle)
{
    free(serving->trusted);
    serving->trusted = mem_string(ca_bundle);
    tick_soon(serving);
}
