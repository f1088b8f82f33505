#include "differ/differ.h"

#include "common/base/clock.h"
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/bus_metrics.h"
#include "common/run/child.h"
#include "common/run/confine.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "differ/application.h"
#include "differ/builds.h"
#include "differ/depends.h"
#include "differ/dispatch.h"
#include "differ/drift.h"
#include "differ/drift_watch.h"
#include "differ/gauges.h"
#include "differ/health_checks.h"
#include "differ/kinds.h"
#include "differ/owners.h"
#include "differ/permit.h"
#include "differ/render/generators.h"
#include "differ/render/render.h"
#include "differ/repository.h"
#include "differ/start.h"

#include <event2/event.h>
#include <string.h>

static struct metric refusals = {
    .name = "gitmoor_differ_admission_reports_total",
    .help = "Reports of admission, by kind: refused or bypassed.",
    .type = METRIC_COUNTER,
    .label = "kind",
};

const cJSON *differ_source_object(const struct differ *differ, const char *namespace_,
                                  const char *word)
{
    const char *kind, *name = object_source_name(word, &kind);
    bool helm = text_equal(kind, "HelmRepository");
    return kube_store_get(helm ? differ->helm_repository_objects : differ->repository_objects,
                          namespace_, name);
}

/* ---- The queue ---- */

static void on_queue(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct differ *differ = context;
    /* Those that are woken meanwhile come in the next turn. */
    struct application *stop = differ->queue_last;
    while (differ->queue_first) {
        struct application *application = differ->queue_first;
        bool last = application == stop;
        differ->queue_first = application->queue_next;
        if (!differ->queue_first) {
            differ->queue_last = NULL;
        }
        application->queued = false;
        application_work(application);
        if (last) {
            break;
        }
    }
    start_check(differ);
}

/* ---- What the stores and watches tell ---- */

static void on_application(const char *namespace_, const char *name, const cJSON *now,
                           const cJSON *before, void *context)
{
    (void)before;
    struct differ *differ = context;
    /* All applications of a repository are with one replica: docs/adr/0006. */
    const char *source_namespace = json_string_path(now, "spec.source.namespace");
    AUTO_FREE char *source = object_source_word(now);
    AUTO_FREE char *share =
        mem_format("%s/%s", text_is_empty(source_namespace) ? namespace_ : source_namespace,
                   text_or_empty(source));
    bool mine = now && members_is_mine(differ->members, share);
    char label[OBJECT_LABEL_VALUE_SIZE];
    object_label_value(namespace_, name, label);
    free(map_remove(&differ->elsewhere, label));
    if (now && !mine) {
        map_set(&differ->elsewhere, label, mem_format("%s/%s", namespace_, name));
    }
    application_changed(differ, namespace_, name, mine ? now : NULL);
    AUTO_FREE char *key = mem_format("%s/%s", namespace_, name);
    depends_wake(differ, key);
    if (!now && members_is_ready(differ->members)) {
        application_wake_all(differ); /* what it had may be wanted by another */
    }
}

static void look_again(const cJSON *object, void *context)
{
    const cJSON *metadata = json_object(object, "metadata");
    on_application(text_or_empty(json_string(metadata, "namespace")),
                   text_or_empty(json_string(metadata, "name")), object, NULL, context);
}

/* Replicas came or went: applications change hands, and there may be somebody to ask again. */
static void on_members_changed(void *context)
{
    struct differ *differ = context;
    if (differ->application_objects) {
        kube_store_each(differ->application_objects, look_again, differ);
        for (struct map_slot *slot = map_first(&differ->repositories); slot;
             slot = map_next(&differ->repositories, slot)) {
            repository_fetchers_changed(slot->value);
        }
        application_wake_all(differ);
        start_check(differ);
    }
}

static void on_peer_gone(struct bus_peer *peer, void *context)
{
    struct differ *differ = context;
    for (struct map_slot *slot = map_first(&differ->repositories); slot;
         slot = map_next(&differ->repositories, slot)) {
        repository_peer_gone(slot->value, peer);
    }
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        dispatch_peer_gone(slot->value, peer);
    }
}

/* The status of an application names the repository's state while there is nothing to apply, and
 * tells of one that does not exist in any case. */
static void on_source(const char *namespace_, const char *name, const cJSON *now,
                      const cJSON *before, void *context)
{
    struct differ *differ = context;
    bool came_or_went = !now || !before;
    if (!now) {
        AUTO_FREE char *key = mem_format("%s/%s", namespace_, name);
        repository_gone(differ, key, json_string_path(before, "metadata.uid"));
    }
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        if ((came_or_went || !application->rendered) &&
            text_equal(application->spec.source_namespace, namespace_) &&
            text_equal(application->spec.repository, name)) {
            application_wake(application);
        }
    }
}

