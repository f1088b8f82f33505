/* The Kubernetes client by hand, for tests/e2e/test_kube.py: reads commands on standard input, one
 * JSON object a line, and writes what happens as one JSON object a line.
 *
 *   kube_probe KUBECONFIG [RESPONSE_MAXIMUM]
 *   {"do":"call","id":1,"method":"PATCH","path":"…","type":"…","body":"…","timeout":5000,
 *    "namespace":"…","serviceAccount":"…","extraKey":"…","extraValue":"…","noRetry":true,"times":1}
 *   {"do":"cancel","id":1}
 *   {"do":"watch","path":"…","apiVersion":"v1","kind":"ConfigMap","page":500,"selector":"…"}
 *   {"do":"state","path":"…"}          the watched set: names and resource versions
 *   {"do":"discovery"}
 * {"do":"find","group":"…","version":"…","kind":"…","namespace":"…","name":"…"}
 *   {"do":"event","object":{…},"note":"…"}    {"do":"status","path":"…","status":{…}}
 *   {"do":"lease","namespace":"…","instance":"…","address":"…","seconds":2}    {"do":"leave"}
 *   {"do":"peers","namespace":"…"}    {"do":"owner","key":"…"}
 *   {"do":"stats"} */
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/client.h"
#include "common/kube/lease.h"
#include "common/kube/resource.h"
#include "common/kube/status.h"
#include "common/kube/watch.h"

#include <event2/event.h>
#include <event2/util.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct probe {
    struct event_base *base;
    struct kube_client *client;
    struct kube_discovery *discovery;
    struct kube_event_recorder *recorder;
    struct kube_lease *lease;
    struct kube_peers *peers;
    struct map calls;   /* by id */
    struct map watches; /* by path */
    struct buf input;
};

struct one_call {
    struct probe *probe;
    struct kube_call *call;
    int64_t id;
    int64_t started;
};

struct one_watch {
    struct probe *probe;
    char *path;
    struct kube_store *store;
    uint64_t changes;
};

static void say(cJSON *message)
{
    AUTO_BUF struct buf out = {0};
    buf_init(&out, 256U << 20);
    json_write(message, &out);
    json_free(message);
    puts(out.data);
    fflush(stdout);
}

static cJSON *message(const char *what)
{
    cJSON *object = json_new_object();
    json_add_string(object, "what", what);
    return object;
}

static void add_error(cJSON *object, const struct error *error)
{
    json_add_string(object, "code", error_code_name(error->code));
    json_add_string(object, "message", error->message);
    json_add_bool(object, "retryable", error->retryable);
}

/* ---- Calls ---- */

static void on_answer(const struct kube_response *response, void *context)
{
    struct one_call *one = context;
    AUTO_FREE char *key = mem_format("%lld", (long long)one->id);
    cJSON *object = message("answer");
    cJSON *body = NULL;
    json_add_int(object, "id", one->id);
    json_add_int(object, "status", response->status);
    json_add_bool(object, "ok", response->ok);
    json_add_string(object, "reason", response->reason);
    json_add_int(object, "size", (int64_t)response->size);
    json_add_int(object, "ms", clock_monotonic_ms() - one->started);
    if (!response->ok) {
        add_error(object, &response->error);
    }
    if (response->size < (1U << 20) &&
        json_parse(response->body, response->size, NULL, &body, NULL)) {
        json_add(object, "body", body);
    }
    map_remove(&one->probe->calls, key);
    free(one);
    say(object);
}

static enum kube_method method_of(const char *name)
{
    return text_equal(name, "POST")     ? KUBE_POST
           : text_equal(name, "PUT")    ? KUBE_PUT
           : text_equal(name, "PATCH")  ? KUBE_PATCH
           : text_equal(name, "DELETE") ? KUBE_DELETE
                                        : KUBE_GET;
}

static void do_call(struct probe *probe, const cJSON *command, int64_t id)
{
    const char *body = json_string(command, "body");
    struct kube_impersonation as = {
        .namespace_ = json_string(command, "namespace"),
        .service_account = json_string(command, "serviceAccount"),
        .extra_key = json_string(command, "extraKey"),
        .extra_value = json_string(command, "extraValue"),
    };
    struct kube_request request = {
        .method = method_of(json_string(command, "method")),
        .path = json_string(command, "path"),
        .content_type = json_string(command, "type"),
        .body = body,
        .body_size = body ? strlen(body) : 0,
        .as = as.namespace_ ? &as : NULL,
        .timeout_ms = json_int(command, "timeout", 0),
        .no_retry = json_bool(command, "noRetry", false),
    };
    struct one_call *one = NEW(struct one_call);
    AUTO_FREE char *key = mem_format("%lld", (long long)id);
    one->probe = probe;
    one->id = id;
    one->started = clock_monotonic_ms();
    one->call = kube_client_call(probe->client, &request, on_answer, one);
    map_set(&probe->calls, key, one);
}

