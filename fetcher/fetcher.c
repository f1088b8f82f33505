#include "fetcher/fetcher.h"

#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/run/bus_metrics.h"
#include "common/run/child.h"
#include "common/run/confine.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "fetcher/announce.h"
#include "fetcher/repository.h"

#include <string.h>

#define DRAIN_MS 2000

static struct metric repositories = {.name = "gitmoor_fetcher_repositories",
                                     .help = "GitRepository and HelmRepository objects.",
                                     .type = METRIC_GAUGE};
static struct metric running = {
    .name = "gitmoor_fetcher_workers", .help = "Workers that run now.", .type = METRIC_GAUGE};
static struct metric waiting = {.name = "gitmoor_fetcher_work_waiting",
                                .help = "Fetches and packs that wait for a worker.",
                                .type = METRIC_GAUGE};

static struct metric problems = {
    .name = "gitmoor_fetcher_problems",
    .help = "1 for each GitRepository and HelmRepository (as helm:NAME) that is not Ready, and the "
            "reason. One that is suspended is well.",
    .type = METRIC_GAUGE,
    .label = "repository",
    .second_label = "problem"};

static void tell_problem(const struct repository *repository)
{
    const cJSON *ready = status_condition(json_array(repository->status, "conditions"), "Ready");
    if (ready && !repository->spec.suspend && !text_equal(json_string(ready, "status"), "True")) {
        metric_set_two(&problems, repository->key, text_or_empty(json_string(ready, "reason")), 1);
    }
}

static void collect(void *context)
{
    struct fetcher *fetcher = context;
    metric_clear(&problems);
    for (struct map_slot *slot = map_first(&fetcher->repositories); slot;
         slot = map_next(&fetcher->repositories, slot)) {
        tell_problem(slot->value);
    }
    metric_set(&repositories, NULL, (double)fetcher->repositories.count);
    metric_set(&running, NULL, fetcher->pool ? pool_running(fetcher->pool) : 0);
    metric_set(&waiting, NULL, fetcher->pool ? pool_waiting(fetcher->pool) : 0);
}

/* ---- The watch ---- */

static void on_changed(const char *namespace_, const char *name, const cJSON *now,
                       const cJSON *before, void *context)
{
    (void)before;
    const struct source_watch *watch = context;
    struct fetcher *fetcher = watch->fetcher;
    AUTO_FREE char *key = mem_format("%s/%s%s", namespace_, watch->kind->prefix, name);
    if (now && members_is_mine(fetcher->members, key)) {
        repository_observe(fetcher, watch->kind, now);
    } else {
        repository_remove(fetcher, key);
    }
}

static void look_again(const cJSON *object, void *context)
{
    const cJSON *metadata = json_object(object, "metadata");
    on_changed(text_or_empty(json_string(metadata, "namespace")),
               text_or_empty(json_string(metadata, "name")), object, NULL, context);
}

/* Replicas came or went: repositories change hands. */
static void on_members_changed(void *context)
{
    struct fetcher *fetcher = context;
    for (size_t i = 0; i < SOURCE_KINDS; i++) {
        struct source_watch *watch = &fetcher->watches[i];
        if (watch->store) {
            kube_store_each(watch->store, look_again, watch);
        }
    }
    announce_all(fetcher);
}

bool fetcher_is_synced(const struct fetcher *fetcher)
{
    bool synced = true;
    for (size_t i = 0; i < SOURCE_KINDS; i++) {
        const struct kube_store *store = fetcher->watches[i].store;
        synced = synced && store && kube_store_is_synced(store);
    }
    return synced;
}

bool fetcher_knows(const struct fetcher *fetcher, const char *key)
{
    const char *slash = strchr(key, '/');
    AUTO_FREE char *namespace_ = slash ? mem_string_n(key, (size_t)(slash - key)) : NULL;
    const char *kind, *name = object_source_name(slash ? slash + 1 : "", &kind);
    for (size_t i = 0; slash && i < SOURCE_KINDS; i++) {
        const struct source_watch *watch = &fetcher->watches[i];
        if (watch->store && text_equal(watch->kind->kind, kind)) {
            return kube_store_get(watch->store, namespace_, name) != NULL;
        }
    }
    return false;
}

struct orphans {
    struct fetcher *fetcher;
    struct map uids; /* of all our objects, of every kind */
};

