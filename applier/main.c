/* gitmoor-applier: carries out the differ's plans on the cluster. */
#include "applier/identity.h"
#include "applier/link.h"
#include "applier/schedule.h"
#include "applier/self.h"
#include "applier/settings.h"
#include "applier/uninstall.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/bus_metrics.h"
#include "common/run/confine.h"
#include "common/run/log.h"
#include "common/run/members.h"
#include "common/run/metrics.h"

#include <event2/event.h>
#include <malloc.h>
#include <stdio.h>

/* How long a clean stop may take: requests in flight are answered, results handed over. */
#define STOP_REQUESTS_MS 5000
#define STOP_BUS_MS 2000
/* Over HTTP/2, as kube-apiserver speaks it, one is used; behind a proxy that speaks HTTP/1.1, each
 * request in flight takes one. */
#define CONNECTIONS 16

struct applier {
    struct applier_settings settings;
    struct process *process;
    struct kube_client *client;
    struct tenancy_file *tenancy;
    struct identities *identities;
    struct self *self;
    char *user_name;
    struct schedule *schedule;
    struct link *link;
    struct bus *bus;
    struct members *members;
};

static struct metric in_flight = {.name = "gitmoor_applier_requests_in_flight",
                                  .help = "Requests that wait for an answer.",
                                  .type = METRIC_GAUGE};
static struct metric window = {.name = "gitmoor_applier_window",
                               .help = "How many requests may be in flight now.",
                               .type = METRIC_GAUGE};
static struct metric plans = {
    .name = "gitmoor_applier_plans", .help = "Plans under way or waiting.", .type = METRIC_GAUGE};
static struct metric applications = {.name = "gitmoor_applier_applications",
                                     .help = "Applications that are known.",
                                     .type = METRIC_GAUGE};
static struct metric congested = {.name = "gitmoor_applier_congestion_total",
                                  .help = "Times the API server was found overloaded.",
                                  .type = METRIC_COUNTER};

static void collect(void *context)
{
    const struct applier *applier = context;
    const struct pace *pace = schedule_pace(applier->schedule);
    metric_set(&in_flight, NULL, pace->in_flight);
    metric_set(&window, NULL, (unsigned)pace->window);
    metric_set(&congested, NULL, (double)pace->congested);
    metric_set(&plans, NULL, (double)schedule_count(applier->schedule));
    metric_set(&applications, NULL, (double)identities_count(applier->identities));
}

/* ---- Readiness: the own name is known, and the Applications are ---- */

static void update_ready(struct applier *applier)
{
    bool named = applier->user_name != NULL;
    bool synced = identities_are_synced(applier->identities);
    process_set_ready(applier->process, "user name", named);
    process_set_ready(applier->process, "applications", synced);
    link_set_ready(applier->link, named && synced);
}

static void on_identities_changed(void *context)
{
    struct applier *applier = context;
    if (applier->schedule) {
        schedule_identities_changed(applier->schedule);
    }
}

static void on_identities_synced(void *context)
{
    update_ready(context);
    on_identities_changed(context);
}

static void on_watch_trouble(const struct error *error, void *context)
{
    (void)context;
    if (error) {
        log_warn("cannot watch Applications", "error", error->message);
    } else {
        log_info("Applications are watched again");
    }
}

static void on_self_known(const char *user_name, void *context)
{
    struct applier *applier = context;
    applier->user_name = mem_string(user_name);
    log_info("acting", "user", user_name, "for", applier->settings.default_service_account);
    update_ready(applier);
}

static void on_self_trouble(const struct error *error, void *context)
{
    (void)context;
    log_warn("cannot start yet", "error", error->message);
}

/* ---- Start-up ---- */

static bool open_kube(struct applier *applier, struct error *error)
{
    const struct process_settings *common = &applier->settings.common;
    struct kube_config *config = NULL;
    if (!kube_config_find(common->kubeconfig, common->context, &config, error)) {
        return false;
    }
    if (!process_confine(common, config, NULL, NULL, error)) {
        kube_config_free(config);
        return false;
    }
    const struct kube_client_options options = {.user_agent = "gitmoor-applier/" GITMOOR_VERSION,
                                                .connections = CONNECTIONS};
    applier->client = kube_client_new(process_loop(applier->process), config, &options, error);
    return applier->client;
}

