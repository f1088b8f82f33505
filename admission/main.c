/* gitmoor-admission: answers AdmissionReviews, and keeps its certificate and its registration. */
#include "admission/applications.h"
#include "admission/floor_list.h"
#include "admission/registration.h"
#include "admission/review.h"
#include "admission/server.h"
#include "admission/serving.h"
#include "admission/settings.h"
#include "admission/webhook.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/bus_metrics.h"
#include "common/run/confine.h"
#include "common/run/log.h"
#include "common/run/members.h"
#include "common/run/metrics.h"

#include <string.h>

#define REQUEST_TIMEOUT_MS 5000 /* an API server waits for 3 s at most */
#define IDLE_TIMEOUT_MS 120000  /* Go's clients close idle connections after 90 s: let them */
#define BUFFERED_MAXIMUM ((size_t)32 << 20)
/* An API server has few connections: with 30 s the last of four replicas was asked after 87 s. */
#define AGE_MAXIMUM_MS 10000
#define DRAIN_MS 2000

struct admission {
    struct admission_settings settings;
    struct process *process;
    struct kube_client *client;
    struct bus *bus;
    struct applications *applications;
    struct server *server;
    struct serving *serving;
    struct registration *registration;
    struct webhook webhook;
    const char **controllers;
    char *host;           /* of --webhook-url */
    const char *names[6]; /* of the serving certificate */
    char *bundle;         /* to be registered once all is ready to answer */
    bool knows_applications;
};

/* ---- The parts, in the order they come up ---- */

/* Registered only when reviews can be answered: with a certificate and all Applications known. */
static void register_when_ready(struct admission *admission)
{
    if (admission->bundle && admission->knows_applications) {
        registration_set_bundle(admission->registration, admission->bundle);
    }
}

static void on_applications(void *context)
{
    struct admission *admission = context;
    admission->knows_applications = true;
    process_set_ready(admission->process, "applications", true);
    register_when_ready(admission);
}

static void on_listed(void *context)
{
    struct admission *admission = context;
    AUTO_FREE char *list = floor_list(applications_set(admission->applications));
    registration_set_applications(admission->registration, list);
}

static bool on_serve(const char *certificate, const char *key, void *context, struct error *error)
{
    struct admission *admission = context;
    if (!server_set_certificate(admission->server, certificate, key, error)) {
        return false;
    }
    process_set_ready(admission->process, "certificate", true);
    return true;
}

static void on_trust(const char *ca_bundle, void *context)
{
    struct admission *admission = context;
    if (text_equal(admission->bundle, ca_bundle)) {
        return;
    }
    free(admission->bundle);
    admission->bundle = mem_string(ca_bundle);
    register_when_ready(admission);
}

static void on_standing(const char *ca_bundle, void *context)
{
    struct admission *admission = context;
    process_set_ready(admission->process, "registration", true);
    serving_trusted(admission->serving, ca_bundle);
}

/* ---- Opening ---- */

static bool open_client(struct admission *admission, struct error *error)
{
    const struct process_settings *common = &admission->settings.common;
    struct kube_config *config = NULL;
    if (!kube_config_find(common->kubeconfig, common->context, &config, error)) {
        return false;
    }
    if (!process_confine(common, config, NULL, NULL, error)) {
        kube_config_free(config);
        return false;
    }
    struct kube_client_options options = {.user_agent = "gitmoor-admission/" GITMOOR_VERSION};
    admission->client = kube_client_new(process_loop(admission->process), config, &options, error);
    return admission->client != NULL;
}

static bool ignore_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                        void *context)
{
    (void)peer, (void)kind, (void)body, (void)size, (void)context;
    return true; /* nobody has anything to tell admission */
}