static void note_uid(const cJSON *object, void *context)
{
    const char *uid = json_string_path(object, "metadata.uid");
    if (uid) {
        map_set(context, uid, (void *)"");
    }
}

/* A mirror whose object was deleted while we were not there. */
static void remove_orphan(const char *stem, void *context)
{
    const struct orphans *orphans = context;
    const struct fetcher *fetcher = orphans->fetcher;
    if (map_has(&orphans->uids, stem)) {
        return; /* ours, or it may become so: shares are not known yet */
    }
    AUTO_FREE char *path = mem_format("%s/%s.git", fetcher->settings->data_dir, stem);
    struct error error;
    log_info("mirror of no repository removed", "path", path);
    if (!directory_remove(path, &error)) {
        log_warn("cannot remove a mirror", "error", error.message);
    }
}

static void on_synced(void *context)
{
    const struct source_watch *watch = context;
    struct fetcher *fetcher = watch->fetcher;
    process_set_ready(fetcher->process, watch->kind->part, true);
    if (!fetcher_is_synced(fetcher)) {
        return;
    }
    struct orphans orphans = {.fetcher = fetcher};
    map_init(&orphans.uids);
    for (size_t i = 0; i < SOURCE_KINDS; i++) {
        kube_store_each(fetcher->watches[i].store, note_uid, &orphans.uids);
    }
    directory_each_mirror(fetcher->settings->data_dir, remove_orphan, &orphans);
    map_release(&orphans.uids, NULL);
}

static void on_trouble(const struct error *error, void *context)
{
    const struct source_watch *watch = context;
    if (error) {
        log_warn("objects cannot be watched", "kind", watch->kind->kind, "error", error->message);
    } else {
        log_info("objects are watched again", "kind", watch->kind->kind);
    }
}

static void on_bus_problem(const struct error *error, void *context)
{
    (void)context;
    log_warn("bus", "error", error->message);
}

/* ---- Tenancy ---- */

static void on_tenancy_changed(void *context)
{
    struct fetcher *fetcher = context;
    log_info("tenancy settings read");
    for (struct map_slot *slot = map_first(&fetcher->repositories); slot;
         slot = map_next(&fetcher->repositories, slot)) {
        repository_tenancy_changed(slot->value);
    }
}

static void on_tenancy_trouble(const struct error *error, void *context)
{
    (void)context;
    log_error("the tenancy settings are broken: those before stay in force", "error",
              error->message);
}

static bool open_tenancy(struct fetcher *fetcher, struct error *error)
{
    const struct tenancy_file_options options = {.base = fetcher->base,
                                                 .path = fetcher->settings->common.tenancy,
                                                 .changed = on_tenancy_changed,
                                                 .trouble = on_tenancy_trouble,
                                                 .context = fetcher};
    return tenancy_file_open(&options, &fetcher->tenancy, error);
}

/* ---- Start-up ---- */

static bool open_sandbox(const struct fetcher_settings *settings, const struct kube_config *config,
                         struct error *error)
{
    const char *const writable[] = {settings->data_dir, NULL};
    /* The workers inherit it: ourselves again, ssh and gpgv, and the loader with its libraries.
     * File URLs may name anything. */
    AUTO_FREE char *ssh = child_find_program("ssh");
    AUTO_FREE char *gpgv = child_find_program("gpgv");
    const char *const programs[] = {"/proc/self/exe",
                                    ssh ? ssh : "/dev/null",
                                    gpgv ? gpgv : "/dev/null",
                                    "/lib",
                                    "/lib64",
                                    "/usr/lib",
                                    settings->allow_file_urls ? "/" : NULL,
                                    NULL};
    return process_confine(&settings->common, config, writable, programs, error);
}

static bool open_kube(struct fetcher *fetcher, struct error *error)
{
    const struct fetcher_settings *settings = fetcher->settings;
    struct kube_config *config = NULL;
    if (!kube_config_find(settings->common.kubeconfig, settings->common.context, &config, error)) {
        return false;
    }
    if (!directory_make(settings->data_dir, error) || !open_sandbox(settings, config, error)) {
        kube_config_free(config);
        return false;
    }
    const struct kube_client_options options = {.user_agent = "gitmoor-fetcher/" GITMOOR_VERSION};
    fetcher->client = kube_client_new(fetcher->base, config, &options, error);
    if (!fetcher->client) {
        return false;
    }
    fetcher->events = kube_event_recorder_new(fetcher->client, "gitmoor-fetcher",
                                              process_instance(fetcher->process));
    return true;
}

