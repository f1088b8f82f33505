/* Membership against an API server that keeps Leases and lets them be watched, in the loop of the
 * test. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"
#include "common/run/members.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define LEASES_MAXIMUM 8

struct lease {
    char name[64], role[32], instance[32], address[64];
    unsigned version;
};

struct watcher {
    struct evhttp_request *request;
    char role[32];
};

struct world {
    struct process *process;
    struct process_settings settings;
    struct evhttp *http;
    struct kube_client *client;
    struct bus *bus;
    struct members *members;
    struct lease leases[LEASES_MAXIMUM];
    size_t lease_count;
    struct watcher watchers[16];
    size_t watcher_count;
    unsigned version, writes, deletions;
    bool refuses; /* writes are forbidden */
    bool knows_version;
    unsigned changes, gone;
    unsigned allowed_changes; /* told while work was allowed */
};

/* ---- The API server ---- */

static void write_object(const struct lease *lease, struct evbuffer *out)
{
    char now[CLOCK_RFC3339_SIZE];
    clock_format_micro(clock_wall_ms(), now);
    evbuffer_add_printf(
        out,
        "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":"
        "\"%s\",\"namespace\":\"home\",\"uid\":\"u\",\"resourceVersion\":\"%u\",\"labels\":{"
        "\"gitmoor.io/role\":\"%s\"},\"annotations\":{\"gitmoor.io/bus-address\":\"%s\"}},"
        "\"spec\":{\"holderIdentity\":\"%s\",\"leaseDurationSeconds\":15,\"renewTime\":\"%s\"}}",
        lease->name, lease->version, lease->role, lease->address, lease->instance, now);
}

static void tell_watchers(struct world *world, const char *type, const struct lease *lease)
{
    for (size_t i = 0; i < world->watcher_count; i++) {
        if (text_equal(world->watchers[i].role, lease->role)) {
            struct evbuffer *line = evbuffer_new();
            evbuffer_add_printf(line, "{\"type\":\"%s\",\"object\":", type);
            write_object(lease, line);
            evbuffer_add_printf(line, "}\n");
            evhttp_send_reply_chunk(world->watchers[i].request, line);
            evbuffer_free(line);
        }
    }
}

static struct lease *find(struct world *world, const char *name)
{
    for (size_t i = 0; i < world->lease_count; i++) {
        if (text_equal(world->leases[i].name, name)) {
            return &world->leases[i];
        }
    }
    return NULL;
}

static void put(struct world *world, const char *name, const char *role, const char *instance,
                const char *address)
{
    struct lease *lease = find(world, name);
    bool added = !lease;
    if (added) {
        assert_true(world->lease_count < LEASES_MAXIMUM);
        lease = &world->leases[world->lease_count++];
    }
    snprintf(lease->name, sizeof lease->name, "%s", name);
    snprintf(lease->role, sizeof lease->role, "%s", role);
    snprintf(lease->instance, sizeof lease->instance, "%s", instance);
    snprintf(lease->address, sizeof lease->address, "%s", address);
    lease->version = ++world->version;
    tell_watchers(world, added ? "ADDED" : "MODIFIED", lease);
}

static void take_away(struct world *world, const char *name)
{
    struct lease *lease = find(world, name);
    assert_non_null(lease);
    lease->version = ++world->version;
    tell_watchers(world, "DELETED", lease);
    *lease = world->leases[--world->lease_count];
}

static void reply(struct evhttp_request *request, int status, struct evbuffer *body)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "application/json");
    evhttp_send_reply(request, status, "-", body);
    evbuffer_free(body);
}

static void reply_list(struct world *world, struct evhttp_request *request, const char *role)
{
    struct evbuffer *body = evbuffer_new();
    const char *separator = "";
    evbuffer_add_printf(body,
                        "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"LeaseList\","
                        "\"metadata\":{\"resourceVersion\":\"%u\"},\"items\":[",
                        ++world->version);
    for (size_t i = 0; i < world->lease_count; i++) {
        if (text_equal(world->leases[i].role, role)) {
            evbuffer_add_printf(body, "%s", separator);
            write_object(&world->leases[i], body);
            separator = ",";
        }
    }
    evbuffer_add_printf(body, "]}");
    reply(request, 200, body);
}