static bool open_bus(struct admission *admission, struct error *error)
{
    const struct admission_settings *settings = &admission->settings;
    if (text_is_empty(settings->differ) && text_is_empty(settings->common.lease_namespace)) {
        return true;
    }
    if (text_is_empty(settings->common.bus)) {
        return error_set(error, ERROR_INVALID,
                         "--differ and --lease-namespace need --bus: the differ acknowledges to "
                         "this process's inbox");
    }
    struct bus_options options = {.instance = process_instance(admission->process),
                                  .inbox = settings->common.bus,
                                  .advertise = settings->common.bus_advertise,
                                  .key_directory = settings->common.bus_keys,
                                  .blob_store_maximum = (size_t)1 << 20,
                                  .handlers = {.hint = ignore_hint}};
    admission->bus = bus_new(process_loop(admission->process), &options, error);
    if (!admission->bus) {
        return false;
    }
    const struct members_options members = {
        .process = admission->process,
        .settings = &settings->common,
        .client = admission->client,
        .bus = admission->bus,
        .role = "admission",
        .links = {{"differ", BUS_ADMISSION_DIFFER, settings->differ}},
        .count = 1};
    admission->webhook.members = members_new(&members, error);
    admission->webhook.bus = admission->bus;
    return admission->webhook.members != NULL;
}

static bool open_server(struct admission *admission, struct error *error)
{
    const struct admission_settings *settings = &admission->settings;
    admission->controllers = admission_split(settings->controllers);
    admission->webhook.reasons = reasons_new();
    admission->webhook.rules = (struct verdict_settings){.applier = settings->applier,
                                                         .controllers = admission->controllers,
                                                         .noted_reason = webhook_noted_reason,
                                                         .context = &admission->webhook};
    admission->webhook.applications = applications_set(admission->applications);
    struct server_options options = {.listen = settings->webhook_listen,
                                     .connections = (unsigned)settings->connections,
                                     .body_maximum = REVIEW_MAXIMUM,
                                     .buffered_maximum = BUFFERED_MAXIMUM,
                                     .request_timeout_ms = REQUEST_TIMEOUT_MS,
                                     .idle_timeout_ms = IDLE_TIMEOUT_MS,
                                     .age_maximum_ms = AGE_MAXIMUM_MS,
                                     .handle = webhook_handle,
                                     .handle_too_large = webhook_handle_too_large,
                                     .context = &admission->webhook};
    admission->server = server_new(process_loop(admission->process), &options, error);
    return admission->server != NULL;
}

/* "127.0.0.1" of "https://127.0.0.1:9443", "::1" of "https://[::1]:9443". */
static char *host_of(const char *url)
{
    const char *host = url + strlen("https://");
    if (*host == '[') {
        return mem_string_n(host + 1, strcspn(host + 1, "]"));
    }
    return mem_string_n(host, strcspn(host, ":"));
}

static void open_serving(struct admission *admission, struct arena *arena)
{
    const struct admission_settings *settings = &admission->settings;
    if (settings->webhook_url) {
        admission->host = host_of(settings->webhook_url);
        admission->names[0] = admission->host;
    } else {
        admission->names[0] =
            arena_format(arena, "%s.%s.svc", settings->service, settings->namespace_);
        admission->names[1] =
            arena_format(arena, "%s.%s.svc.cluster.local", settings->service, settings->namespace_);
    }
    struct serving_options options = {.namespace_ = settings->namespace_,
                                      .names = admission->names,
                                      .days = (unsigned)settings->certificate_days,
                                      .grace_ms = settings->rotation_grace,
                                      .serve = on_serve,
                                      .trust = on_trust,
                                      .context = admission};
    admission->serving = serving_new(process_loop(admission->process), admission->client, &options);
}

static void open_registration(struct admission *admission)
{
    const struct admission_settings *settings = &admission->settings;
    struct webhooks_options options = {.url = settings->webhook_url,
                                       .namespace_ = settings->namespace_,
                                       .service = settings->service,
                                       .service_port = settings->service_port,
                                       .failure_policy = settings->failure_policy,
                                       .timeout_seconds = settings->webhook_timeout / 1000,
                                       .applier = settings->applier,
                                       .controllers = admission->controllers};
    struct registration_handlers handlers = {.standing = on_standing, .context = admission};
    admission->registration = registration_new(process_loop(admission->process), admission->client,
                                               &options, settings->floor, &handlers);
}