static void do_calls(struct probe *probe, const cJSON *command)
{
    int64_t first = json_int(command, "id", 0);
    int64_t times = json_int(command, "times", 1);
    for (int64_t i = 0; i < times; i++) {
        do_call(probe, command, first + i);
    }
}

static void do_cancel(struct probe *probe, const cJSON *command)
{
    AUTO_FREE char *key = mem_format("%lld", (long long)json_int(command, "id", 0));
    struct one_call *one = map_remove(&probe->calls, key);
    if (one) {
        kube_call_cancel(one->call);
        free(one);
    }
    say(message("cancelled"));
}

/* ---- Watches ---- */

static void on_changed(const char *namespace_, const char *name, const cJSON *now,
                       const cJSON *before, void *context)
{
    struct one_watch *one = context;
    (void)namespace_;
    (void)name;
    (void)now;
    (void)before;
    one->changes++;
}

static void on_synced(void *context)
{
    struct one_watch *one = context;
    cJSON *object = message("synced");
    json_add_string(object, "path", one->path);
    json_add_int(object, "count", (int64_t)kube_store_count(one->store));
    say(object);
}

static void on_trouble(const struct error *error, void *context)
{
    struct one_watch *one = context;
    cJSON *object = message(error ? "trouble" : "recovered");
    json_add_string(object, "path", one->path);
    if (error) {
        add_error(object, error);
    }
    say(object);
}

static void do_watch(struct probe *probe, const cJSON *command)
{
    struct one_watch *one = NEW(struct one_watch);
    one->probe = probe;
    one->path = mem_string(json_string(command, "path"));
    struct kube_store_options options = {
        .watch = {.path = one->path,
                  .api_version = json_string(command, "apiVersion"),
                  .kind = json_string(command, "kind"),
                  .label_selector = json_string(command, "selector"),
                  .page_size = (unsigned)json_int(command, "page", 0),
                  .metadata_only = json_bool(command, "metadataOnly", false)},
        .changed = on_changed,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = one,
    };
    one->store = kube_store_new(probe->client, &options);
    map_set(&probe->watches, one->path, one);
}

static void add_state(const cJSON *object, void *context)
{
    AUTO_FREE char *key =
        mem_format("%s/%s", text_or_empty(json_string_path(object, "metadata.namespace")),
                   json_string_path(object, "metadata.name"));
    json_add_string(context, key, json_string_path(object, "metadata.resourceVersion"));
    if (!json_string(object, "kind") || !json_string(object, "apiVersion")) {
        json_add_string(context, "WITHOUT KIND", key);
    }
}

static void do_state(struct probe *probe, const cJSON *command)
{
    struct one_watch *one = map_get(&probe->watches, json_string(command, "path"));
    cJSON *object = message("state");
    json_add_int(object, "changes", (int64_t)one->changes);
    kube_store_each(one->store, add_state, json_add_object(object, "objects"));
    say(object);
}

/* ---- The rest ---- */

static void on_discovery(struct kube_discovery *discovery, const struct error *error, void *context)
{
    struct probe *probe = context;
    cJSON *object = message("discovery");
    if (error) {
        add_error(object, error);
    } else {
        json_add_string(object, "partial", kube_discovery_partial(discovery));
    }
    kube_discovery_free(probe->discovery);
    probe->discovery = discovery;
    say(object);
}

static void do_find(struct probe *probe, const cJSON *command)
{
    AUTO_BUF struct buf path = {0};
    cJSON *object = message("found");
    const struct kube_resource *resource =
        kube_discovery_find(probe->discovery, json_string(command, "group"),
                            json_string(command, "version"), json_string(command, "kind"));
    buf_init(&path, 65536);
    if (resource) {
        kube_resource_path(resource, json_string(command, "namespace"),
                           json_string(command, "name"), &path);
        json_add_string(object, "path", path.data);
        json_add_string(object, "version", resource->version);
        json_add_bool(object, "namespaced", resource->namespaced);
        json_add_bool(object, "preferred", resource->preferred);
        json_add_bool(object, "watchable", resource->watchable);
    }
    say(object);
}

static void on_status(const struct kube_response *response, void *context)
{
    cJSON *object = message("status");
    (void)context;
    json_add_bool(object, "ok", response->ok);
    if (!response->ok) {
        add_error(object, &response->error);
    }
    say(object);
}

static void do_lease(struct probe *probe, const cJSON *command)
{
    struct kube_lease_options options = {
        .namespace_ = json_string(command, "namespace"),
        .name = json_string(command, "instance"),
        .instance = json_string(command, "instance"),
        .role = "probe",
        .address = json_string(command, "address"),
        .seconds = (unsigned)json_int(command, "seconds", 0),
    };
    probe->lease = kube_lease_new(probe->client, &options);
}

static void on_left(void *context)
{
    (void)context;
    say(message("left"));
}

