/* Fetching discovery: /api and /apis in the aggregated form, and one document per group version
 * for what those two leave out. Everything is brought into the aggregated form, which resource.c
 * reads. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/internal.h"
#include "common/kube/resource.h"

#include <event2/event.h>
#include <string.h>

#define AGGREGATED                                                                                 \
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"                        \
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
#define DOCUMENT_TIMEOUT_MS 60000
#define GROUP_TIMEOUT_MS 15000 /* a group whose server is down must not hold up the others */

/* One load. It lives until every request of it has been answered or abandoned. */
struct loading {
    struct kube_client *client;
    kube_discovery_fn done;
    void *context;
    unsigned pending; /* requests on their way, and stack frames that send them */
    cJSON *api;
    cJSON *apis;
    bool failed;
    struct error error;
};

struct fetch {
    struct loading *loading;
    cJSON *version; /* into the tree: where the resources belong; NULL for a document */
    cJSON **document;
};

static void loading_free(struct loading *loading)
{
    json_free(loading->api);
    json_free(loading->apis);
    free(loading);
}

static void loading_finish(struct loading *loading)
{
    struct kube_discovery *discovery = NULL;
    if (!loading->failed) {
        loading->failed =
            !kube_discovery_parse(loading->api, loading->apis, &discovery, &loading->error);
    }
    loading->done(discovery, loading->failed ? &loading->error : NULL, loading->context);
    loading_free(loading);
}

static void on_abandoned(void *context)
{
    struct fetch *fetch = context;
    struct loading *loading = fetch->loading;
    free(fetch);
    if (--loading->pending == 0) {
        loading_free(loading);
    }
}

static void get(struct loading *loading, const char *path, cJSON **document, cJSON *version,
                kube_response_fn done)
{
    struct kube_request request = {.path = path,
                                   .accept = document ? AGGREGATED : NULL,
                                   .timeout_ms = document ? DOCUMENT_TIMEOUT_MS : GROUP_TIMEOUT_MS};
    struct fetch *fetch = NEW(struct fetch);
    fetch->loading = loading;
    fetch->document = document;
    fetch->version = version;
    loading->pending++;
    kube_call_on_abandon(kube_client_call(loading->client, &request, done, fetch), on_abandoned);
}

/* ---- The unaggregated form of one group version ---- */

static void convert_resources(const cJSON *list, cJSON *version)
{
    cJSON *resources = json_add_array(version, "resources");
    for (const cJSON *each = json_first(json_array(list, "resources")); each; each = each->next) {
        const char *name = json_string(each, "name");
        const cJSON *verbs = json_array(each, "verbs");
        if (text_is_empty(name) || strchr(name, '/')) {
            continue; /* a subresource */
        }
        cJSON *resource = json_append(resources, json_new_object());
        json_add_string(resource, "resource", name);
        json_add_string(json_add_object(resource, "responseKind"), "kind",
                        json_string(each, "kind"));
        json_add_string(resource, "scope",
                        json_bool(each, "namespaced", false) ? "Namespaced" : "Cluster");
        if (verbs) {
            json_add(resource, "verbs", json_copy(verbs));
        }
    }
}

static void on_group_version(const struct kube_response *response, void *context)
{
    struct fetch *fetch = context;
    struct loading *loading = fetch->loading;
    AUTO_JSON cJSON *list = NULL;
    /* One that fails stays without resources: kube_discovery_partial names its group. */
    if (response->ok && json_parse(response->body, response->size, NULL, &list, NULL)) {
        convert_resources(list, fetch->version);
    }
    free(fetch);
    if (--loading->pending == 0) {
        loading_finish(loading);
    }
}

static void get_group_version(struct loading *loading, const char *group, cJSON *version)
{
    AUTO_BUF struct buf path = {0};
    const char *name = json_string(version, "version");
    if (text_is_empty(name) || json_array(version, "resources")) {
        return;
    }
    buf_init(&path, 4096);
    buf_append_string(&path, *group ? "/apis/" : "/api");
    buf_append_percent(&path, group);
    buf_append_char(&path, '/');
    buf_append_percent(&path, name);
    if (!path.overflowed) {
        get(loading, path.data, NULL, version, on_group_version);
    }
}