static bool open_parts(struct admission *admission, struct arena *arena, struct error *error)
{
    process_set_ready(admission->process, "certificate", false);
    process_set_ready(admission->process, "applications", false);
    process_set_ready(admission->process, "registration", false);
    if (!open_bus(admission, error)) {
        return false;
    }
    const struct applications_handlers handlers = {
        .synced = on_applications, .listed = on_listed, .context = admission};
    admission->applications = applications_new(admission->client, &handlers);
    if (!open_server(admission, error)) {
        return false;
    }
    open_registration(admission);
    open_serving(admission, arena);
    return true;
}

/* ---- Running ---- */

static void collect(void *context)
{
    static struct metric connections = {.name = "gitmoor_admission_connections",
                                        .help = "Connections of API servers now.",
                                        .type = METRIC_GAUGE};
    static struct metric cut = {.name = "gitmoor_admission_connections_cut",
                                .help = "Connections that the server ended, since it started.",
                                .type = METRIC_GAUGE,
                                .label = "reason"};
    static struct metric requests = {.name = "gitmoor_kube_requests_total",
                                     .help = "Requests sent to the API server.",
                                     .type = METRIC_COUNTER};
    const struct admission *admission = context;
    const struct server_stats *stats = server_stats(admission->server);
    metric_set(&requests, NULL, (double)kube_client_stats(admission->client)->requests);
    metric_set(&connections, NULL, stats->connections);
    metric_set(&cut, "timeout", (double)stats->timeouts);
    metric_set(&cut, "evicted", (double)stats->evicted);
    metric_set(&cut, "handshake", (double)stats->handshakes_failed);
    metric_set(&cut, "refused", (double)stats->refused);
}

static void drain(void *context)
{
    struct admission *admission = context;
    members_leave(admission->webhook.members);
    server_drain(admission->server, DRAIN_MS);
    if (admission->bus) {
        bus_drain(admission->bus, DRAIN_MS);
    }
}

static void close_parts(struct admission *admission)
{
    registration_free(admission->registration);
    serving_free(admission->serving);
    server_free(admission->server);
    applications_free(admission->applications);
    members_free(admission->webhook.members);
    if (admission->bus) {
        bus_free(admission->bus);
    }
    if (admission->client) {
        kube_client_free(admission->client);
    }
    reasons_free(admission->webhook.reasons);
    free(admission->controllers);
    free(admission->host);
    free(admission->bundle);
}

static bool run(struct admission *admission, struct arena *arena, int *ret_status,
                struct error *error)
{
    if (!open_client(admission, error)) {
        return false;
    }
    if (admission->settings.unregister) {
        *ret_status = 0;
        return registration_remove(admission->client, error);
    }
    if (!open_parts(admission, arena, error)) {
        return false;
    }
    metrics_on_collect(collect, admission);
    bus_metrics_open(admission->bus);
    *ret_status = process_run(admission->process, drain, admission);
    return true;
}

int main(int argc, char **argv)
{
    struct admission admission = {0};
    struct admission_settings *settings = &admission.settings;
    struct error error;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    if (!settings_parse(admission_settings_table, "gitmoor-admission",
                        "Refuses changes of what Git declares that do not come through Git.", &argc,
                        &argv, settings, &error) ||
        !admission_settings_check(settings, &error)) {
        return process_fail("admission", &error);
    }
    if (settings->unregister) {
        settings->common.listen = ""; /* an instance may be running beside */
    }
    if (!process_open("admission", &settings->common, &admission.process, &error)) {
        return process_fail("admission", &error);
    }
    int status = 1;
    bool done = run(&admission, &arena, &status, &error);
    close_parts(&admission);
    process_free(admission.process);
    return done ? status : process_fail("admission", &error);
}