static void add_peer(const struct kube_peer *peer, void *context)
{
    json_add_string(context, peer->instance, peer->address);
}

static void on_peers(void *context)
{
    struct probe *probe = context;
    cJSON *object = message("peers");
    json_add_bool(object, "synced", kube_peers_is_synced(probe->peers));
    json_add_int(object, "count", (int64_t)kube_peers_count(probe->peers));
    kube_peers_each(probe->peers, add_peer, json_add_object(object, "alive"));
    say(object);
}

static void do_owner(struct probe *probe, const cJSON *command)
{
    struct kube_peer owner = {0};
    cJSON *object = message("owner");
    if (kube_peers_owner(probe->peers, json_string(command, "key"), &owner)) {
        json_add_string(object, "instance", owner.instance);
    }
    say(object);
}

static void do_stats(struct probe *probe)
{
    const struct kube_client_stats *stats = kube_client_stats(probe->client);
    cJSON *object = message("stats");
    json_add_int(object, "requests", (int64_t)stats->requests);
    json_add_int(object, "congested", (int64_t)stats->congested);
    json_add_int(object, "retries", (int64_t)stats->retries);
    json_add_int(object, "inFlight", stats->in_flight);
    say(object);
}

static void run(struct probe *probe, const cJSON *command)
{
    const char *what = text_or_empty(json_string(command, "do"));
    if (text_equal(what, "call")) {
        do_calls(probe, command);
    } else if (text_equal(what, "cancel")) {
        do_cancel(probe, command);
    } else if (text_equal(what, "watch")) {
        do_watch(probe, command);
    } else if (text_equal(what, "state")) {
        do_state(probe, command);
    } else if (text_equal(what, "discovery")) {
        kube_discovery_load(probe->client, on_discovery, probe);
    } else if (text_equal(what, "find")) {
        do_find(probe, command);
    } else if (text_equal(what, "event")) {
        kube_event_record(probe->recorder, json_get(command, "object"), "Normal", "Tested", "Test",
                          json_string(command, "note"));
    } else if (text_equal(what, "status")) {
        status_patch(probe->client, json_string(command, "path"),
                     json_copy(json_get(command, "status")), on_status, NULL);
    } else if (text_equal(what, "lease")) {
        do_lease(probe, command);
    } else if (text_equal(what, "leave")) {
        kube_lease_free(probe->lease, on_left, probe);
        probe->lease = NULL;
    } else if (text_equal(what, "peers")) {
        probe->peers = kube_peers_new(probe->client, json_string(command, "namespace"), "probe",
                                      on_peers, probe);
    } else if (text_equal(what, "owner")) {
        do_owner(probe, command);
    } else {
        do_stats(probe);
    }
}

static void on_input(evutil_socket_t fd, short what, void *context)
{
    struct probe *probe = context;
    char chunk[65536];
    ssize_t size = read(fd, chunk, sizeof(chunk));
    (void)what;
    if (size <= 0) {
        event_base_loopbreak(probe->base);
        return;
    }
    buf_append(&probe->input, chunk, (size_t)size);
    char *end;
    while ((end = strchr(probe->input.data, '\n')) != NULL) {
        AUTO_JSON cJSON *command = NULL;
        struct error error;
        size_t line = (size_t)(end - probe->input.data);
        if (json_parse(probe->input.data, line, NULL, &command, &error)) {
            run(probe, command);
        } else {
            fprintf(stderr, "kube_probe: %s\n", error.message);
        }
        buf_consume(&probe->input, line + 1);
    }
}

static void free_watch(void *value)
{
    struct one_watch *one = value;
    kube_store_free(one->store);
    free(one->path);
    free(one);
}

int main(int argc, char **argv)
{
    struct probe probe = {0};
    struct error error;
    struct kube_config *config = NULL;
    struct kube_client_options options = {.user_agent = "kube_probe"};
    if (argc < 2) {
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    options.response_maximum = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 0;
    probe.base = event_base_new();
    map_init(&probe.calls);
    map_init(&probe.watches);
    buf_init(&probe.input, 64U << 20);
    if (!kube_config_load(argv[1], NULL, &config, &error) ||
        !(probe.client = kube_client_new(probe.base, config, &options, &error))) {
        fprintf(stderr, "kube_probe: %s\n", error.message);
        return 1;
    }
    probe.recorder = kube_event_recorder_new(probe.client, "gitmoor.io/probe", "probe-1");
    struct event *input =
        event_new(probe.base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, &probe);
    event_add(input, NULL);
    event_base_dispatch(probe.base);
    event_free(input);
    map_release(&probe.watches, free_watch);
    kube_event_recorder_free(probe.recorder);
    kube_peers_free(probe.peers);
    kube_lease_free(probe.lease, NULL, NULL);
    kube_discovery_free(probe.discovery);
    kube_client_free(probe.client);
    map_release(&probe.calls, free);
    buf_release(&probe.input);
    event_base_free(probe.base);
    return 0;
}
