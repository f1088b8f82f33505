#include "differ/kinds.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "differ/application.h"
#include "differ/charts.h"
#include "differ/repository.h"
#include "differ/served.h"
#include "differ/start.h"

#include <event2/event.h>
#include <string.h>

#define INTERVAL_MS 2000 /* it costs the server a few milliseconds */
#define UNUSED_MS 1000

/* Whether one of the kinds ("group/version/Kind") is served by now. */
static bool is_any_served(const struct kube_discovery *discovery, const struct map *kinds)
{
    for (struct map_slot *slot = map_first(kinds); slot; slot = map_next(kinds, slot)) {
        AUTO_FREE char *group = mem_string(slot->key);
        char *version = strchr(group, '/');
        char *kind = strrchr(group, '/');
        *version++ = *kind++ = '\0';
        if (kube_discovery_find(discovery, group, version, kind)) {
            return true;
        }
    }
    return false;
}

static void render_what_is_served_now(struct differ *differ)
{
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        application->needs_render |= is_any_served(differ->discovery, &application->unknown_kinds);
    }
}

static void on_discovery(struct kube_discovery *discovery, const struct error *error, void *context)
{
    struct differ *differ = context;
    bool again = differ->discovery_again;
    differ->discovery_loading = differ->discovery_asked = differ->discovery_again = false;
    differ->discovery_loaded_at = clock_monotonic_ms();
    if (!discovery || again) {
        kinds_reload(differ);
    }
    if (!discovery) {
        log_warn("the kinds of the cluster cannot be read", "error", error->message);
        return;
    }
    kube_discovery_free(differ->discovery);
    differ->discovery = discovery;
    process_set_ready(differ->process, "discovery", true);
    charts_discovered(differ);
    render_what_is_served_now(differ);
    for (struct map_slot *slot = map_first(&differ->repositories); slot;
         slot = map_next(&differ->repositories, slot)) {
        struct repository *repository = slot->value;
        if (!repository_is_backing_off(repository)) {
            repository_step(repository);
        }
    }
    application_wake_all(differ);
    start_check(differ); /* nobody is woken where there are no applications yet */
}

static void on_version(const struct kube_response *response, void *context)
{
    struct differ *differ = context;
    charts_take_version(differ, response);
    kube_discovery_load(differ->client, on_discovery, differ);
}

static void load_discovery(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct differ *differ = context;
    differ->discovery_asked = true;
    const struct kube_request request = {.path = "/version"};
    kube_client_call(differ->client, &request, on_version, differ);
}

void kinds_reload(struct differ *differ)
{
    if (differ->discovery_loading) {
        differ->discovery_again = differ->discovery_asked;
        return;
    }
    differ->discovery_loading = true;
    int64_t wait = differ->discovery_loaded_at == 0
                       ? 0
                       : differ->discovery_loaded_at + INTERVAL_MS - clock_monotonic_ms();
    wait = wait > 0 ? wait : 0;
    struct timeval after = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    event_base_once(differ->loop, -1, EV_TIMEOUT, load_discovery, differ, &after);
}

/* ---- Kinds that nobody needs any more ---- */

static void add_needed(const struct application *application, struct map *needed)
{
    const struct desired_set *desired = application->desired;
    const struct object_ref *before = NULL;
    const struct desired_object *object;
    for (size_t i = 0; desired && (object = desired_at(desired, i)); i++) {
        const struct object_ref *ref = &object->ref;
        if (!before || !text_equal(before->kind, ref->kind) ||
            !text_equal(before->group, ref->group)) {
            AUTO_FREE char *name = live_kind_name(ref->group, ref->kind);
            map_set(needed, name, (void *)"");
        }
        before = ref;
    }
    const cJSON *kinds = json_array(packed_tree(application->status), "kinds");
    for (const cJSON *item = json_first(kinds); item; item = item->next) {
        if (cJSON_IsString(item)) {
            map_set(needed, item->valuestring, (void *)"");
        }
    }
    if (application->settled && !application->plan) {
        packed_rest(application->status);
    }
}

static bool is_needed(const char *name, const void *context)
{
    return map_has(context, name);
}

static void forget_unused(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct differ *differ = context;
    if (!differ->started) { /* not all is rendered yet, so that not all is known to be needed */
        kinds_may_be_unused(differ);
        return;
    }
    struct map needed;
    map_init(&needed);
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        add_needed(slot->value, &needed);
    }
    live_keep_kinds(differ->live, is_needed, &needed);
    map_release(&needed, NULL);
}

/* All applications are looked at: once a while, not once for each that changes. */
void kinds_may_be_unused(struct differ *differ)
{
    struct timeval after = {.tv_sec = UNUSED_MS / 1000};
    if (!evtimer_pending(differ->kinds_timer, NULL)) {
        evtimer_add(differ->kinds_timer, &after);
    }
}

static void on_served(void *context)
{
    kinds_reload(context);
}

static struct served *watch_served(struct differ *differ, const char *group, const char *kind,
                                   const char *plural)
{
    const struct served_options options = {
        .client = differ->client,
        .loop = differ->loop,
        .resource = {.group = group, .version = "v1", .kind = kind, .plural = plural},
        .settle_ms = INTERVAL_MS,
        .changed = on_served,
        .context = differ,
    };
    return served_new(&options);
}

void kinds_open(struct differ *differ)
{
    differ->kinds_timer = evtimer_new(differ->loop, forget_unused, differ);
}

void kinds_watch(struct differ *differ)
{
    differ->definitions = watch_served(differ, "apiextensions.k8s.io", "CustomResourceDefinition",
                                       "customresourcedefinitions");
    differ->services = watch_served(differ, "apiregistration.k8s.io", "APIService", "apiservices");
    kinds_reload(differ);
}

void kinds_close(struct differ *differ)
{
    served_free(differ->definitions);
    served_free(differ->services);
    event_free(differ->kinds_timer);
}
