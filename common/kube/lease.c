/* Our own Lease: written, renewed, deleted. See lease.h. */
#include "common/kube/lease.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/internal.h"

#include <event2/event.h>

#define FAREWELL_MS 2000
/* Others renewed at most a third of the duration before the API server went: they are not declared
 * dead before two thirds have passed, and by then this has. */
#define FRESH_SLACK_MS 2000

struct kube_lease {
    struct kube_client *client;
    struct kube_lease_options options;
    char *path;
    struct event *timer;
    struct kube_call *call;
    int64_t written; /* monotonic ms, when the write began that succeeded last; 0: never */
    int64_t writing; /* when the one on its way began */
    char *trouble;   /* of the last write, or NULL */
    void (*done)(void *context);
    void *context;
};

static void lease_destroy(struct kube_lease *lease)
{
    free(lease->path);
    free((char *)lease->options.namespace_);
    free((char *)lease->options.name);
    free((char *)lease->options.role);
    free((char *)lease->options.instance);
    free((char *)lease->options.address);
    free((char *)lease->options.pod_uid);
    free(lease->trouble);
    free(lease);
}

static void on_written(const struct kube_response *response, void *context)
{
    struct kube_lease *lease = context;
    lease->call = NULL;
    free(lease->trouble);
    lease->trouble = response->ok ? NULL : mem_string(response->error.message);
    if (response->ok) {
        lease->written = lease->writing;
    }
}

/* A replica that was killed leaves its Lease; the garbage collector takes it with the Pod. */
static void add_owner(cJSON *metadata, const struct kube_lease_options *options)
{
    if (text_is_empty(options->pod_uid)) {
        return;
    }
    cJSON *owner = json_append(json_add_array(metadata, "ownerReferences"), json_new_object());
    json_add_string(owner, "apiVersion", "v1");
    json_add_string(owner, "kind", "Pod");
    json_add_string(owner, "name", options->instance);
    json_add_string(owner, "uid", options->pod_uid);
}

static cJSON *make_lease(const struct kube_lease_options *options)
{
    char now[CLOCK_RFC3339_SIZE];
    cJSON *object = json_new_object();
    json_add_string(object, "apiVersion", "coordination.k8s.io/v1");
    json_add_string(object, "kind", "Lease");
    cJSON *metadata = json_add_object(object, "metadata");
    json_add_string(metadata, "name", options->name);
    json_add_string(metadata, "namespace", options->namespace_);
    json_add_string(json_add_object(metadata, "labels"), KUBE_ROLE_LABEL, options->role);
    json_add_string(json_add_object(metadata, "annotations"), KUBE_ADDRESS_ANNOTATION,
                    options->address);
    add_owner(metadata, options);
    cJSON *spec = json_add_object(object, "spec");
    clock_format_micro(clock_wall_ms(), now);
    json_add_string(spec, "holderIdentity", options->instance);
    json_add_int(spec, "leaseDurationSeconds", options->seconds);
    json_add_string(spec, "renewTime", now);
    return object;
}

static void write_lease(struct kube_lease *lease)
{
    AUTO_BUF struct buf body = {0};
    AUTO_JSON cJSON *object = make_lease(&lease->options);
    AUTO_FREE char *path = mem_format("%s?fieldManager=gitmoor-lease&force=true", lease->path);
    buf_init(&body, 65536);
    json_write(object, &body);
    struct kube_request request = {
        .method = KUBE_PATCH,
        .path = path,
        .content_type = KUBE_APPLY_TYPE,
        .body = body.data,
        .body_size = body.size,
        .timeout_ms = lease->options.seconds * 1000 / 3,
    };
    kube_call_cancel(lease->call); /* its deadline has passed as well */
    lease->writing = clock_monotonic_ms();
    lease->call = kube_client_call(lease->client, &request, on_written, lease);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    write_lease(context);
}

struct kube_lease *kube_lease_new(struct kube_client *client,
                                  const struct kube_lease_options *options)
{
    struct kube_lease *lease = NEW(struct kube_lease);
    AUTO_BUF struct buf path = {0};
    lease->client = client;
    lease->options.namespace_ = mem_string(options->namespace_);
    lease->options.name = mem_string(options->name);
    lease->options.role = mem_string(options->role);
    lease->options.instance = mem_string(options->instance);
    lease->options.address = mem_string(options->address);
    lease->options.pod_uid = mem_string(options->pod_uid);
    lease->options.seconds = options->seconds ? options->seconds : KUBE_LEASE_SECONDS;
    buf_init(&path, 65536);
    buf_append_string(&path, "/apis/coordination.k8s.io/v1/namespaces/");
    buf_append_percent(&path, options->namespace_);
    buf_append_string(&path, "/leases/");
    buf_append_percent(&path, options->name);
    lease->path = mem_string(path.data);
    int64_t third = (int64_t)lease->options.seconds * 1000000 / 3;
    struct timeval interval = {third / 1000000, third % 1000000};
    lease->timer = event_new(client->base, -1, EV_PERSIST, on_timer, lease);
    event_add(lease->timer, &interval);
    write_lease(lease);
    return lease;
}

bool kube_lease_is_held(const struct kube_lease *lease)
{
    return lease->written &&
           clock_monotonic_ms() - lease->written < (int64_t)lease->options.seconds * 1000;
}

bool kube_lease_is_fresh(const struct kube_lease *lease)
{
    return lease->written && clock_monotonic_ms() - lease->written <
                                 (int64_t)lease->options.seconds * 1000 / 3 + FRESH_SLACK_MS;
}

const char *kube_lease_trouble(const struct kube_lease *lease)
{
    return lease->trouble;
}

static void on_abandoned(void *context)
{
    lease_destroy(context);
}

static void on_deleted(const struct kube_response *response, void *context)
{
    struct kube_lease *lease = context;
    (void)response; /* if it failed, the Lease runs out by itself */
    if (lease->done) {
        lease->done(lease->context);
    }
    lease_destroy(lease);
}

void kube_lease_free(struct kube_lease *lease, void (*done)(void *context), void *context)
{
    if (!lease) {
        return;
    }
    struct kube_request request = {
        .method = KUBE_DELETE,
        .path = lease->path,
        .timeout_ms = FAREWELL_MS,
    };
    event_free(lease->timer);
    kube_call_cancel(lease->call);
    lease->done = done;
    lease->context = context;
    kube_call_on_abandon(kube_client_call(lease->client, &request, on_deleted, lease),
                         on_abandoned);
}