static void on_helm_repository(const char *namespace_, const char *name, const cJSON *now,
                               const cJSON *before, void *context)
{
    AUTO_FREE char *word = mem_format(OBJECT_SOURCE_HELM "%s", name);
    on_source(namespace_, word, now, before, context);
}

static void on_synced(void *context)
{
    start_check(context);
}

static void on_trouble(const struct error *error, void *context)
{
    (void)context;
    if (error) {
        log_warn("our own objects cannot be watched", "error", error->message);
    }
}

/* Whose the fields of the object should be, as long as its tree is at hand. */
static void judge_owners(const struct application *application,
                         const struct desired_object *desired, struct live_object *live,
                         const cJSON *object)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    const struct owners_rules rules = {
        .people = &application->differ->people,
        .taken = &application->spec.taken,
        .allowed = application->spec.exact ? &application->spec.allowed : NULL,
        .left = desired->left,
        .left_count = desired->left_count,
        .api_version =
            desired->moves_entries ? object_ref_api_version(&desired->ref, &arena) : NULL};
    if (!live->deleting) {
        live->owners = owners_edit(object, &rules, &live->owners_first);
    }
}

/* Another controller has written a status that says the same of health: nothing that the
 * application waits for. To wake it would cost a look at all of its objects. */
static bool is_no_news(const struct application *owner, const struct desired_object *declared,
                       const struct live_object *live)
{
    return live->unchanged && owner->settled && !owner->plan && declared->adopt_version == 0 &&
           drift_judge(declared, live) == DRIFT_NONE;
}

static void on_live(struct live_object *live, const char *label, const cJSON *object, void *context)
{
    struct differ *differ = context;
    struct application *owner = map_get(&differ->claims, live->key);
    struct desired_object *declared = owner ? desired_find(owner->desired, live->key) : NULL;
    if (declared && object) {
        drift_adopt(declared, live);
    }
    struct application *labelled = map_get(&differ->by_label, label);
    /* Not the claims: after a restart they are made only when the listing is complete, and this is
     * the listing. */
    struct desired_object *desired = labelled ? desired_find(labelled->desired, live->key) : NULL;
    if (desired && object && digest_is_zero(&desired->synced) &&
        drift_matches_text(desired, object)) {
        desired->synced = live->fingerprint;
    }
    if (object && (declared || desired)) {
        judge_owners(declared ? owner : labelled, declared ? declared : desired, live, object);
    }
    if (declared || desired) {
        drift_watch_take(declared ? owner : labelled, declared ? declared : desired, live, object);
    }
    if (object && declared && owner == labelled && is_no_news(owner, declared, live)) {
        return;
    }
    if (owner) {
        application_wake(owner);
    }
    if (labelled && labelled != owner) {
        application_wake(labelled);
    }
}

static void on_kind(struct live_kind *kind, void *context)
{
    if (kind->trouble) {
        log_warn("a kind cannot be watched", "kind", kind->name, "error", kind->trouble);
        kinds_reload(context);
    }
    application_wake_all(context);
}

/* ---- The bus ---- */

static void take_report(struct differ *differ, const char *kind, const cJSON *body)
{
    const char *label = text_or_empty(json_string(body, "application"));
    struct application *application = map_get(&differ->by_label, label);
    bool refused = text_equal(kind, "refused");
    metric_add(&refusals, kind, 1);
    if (!application) {
        return;
    }
    AUTO_BUF struct buf fields;
    buf_init(&fields, 1024);
    for (const cJSON *item = json_first(json_array(body, "fields")); item; item = item->next) {
        if (cJSON_IsString(item)) {
            buf_append_format(&fields, "%s%s", fields.size ? ", " : "", item->valuestring);
        }
    }
    AUTO_FREE char *note = mem_format(
        "%s of %s by %s %s%s%s", text_or_empty(json_string(body, "operation")),
        text_or_empty(json_string(body, "object")), text_or_empty(json_string(body, "user")),
        refused ? "was refused" : "was let through", fields.size ? ": " : "", fields.data);
    status_event(application, "Warning", refused ? "EditRefused" : "EditBypassed", "Admission",
                 note);
}