static void reply_write(struct world *world, struct evhttp_request *request, const char *name)
{
    struct evbuffer *body = evbuffer_new();
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    AUTO_JSON cJSON *object = NULL;
    struct error error;
    size_t size = evbuffer_get_length(input);
    assert_true(json_parse((const char *)evbuffer_pullup(input, -1), size, NULL, &object, &error));
    world->writes++;
    if (world->refuses) {
        evbuffer_add_printf(body, "{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":403,"
                                  "\"reason\":\"Forbidden\",\"message\":\"not allowed\"}");
        reply(request, 403, body);
        return;
    }
    const cJSON *metadata = json_object(object, "metadata");
    put(world, name, json_string(json_object(metadata, "labels"), "gitmoor.io/role"),
        json_string_path(object, "spec.holderIdentity"),
        json_string(json_object(metadata, "annotations"), "gitmoor.io/bus-address"));
    write_object(find(world, name), body);
    reply(request, 200, body);
}

static void on_request(struct evhttp_request *request, void *context)
{
    struct world *world = context;
    const char *uri = evhttp_request_get_uri(request);
    const char *role = strstr(uri, "labelSelector=");
    role = role ? role + strcspn(role, "&") : NULL;
    AUTO_FREE char *selected = NULL;
    if (role) {
        const char *value = strstr(uri, "role%3D");
        assert_non_null(value);
        value += strlen("role%3D");
        selected = mem_string_n(value, strcspn(value, "&"));
    }
    if (evhttp_request_get_command(request) == EVHTTP_REQ_GET && strstr(uri, "watch=1")) {
        if (!world->knows_version) { /* libcurl waits for the first answer before it opens more
                                        connections, and a watch has no end */
            world->knows_version = true;
            reply(request, 200, evbuffer_new());
            return;
        }
        assert_true(world->watcher_count < 16);
        struct watcher *watcher = &world->watchers[world->watcher_count++];
        watcher->request = request;
        snprintf(watcher->role, sizeof watcher->role, "%s", text_or_empty(selected));
        evhttp_send_reply_start(request, 200, "OK");
        return;
    }
    const char *last = strrchr(uri, '/') + 1;
    AUTO_FREE char *name = mem_string_n(last, strcspn(last, "?"));
    if (evhttp_request_get_command(request) == EVHTTP_REQ_GET) {
        reply_list(world, request, text_or_empty(selected));
    } else if (evhttp_request_get_command(request) == EVHTTP_REQ_DELETE) {
        world->deletions++;
        take_away(world, name);
        reply(request, 200, evbuffer_new());
    } else {
        reply_write(world, request, name);
    }
}

/* ---- The world ---- */

static void on_changed(void *context)
{
    struct world *world = context;
    world->changes++;
    world->allowed_changes += world->members && members_may_work(world->members);
}

static void on_gone(struct bus_peer *peer, void *context)
{
    (void)peer;
    ((struct world *)context)->gone++;
}

static bool on_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                    void *context)
{
    (void)peer, (void)kind, (void)body, (void)size, (void)context;
    return true;
}

static void open_server(struct world *world)
{
    world->http = evhttp_new(process_loop(world->process));
    evhttp_set_allowed_methods(world->http, EVHTTP_REQ_GET | EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE);
    evhttp_set_gencb(world->http, on_request, world);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(world->http, "127.0.0.1", 0);
    assert_non_null(bound);
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &size);
    struct kube_config *config = NEW(struct kube_config);
    config->server = mem_format("http://127.0.0.1:%u", ntohs(address.sin_port));
    const struct kube_client_options options = {.connections = 8};
    struct error error;
    world->client = kube_client_new(process_loop(world->process), config, &options, &error);
    assert_non_null(world->client);
}

static struct world *open_world(const char *lease_namespace, const char *directory)
{
    struct world *world = NEW(struct world);
    struct error error;
    world->settings = (struct process_settings){.log_level = "error",
                                                .listen = "",
                                                .instance = "a",
                                                .bus = mem_format("ipc://%s/a", directory),
                                                .lease_namespace = lease_namespace};
    assert_true(process_open("differ", &world->settings, &world->process, &error));
    open_server(world);
    const struct bus_options options = {
        .instance = "a", .inbox = world->settings.bus, .handlers = {.hint = on_hint}};
    world->bus = bus_new(process_loop(world->process), &options, &error);
    assert_non_null(world->bus);
    return world;
}