static void on_tenancy_changed(void *context)
{
    (void)context; /* each plan is held to what is in force when it begins */
    log_info("tenancy settings read");
}

static void on_tenancy_trouble(const struct error *error, void *context)
{
    (void)context;
    log_error("the tenancy settings are broken: those before stay in force", "error",
              error->message);
}

static bool open_tenancy(struct applier *applier, struct error *error)
{
    const struct tenancy_file_options options = {.base = process_loop(applier->process),
                                                 .path = applier->settings.common.tenancy,
                                                 .changed = on_tenancy_changed,
                                                 .trouble = on_tenancy_trouble,
                                                 .context = applier};
    return tenancy_file_open(&options, &applier->tenancy, error);
}

static bool open_work(struct applier *applier, struct error *error)
{
    const struct applier_settings *settings = &applier->settings;
    struct event_base *base = process_loop(applier->process);
    applier->link = link_new(base);
    const struct identity_options identity_options = {.client = applier->client,
                                                      .tenancy = applier->tenancy,
                                                      .default_service_account =
                                                          settings->default_service_account,
                                                      .changed = on_identities_changed,
                                                      .synced = on_identities_synced,
                                                      .trouble = on_watch_trouble,
                                                      .context = applier};
    applier->identities = identities_new(&identity_options, error);
    if (!applier->identities) {
        return false;
    }
    const struct schedule_options schedule_options = {
        .base = base,
        .client = applier->client,
        .identities = applier->identities,
        .tenancy = applier->tenancy,
        .window_maximum = (unsigned)settings->window_maximum,
        .request_timeout_ms = settings->request_timeout,
        .identity_timeout_ms = settings->identity_timeout,
        .user_name = (const char *const *)&applier->user_name,
        .finished = link_take_result,
        .context = applier->link};
    applier->schedule = schedule_new(&schedule_options);
    metrics_on_collect(collect, applier);
    return true;
}

static bool may_ask(struct bus_peer *differ, const char *application, void *context)
{
    const struct applier *applier = context;
    AUTO_FREE char *share = identities_share(applier->identities, application);
    const struct bus_peer *owner = share ? members_owner(applier->members, "differ", share) : NULL;
    return !owner || owner == differ;
}

static bool open_bus(struct applier *applier, struct error *error)
{
    const struct process_settings *common = &applier->settings.common;
    const struct bus_options options = {
        .instance = process_instance(applier->process),
        .inbox = common->bus,
        .advertise = common->bus_advertise,
        .key_directory = common->bus_keys,
        .handlers = {.hint = link_take_hint, .context = applier->link}};
    if (text_is_empty(common->bus)) {
        return error_set(error, ERROR_INVALID, "--bus ADDRESS is needed (or GITMOOR_BUS)");
    }
    applier->bus = bus_new(process_loop(applier->process), &options, error);
    if (!applier->bus) {
        return false;
    }
    link_attach(applier->link, applier->bus, applier->schedule);
    const struct members_options members = {
        .process = applier->process,
        .settings = common,
        .client = applier->client,
        .bus = applier->bus,
        .role = "applier",
        .links = {{"differ", BUS_DIFFER_APPLIER, applier->settings.differ}},
        .count = 1,
        .gone = link_forget_peer,
        .context = applier->link};
    bus_metrics_open(applier->bus);
    applier->members = members_new(&members, error);
    link_set_gate(applier->link, may_ask, applier);
    return applier->members != NULL;
}

static bool check(const struct applier_settings *settings, struct error *error)
{
    if (settings->window_maximum < 1 || settings->window_maximum > 1000) {
        return error_set(error, ERROR_INVALID, "--window-max must be from 1 to 1000");
    }
    if (settings->request_timeout < 1000) {
        return error_set(error, ERROR_INVALID, "--request-timeout must be at least 1s");
    }
    return true;
}