static void get_missing(struct loading *loading, cJSON *document)
{
    for (cJSON *item = json_first(json_array(document, "items")); item; item = item->next) {
        const char *group = text_or_empty(json_string_path(item, "metadata.name"));
        for (cJSON *each = json_first(json_array(item, "versions")); each; each = each->next) {
            get_group_version(loading, group, each);
        }
    }
}

/* ---- The two documents ---- */

/* What servers before 1.27 send: names and versions only. */
static cJSON *convert_document(const cJSON *plain)
{
    cJSON *document = json_new_object();
    json_add_string(document, "kind", "APIGroupDiscoveryList");
    cJSON *items = json_add_array(document, "items");
    if (text_equal(json_string(plain, "kind"), "APIVersions")) {
        cJSON *versions = json_add_array(json_append(items, json_new_object()), "versions");
        for (const cJSON *each = json_first(json_array(plain, "versions")); each;
             each = each->next) {
            json_add_string(json_append(versions, json_new_object()), "version",
                            cJSON_IsString(each) ? each->valuestring : NULL);
        }
    }
    for (const cJSON *group = json_first(json_array(plain, "groups")); group; group = group->next) {
        cJSON *item = json_append(items, json_new_object());
        json_add_string(json_add_object(item, "metadata"), "name", json_string(group, "name"));
        cJSON *versions = json_add_array(item, "versions");
        for (const cJSON *each = json_first(json_array(group, "versions")); each;
             each = each->next) {
            json_add_string(json_append(versions, json_new_object()), "version",
                            json_string(each, "version"));
        }
    }
    return document;
}

static void on_document(const struct kube_response *response, void *context)
{
    struct fetch *fetch = context;
    struct loading *loading = fetch->loading;
    AUTO_JSON cJSON *document = NULL;
    struct error error = response->error;
    if (response->ok && json_parse(response->body, response->size, NULL, &document, &error)) {
        if (!text_equal(json_string(document, "kind"), "APIGroupDiscoveryList")) {
            cJSON *converted = convert_document(document);
            json_free(document);
            document = converted;
        }
        *fetch->document = document;
        document = NULL;
    } else if (!loading->failed) {
        error_prefix(&error, "discovery");
        loading->failed = true;
        loading->error = error;
    }
    free(fetch);
    if (loading->pending == 1 && !loading->failed) {
        get_missing(loading, loading->api);
        get_missing(loading, loading->apis);
    }
    if (--loading->pending == 0) {
        loading_finish(loading);
    }
}

void kube_discovery_load(struct kube_client *client, kube_discovery_fn done, void *context)
{
    struct loading *loading = NEW(struct loading);
    loading->client = client;
    loading->done = done;
    loading->context = context;
    get(loading, "/api", &loading->api, NULL, on_document);
    get(loading, "/apis", &loading->apis, NULL, on_document);
}

struct wait {
    bool done;
    bool left; /* nobody waits any more */
    struct kube_discovery *discovery;
    struct error error;
};

static void on_loaded(struct kube_discovery *discovery, const struct error *error, void *context)
{
    struct wait *wait = context;
    if (wait->left) {
        kube_discovery_free(discovery);
        free(wait);
        return;
    }
    wait->done = true;
    wait->discovery = discovery;
    if (error) {
        wait->error = *error;
    }
}

bool kube_discovery_load_wait(struct kube_client *client, struct kube_discovery **ret,
                              struct error *error)
{
    struct wait *wait = NEW(struct wait);
    kube_discovery_load(client, on_loaded, wait);
    while (!wait->done) {
        if (event_base_loop(client->base, EVLOOP_ONCE) != 0 && !wait->done) {
            wait->left = true;
            return error_set(error, ERROR_INTERNAL,
                             "discovery: waiting for an answer from within the event loop");
        }
    }
    AUTO_FREE struct wait *finished = wait;
    if (finished->discovery) {
        *ret = finished->discovery;
        return true;
    }
    if (error) {
        *error = finished->error;
    }
    return false;
}