static bool open_bus(struct fetcher *fetcher, struct error *error)
{
    const struct fetcher_settings *settings = fetcher->settings;
    const struct bus_options options = {
        .instance = process_instance(fetcher->process),
        .inbox = settings->common.bus,
        .advertise = settings->common.bus_advertise,
        .key_directory = settings->common.bus_keys,
        /* Room for the largest pack beside those that are kept. */
        .blob_store_maximum = (size_t)settings->max_repository_size + ((size_t)128 << 20),
        .handlers = {.hint = announcer_take_hint,
                     .peer_up = announcer_peer_up,
                     .problem = on_bus_problem,
                     .context = fetcher},
    };
    fetcher->bus = bus_new(fetcher->base, &options, error);
    return fetcher->bus != NULL;
}

static bool open_members(struct fetcher *fetcher, struct error *error)
{
    const struct members_options options = {
        .process = fetcher->process,
        .settings = &fetcher->settings->common,
        .client = fetcher->client,
        .bus = fetcher->bus,
        .role = "fetcher",
        .links = {{"differ", BUS_FETCHER_DIFFER, fetcher->settings->differ}},
        .count = 1,
        .changed = on_members_changed,
        .gone = announcer_peer_gone,
        .context = fetcher,
    };
    fetcher->members = members_new(&options, error);
    return fetcher->members != NULL;
}

static void open_pool(struct fetcher *fetcher)
{
    struct pool_options options = {.children = (unsigned)fetcher->settings->fetch_concurrency};
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes of address space */
    /* The largest object may fill the repository, and is held twice when it is packed. */
    options.memory_maximum = ((int64_t)1 << 30) + 2 * fetcher->settings->max_repository_size;
#endif
    fetcher->pool = pool_new(fetcher->base, &options);
}

static void open_store(struct fetcher *fetcher, struct source_watch *watch,
                       const struct source_kind *kind)
{
    watch->fetcher = fetcher;
    watch->kind = kind;
    process_set_ready(fetcher->process, kind->part, false);
    AUTO_FREE char *path = mem_format("/apis/" GITMOOR_API_VERSION "/%s", kind->plural);
    const struct kube_store_options options = {
        .watch = {.path = path, .api_version = GITMOOR_API_VERSION, .kind = kind->kind},
        .changed = on_changed,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = watch,
    };
    watch->store = kube_store_new(fetcher->client, &options);
}

bool fetcher_open(struct fetcher *fetcher, struct process *process,
                  const struct fetcher_settings *settings, struct error *error)
{
    *fetcher =
        (struct fetcher){.settings = settings, .process = process, .base = process_loop(process)};
    map_init(&fetcher->repositories);
    if (!fetcher_settings_check(settings, error) || !open_kube(fetcher, error) ||
        !open_tenancy(fetcher, error) || !open_bus(fetcher, error) ||
        !open_members(fetcher, error)) {
        return false;
    }
    fetcher->announcer = announcer_new(fetcher);
    open_pool(fetcher);
    metrics_on_collect(collect, fetcher);
    bus_metrics_open(fetcher->bus);
    for (size_t i = 0; i < SOURCE_KINDS; i++) {
        open_store(fetcher, &fetcher->watches[i], &source_kinds[i]);
    }
    return true;
}

void fetcher_drain(struct fetcher *fetcher)
{
    members_leave(fetcher->members);
    const struct bus_peer *differ = bus_peer_of_link(fetcher->bus, BUS_FETCHER_DIFFER);
    if (differ && bus_peer_is_up(differ)) {
        bus_drain(fetcher->bus, DRAIN_MS);
    }
}

void fetcher_close(struct fetcher *fetcher)
{
    for (size_t i = 0; i < SOURCE_KINDS; i++) {
        kube_store_free(fetcher->watches[i].store);
    }
    map_release(&fetcher->repositories, repository_free);
    tenancy_file_free(fetcher->tenancy);
    pool_free(fetcher->pool);
    fetcher->pool = NULL;
    announcer_free(fetcher->announcer);
    members_free(fetcher->members);
    if (fetcher->bus) {
        bus_free(fetcher->bus);
    }
    if (fetcher->events) {
        kube_event_recorder_free(fetcher->events);
    }
    if (fetcher->client) {
        kube_client_free(fetcher->client);
    }
}