static bool applier_open(struct applier *applier, struct error *error)
{
    if (!check(&applier->settings, error) || !open_kube(applier, error) ||
        !open_tenancy(applier, error) || !open_work(applier, error) || !open_bus(applier, error)) {
        return false;
    }
    if (text_is_empty(applier->settings.user_name)) {
        applier->self = self_ask(process_loop(applier->process), applier->client, on_self_known,
                                 on_self_trouble, applier);
    } else {
        on_self_known(applier->settings.user_name, applier);
    }
    update_ready(applier);
    return true;
}

/* ---- The end ---- */

static void applier_close(struct applier *applier)
{
    self_free(applier->self);
    members_free(applier->members);
    link_free(applier->link);
    schedule_free(applier->schedule);
    identities_free(applier->identities);
    tenancy_file_free(applier->tenancy);
    if (applier->bus) {
        bus_free(applier->bus);
    }
    if (applier->client) {
        kube_client_free(applier->client);
    }
    free(applier->user_name);
    process_free(applier->process);
}

/* No new plans; what is in flight is answered, what has not been started is dropped, and the
 * results are handed over. */
static void drain(void *context)
{
    struct applier *applier = context;
    link_set_ready(applier->link, false);
    schedule_cancel_all(applier->schedule);
    int64_t deadline = clock_monotonic_ms() + STOP_REQUESTS_MS;
    struct event_base *base = process_loop(applier->process);
    while (schedule_count(applier->schedule) > 0 && clock_monotonic_ms() < deadline) {
        const struct timeval tick = {.tv_usec = 20000};
        event_base_loopexit(base, &tick);
        event_base_dispatch(base);
    }
    bus_drain(applier->bus, STOP_BUS_MS);
    members_leave(applier->members); /* last: another does not begin while this one writes */
}

/* ---- Steps of uninstalling, instead of all that ---- */

static bool is_step(const struct applier_settings *settings)
{
    return settings->await_deletions > 0 || settings->release;
}

static bool await_deletions(const struct applier *applier, struct error *error)
{
    size_t left;
    if (!uninstall_await_deletions(applier->client, applier->settings.await_deletions, &left,
                                   error)) {
        return false;
    }
    AUTO_FREE char *text = mem_format("%zu", left);
    if (left > 0) {
        log_warn("deletions of Applications are not done yet: what they manage stays", "left",
                 text);
    } else {
        log_info("no deletion of an Application is under way");
    }
    return true;
}

static bool release(const struct applier *applier, struct error *error)
{
    size_t released;
    if (!uninstall_release(applier->client, &released, error)) {
        return false;
    }
    AUTO_FREE char *text = mem_format("%zu", released);
    log_info("no Application has our finalizer", "taken away", text);
    return true;
}

static bool take_step(struct applier *applier, struct error *error)
{
    const struct applier_settings *settings = &applier->settings;
    return open_kube(applier, error) &&
           (settings->await_deletions == 0 || await_deletions(applier, error)) &&
           (!settings->release || release(applier, error));
}

static int run(struct applier *applier, struct error *error)
{
    if (is_step(&applier->settings)) {
        return take_step(applier, error) ? 0 : process_fail("applier", error);
    }
    if (!applier_open(applier, error)) {
        return process_fail("applier", error);
    }
    return process_run(applier->process, drain, applier);
}

int main(int argc, char **argv)
{
    /* Large texts come and go whole: let them go back to the system. */
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    struct applier applier = {0};
    struct error error;
    bool ok = settings_parse(applier_settings_table, "gitmoor-applier",
                             "Carries out plans on the cluster.", &argc, &argv, &applier.settings,
                             &error);
    if (ok && argc > 0) {
        ok = error_set(&error, ERROR_INVALID, "unexpected argument \"%s\"", argv[0]);
    }
    if (ok && is_step(&applier.settings)) {
        applier.settings.common.listen = ""; /* an instance may be running beside */
    }
    ok = ok && process_open("applier", &applier.settings.common, &applier.process, &error);
    int status = ok ? run(&applier, &error) : process_fail("applier", &error);
    applier_close(&applier);
    return status;
}