static bool join(struct world *world, const char *applier, struct error *error)
{
    const struct members_options options = {
        .process = world->process,
        .settings = &world->settings,
        .client = world->client,
        .bus = world->bus,
        .role = "differ",
        .links = {{"applier", BUS_DIFFER_APPLIER, applier}, {"fetcher", BUS_FETCHER_DIFFER, NULL}},
        .count = 2,
        .changed = on_changed,
        .gone = on_gone,
        .context = world};
    world->members = members_new(&options, error);
    return world->members != NULL;
}

static void close_world(struct world *world)
{
    members_free(world->members);
    bus_free(world->bus);
    kube_client_free(world->client);
    event_base_loop(process_loop(world->process), EVLOOP_NONBLOCK);
    for (size_t i = 0; i < world->watcher_count; i++) {
        evhttp_send_reply_end(world->watchers[i].request);
    }
    evhttp_free(world->http);
    process_free(world->process);
    free((char *)world->settings.bus);
    free(world);
}

/* The Lease is written again every five seconds, and a loaded machine has much else to do. */
#define PATIENCE_MS 60000

/* Runs the loop until the condition holds; fails if it does not in that time. */
#define RUN_UNTIL(world, condition)                                                                \
    for (int64_t end_ = clock_monotonic_ms() + PATIENCE_MS; !(condition);) {                       \
        assert_true(clock_monotonic_ms() < end_);                                                  \
        const struct timeval tick_ = {0, 5000};                                                    \
        event_base_loopexit(process_loop((world)->process), &tick_);                               \
        event_base_dispatch(process_loop((world)->process));                                       \
    }

static int make_directory(void **state)
{
    char *directory = mem_string("/tmp/gm-members-XXXXXX");
    *state = directory;
    return mkdtemp(directory) ? 0 : 1;
}

static int remove_directory(void **state)
{
    AUTO_FREE char *directory = *state;
    AUTO_FREE char *command = mem_format("rm -rf %s", directory);
    return system(command);
}

static void count(struct bus_peer *peer, void *context)
{
    (void)peer;
    ++*(unsigned *)context;
}

static unsigned count_peers(const struct world *world, const char *role)
{
    unsigned found = 0;
    members_each(world->members, role, count, &found);
    return found;
}

/* How many of a hundred keys are one's own. */
static unsigned count_mine(const struct world *world)
{
    unsigned mine = 0;
    for (unsigned i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof key, "shop/repository-%u", i);
        mine += members_is_mine(world->members, key);
    }
    return mine;
}

/* ---- Cases ---- */

static void without_leases_all_is_ones_own_and_peers_are_those_of_the_flags(void **state)
{
    struct world *world = open_world(NULL, *state);
    AUTO_FREE char *inbox = mem_format("ipc://%s/applier", (char *)*state);
    struct error error;
    assert_true(join(world, inbox, &error));
    assert_true(members_is_ready(world->members));
    assert_true(members_may_work(world->members));
    assert_int_equal(count_mine(world), 100);
    assert_non_null(members_owner(world->members, "applier", "x"));
    assert_null(members_owner(world->members, "fetcher", "x"));
    assert_int_equal(count_peers(world, "applier"), 1);
    members_leave(world->members);
    assert_int_equal(world->writes, 0);
    close_world(world);
}

static void an_address_that_nobody_can_reach_is_refused(void **state)
{
    static const char *const unreachable[] = {"tcp://0.0.0.0:7001", "tcp://[::]:7001", ""};
    for (size_t i = 0; i < sizeof unreachable / sizeof unreachable[0]; i++) {
        struct world *world = open_world("home", *state);
        const char *bus = world->settings.bus;
        struct error error;
        world->settings.bus = unreachable[i];
        assert_false(join(world, NULL, &error));
        assert_non_null(strstr(error.message, "--bus-advertise"));
        world->settings.bus = bus;
        close_world(world);
    }
}