static bool on_hint(struct bus_peer *peer, const char *kind, const char *text, size_t size,
                    void *context)
{
    struct differ *differ = context;
    AUTO_JSON cJSON *body = NULL;
    struct error error;
    if (!json_parse(text, size, NULL, &body, &error)) {
        log_warn("a hint is not JSON", "kind", kind, "error", error.message);
        return true; /* it would not be better the second time */
    }
    bool taken = true;
    enum bus_link link = bus_peer_link(peer);
    if (link == BUS_FETCHER_DIFFER && text_equal(kind, "revision")) {
        taken = repository_announced(differ, body);
    } else if (link == BUS_FETCHER_DIFFER && text_equal(kind, "pack")) {
        taken = repository_pack_offered(differ, peer, body);
    } else if (link == BUS_DIFFER_APPLIER && text_equal(kind, "result")) {
        taken = result_take_hint(differ, peer, body);
    } else if (link == BUS_ADMISSION_DIFFER &&
               (text_equal(kind, "refused") || text_equal(kind, "bypassed"))) {
        take_report(differ, kind, body);
    } else {
        taken = false;
    }
    if (!taken) {
        log_warn("a hint cannot be understood", "kind", kind, "link", bus_link_name(link));
    }
    return true;
}

static void on_peer_up(struct bus_peer *peer, void *context)
{
    struct differ *differ = context;
    log_info("peer is up", "peer", bus_peer_instance(peer));
    if (bus_peer_link(peer) == BUS_FETCHER_DIFFER) {
        for (struct map_slot *slot = map_first(&differ->repositories); slot;
             slot = map_next(&differ->repositories, slot)) {
            repository_fetcher_restarted(slot->value);
        }
    } else if (bus_peer_link(peer) == BUS_DIFFER_APPLIER) {
        for (struct map_slot *slot = map_first(&differ->applications); slot;
             slot = map_next(&differ->applications, slot)) {
            dispatch_applier_restarted(slot->value);
        }
    }
}

static void on_bus_problem(const struct error *error, void *context)
{
    (void)context;
    log_warn("bus", "error", error->message);
}

static bool open_bus(struct differ *differ, struct error *error)
{
    const struct differ_settings *settings = differ->settings;
    struct bus_options options = {
        .instance = process_instance(differ->process),
        .inbox = settings->common.bus,
        .advertise = settings->common.bus_advertise,
        .key_directory = settings->common.bus_keys,
        .handlers = {.hint = on_hint,
                     .peer_up = on_peer_up,
                     .problem = on_bus_problem,
                     .context = differ},
    };
    differ->bus = bus_new(differ->loop, &options, error);
    if (!differ->bus) {
        return false;
    }
    const struct members_options members = {
        .process = differ->process,
        .settings = &settings->common,
        .client = differ->client,
        .bus = differ->bus,
        .role = "differ",
        .links = {{"fetcher", BUS_FETCHER_DIFFER, settings->fetcher},
                  {"applier", BUS_DIFFER_APPLIER, settings->applier},
                  {"admission", BUS_ADMISSION_DIFFER, settings->admission}},
        .count = 3,
        .changed = on_members_changed,
        .gone = on_peer_gone,
        .context = differ,
    };
    differ->members = members_new(&members, error);
    return differ->members != NULL;
}

/* ---- Life ---- */

static struct kube_store *
open_store(struct differ *differ, const char *plural, const char *kind, bool compact,
           void (*changed)(const char *, const char *, const cJSON *, const cJSON *, void *))
{
    AUTO_FREE char *path = mem_format("/apis/" GITMOOR_API_VERSION "/%s", plural);
    struct kube_store_options options = {
        .compact = compact,
        .watch = {.path = path, .api_version = GITMOOR_API_VERSION, .kind = kind},
        .changed = changed,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = differ,
    };
    return kube_store_new(differ->client, &options);
}

#define EXECUTE_MAXIMUM 8

/* Everything but the own data is read-only from here on; of programs only the worker may run. */
static bool confine(struct differ *differ, const struct kube_config *config, struct error *error)
{
    const struct process_settings *common = &differ->settings->common;
    const char *const read_write[] = {differ->settings->data_dir, differ->memory, NULL};
    const char *execute[EXECUTE_MAXIMUM + 1] = {child_self_path(), "/lib64", "/usr/lib"};
    char *programs[EXECUTE_MAXIMUM] = {0};
    size_t count = 3;
    for (size_t i = 0; render_programs[i] && count < EXECUTE_MAXIMUM; i++) {
        programs[i] = child_find_program(render_programs[i]);
        if (programs[i]) {
            execute[count++] = programs[i];
        }
    }
    AUTO_FREE const char **all = generators_executables(differ->generators, execute);
    bool ok = process_confine(common, config, read_write, all, error);
    for (size_t i = 0; i < EXECUTE_MAXIMUM; i++) {
        free(programs[i]);
    }
    return ok;
}