static void nothing_is_ones_own_before_the_own_lease_is_seen(void **state)
{
    struct world *world = open_world("home", *state);
    struct error error;
    assert_true(join(world, NULL, &error));
    assert_false(members_is_ready(world->members));
    assert_false(members_may_work(world->members));
    assert_int_equal(count_mine(world), 0);
    RUN_UNTIL(world, members_is_ready(world->members) && members_may_work(world->members));
    assert_int_equal(count_mine(world), 100);
    const struct lease *own = find(world, "a.differ");
    assert_non_null(own);
    assert_string_equal(own->address, world->settings.bus);
    close_world(world);
}

static void shares_move_as_replicas_come_and_go(void **state)
{
    struct world *world = open_world("home", *state);
    struct error error;
    assert_true(join(world, NULL, &error));
    RUN_UNTIL(world, count_mine(world) == 100 && world->watcher_count == 3);
    put(world, "b.differ", "differ", "b", "ipc:///nowhere/b");
    RUN_UNTIL(world, count_mine(world) < 100);
    assert_in_range(count_mine(world), 25, 75);
    unsigned before = world->changes;
    take_away(world, "b.differ");
    RUN_UNTIL(world, count_mine(world) == 100);
    assert_true(world->changes > before);
    close_world(world);
}

static void peers_of_the_bus_follow_the_leases(void **state)
{
    struct world *world = open_world("home", *state);
    struct error error;
    put(world, "x.applier", "applier", "x", "ipc:///tmp/gm-nowhere-x");
    assert_true(join(world, NULL, &error));
    RUN_UNTIL(world, members_owner(world->members, "applier", "key") && world->watcher_count == 3);
    put(world, "y.applier", "applier", "y", "ipc:///tmp/gm-nowhere-y");
    put(world, "z.applier", "applier", "z", "no address at all");
    RUN_UNTIL(world, count_peers(world, "applier") == 2);
    assert_int_equal(world->gone, 0);
    take_away(world, "x.applier");
    take_away(world, "z.applier");
    RUN_UNTIL(world, count_peers(world, "applier") == 1);
    assert_int_equal(world->gone, 1);
    assert_string_equal(bus_peer_inbox(members_owner(world->members, "applier", "key")),
                        "ipc:///tmp/gm-nowhere-y");
    assert_null(members_owner(world->members, "fetcher", "key"));
    assert_null(members_owner(world->members, "admission", "key"));
    close_world(world);
}

static void a_lease_that_cannot_be_written_allows_no_work_until_it_is(void **state)
{
    struct world *world = open_world("home", *state);
    struct error error;
    world->refuses = true;
    assert_true(join(world, NULL, &error));
    RUN_UNTIL(world, world->writes > 0 && world->watcher_count == 3);
    assert_false(members_is_ready(world->members));
    assert_false(members_may_work(world->members));
    assert_int_equal(world->allowed_changes, 0);
    world->refuses = false;
    RUN_UNTIL(world, members_may_work(world->members)); /* after a third of the duration */
    /* Not "one more than now": the loop may have told it in the round that wrote the Lease. */
    RUN_UNTIL(world, world->allowed_changes > 0);
    close_world(world);
}

static void leaving_deletes_the_lease_and_ends_the_work(void **state)
{
    struct world *world = open_world("home", *state);
    struct error error;
    assert_true(join(world, NULL, &error));
    RUN_UNTIL(world, members_is_ready(world->members) && members_may_work(world->members));
    unsigned before = world->changes;
    members_leave(world->members);
    assert_false(members_may_work(world->members));
    assert_null(find(world, "a.differ"));
    assert_int_equal(world->deletions, 1);
    members_leave(world->members);
    assert_int_equal(world->deletions, 1);
    assert_int_equal(world->changes, before);
    close_world(world);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        CASE(without_leases_all_is_ones_own_and_peers_are_those_of_the_flags),
        CASE(an_address_that_nobody_can_reach_is_refused),
        CASE(nothing_is_ones_own_before_the_own_lease_is_seen),
        CASE(shares_move_as_replicas_come_and_go),
        CASE(peers_of_the_bus_follow_the_leases),
        CASE(a_lease_that_cannot_be_written_allows_no_work_until_it_is),
        CASE(leaving_deletes_the_lease_and_ends_the_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