static bool open_client(struct differ *differ, struct error *error)
{
    const struct process_settings *common = &differ->settings->common;
    struct kube_config *config;
    struct kube_client_options options = {.user_agent = "gitmoor-differ/" GITMOOR_VERSION};
    if (!kube_config_find(common->kubeconfig, common->context, &config, error)) {
        return false;
    }
    if (!confine(differ, config, error)) {
        kube_config_free(config);
        return false;
    }
    differ->client = kube_client_new(differ->loop, config, &options, error);
    return differ->client != NULL;
}

/* A directory that no other differ uses, since no other has our data directory. What a differ left
 * there that was killed goes. */
static void open_memory(struct differ *differ)
{
    const struct differ_settings *settings = differ->settings;
    struct digest digest;
    struct error error;
    char hex[DIGEST_HEX_SIZE];
    AUTO_FREE char *own = realpath(settings->data_dir, NULL);
    digest_of(text_or_empty(own), strlen(text_or_empty(own)), &digest);
    digest_to_hex(&digest, hex);
    differ->memory = mem_format("%s/gitmoor-differ-%.16s", settings->memory_dir, hex);
    if (!directory_is_in_memory(settings->memory_dir, &error) ||
        !directory_make_private(differ->memory, &error)) {
        log_warn("nothing can be decrypted for builds", "error", error.message);
        free(differ->memory);
        differ->memory = NULL;
    } else {
        directory_clear(differ->memory);
    }
}

bool differ_open(struct differ *differ, struct process *process,
                 const struct differ_settings *settings, struct error *error)
{
    *differ =
        (struct differ){.settings = settings, .process = process, .loop = process_loop(process)};
    map_init(&differ->repositories);
    map_init(&differ->applications);
    map_init(&differ->by_label);
    map_init(&differ->elsewhere);
    map_init(&differ->claims);
    managers_add(&differ->people, settings->take_over);
    if (!directory_make(settings->data_dir, error)) {
        return error_prefix(error, "the data directory");
    }
    open_memory(differ);
    if (settings->generators &&
        !generators_read(settings->generators, &differ->generators, error)) {
        return error_prefix(error, "--generators");
    }
    process_set_ready(process, "discovery", false);
    process_set_ready(process, "applications", false);
    differ->queue_event = event_new(differ->loop, -1, 0, on_queue, differ);
    kinds_open(differ);
    start_open(differ);
    builds_open(differ);
    if (!open_client(differ, error) || !permit_open(differ, error) ||
        !health_checks_open(differ, error) || !open_bus(differ, error)) {
        return false;
    }
    differ->recorder =
        kube_event_recorder_new(differ->client, "gitmoor-differ", process_instance(process));
    struct live_handlers handlers = {.changed = on_live,
                                     .kind_changed = on_kind,
                                     .judge = health_checks_judge,
                                     .context = differ};
    differ->live = live_new(differ->client, &handlers);
    differ->repository_objects =
        open_store(differ, "gitrepositories", "GitRepository", false, on_source);
    differ->helm_repository_objects =
        open_store(differ, "helmrepositories", "HelmRepository", false, on_helm_repository);
    differ->application_objects =
        open_store(differ, "applications", "Application", true, on_application);
    kinds_watch(differ);
    metrics_on_collect(gauges_collect, differ);
    bus_metrics_open(differ->bus);
    return true;
}

void differ_close(struct differ *differ)
{
    builds_close(differ);
    kube_store_free(differ->application_objects);
    kube_store_free(differ->repository_objects);
    kube_store_free(differ->helm_repository_objects);
    const struct map_slot *slot;
    while ((slot = map_first(&differ->applications))) {
        application_free(slot->value);
    }
    map_release(&differ->repositories, repository_free);
    tenancy_file_free(differ->tenancy);
    kinds_close(differ);
    live_free(differ->live);
    health_checks_close(differ);
    kube_event_recorder_free(differ->recorder);
    members_free(differ->members);
    bus_free(differ->bus);
    kube_client_free(differ->client);
    kube_discovery_free(differ->discovery);
    if (differ->memory) {
        directory_clear(differ->memory);
    }
    free(differ->memory);
    json_free(differ->generators);
    free(differ->kube_version);
    free(differ->api_versions);
    free(differ->chart_capabilities);
    map_release(&differ->claims, NULL);
    managers_release(&differ->people);
    map_release(&differ->by_label, NULL);
    map_release(&differ->elsewhere, free);
    map_release(&differ->applications, NULL);
    event_free(differ->queue_event);
    start_close(differ);
}
