/* What the applier's tests share: an API server of their own, in the same loop, over plain HTTP.
 * It records each request and answers as the test says, at once or when it is released. */
#ifndef GITMOOR_TESTS_APPLIER_WORLD_H
#define GITMOOR_TESTS_APPLIER_WORLD_H

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/client.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WORLD_REQUESTS 4096
#define WORLD_PATIENCE_MS 60000 /* for what must come, on a machine with much else to do */

struct world_request {
    char *method; /* "PATCH" */
    char *path;   /* with the query */
    char *body;
    char *user;                     /* Impersonate-User */
    char *extra;                    /* Impersonate-Extra-gitmoor.io%2fapplier, whatever its case */
    char *type;                     /* Content-Type */
    struct evhttp_request *pending; /* held */
};

struct world {
    struct event_base *base;
    struct evhttp *http;
    struct kube_client *client;
    struct world_request requests[WORLD_REQUESTS];
    unsigned count;
    unsigned held;
    unsigned held_most;
    bool hold; /* do not answer until world_release */
    /* Fills the body and returns the HTTP status; NULL: world_answer_applied. */
    int (*answer)(struct world *world, const struct world_request *request, struct buf *body);
};

/* What an apply is answered with: the object that came, with what a server adds. */
static inline int world_answer_applied(struct world *world, const struct world_request *request,
                                       struct buf *body)
{
    (void)world;
    buf_append_format(
        body,
        "{\"metadata\":{\"uid\":\"u-%zu\",\"resourceVersion\":\"7\",\"managedFields\":"
        "[{\"manager\":\"gitmoor\",\"operation\":\"Apply\",\"apiVersion\":\"v1\","
        "\"fieldsV1\":{\"f:data\":{\"f:k\":{}}}}]},\"data\":{\"k\":\"v\"}}",
        strlen(request->path));
    return 200;
}

static inline int world_answer_status(struct buf *body, int status, const char *reason,
                                      const char *message)
{
    buf_append_format(body,
                      "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\","
                      "\"message\":\"%s\",\"reason\":\"%s\",\"code\":%d}",
                      message, reason, status);
    return status;
}

static inline void world_reply(struct world *world, struct world_request *request)
{
    AUTO_BUF struct buf body;
    buf_init(&body, 65536);
    int status = (world->answer ? world->answer : world_answer_applied)(world, request, &body);
    struct evhttp_request *pending = request->pending;
    request->pending = NULL;
    evhttp_add_header(evhttp_request_get_output_headers(pending), "Content-Type",
                      "application/json");
    evbuffer_add(evhttp_request_get_output_buffer(pending), body.data, body.size);
    evhttp_send_reply(pending, status, NULL, NULL);
}

static inline void world_on_request(struct evhttp_request *incoming, void *context)
{
    struct world *world = context;
    assert_true(world->count < WORLD_REQUESTS);
    struct world_request *request = &world->requests[world->count++];
    *request = (struct world_request){0};
    struct evkeyvalq *headers = evhttp_request_get_input_headers(incoming);
    struct evbuffer *body = evhttp_request_get_input_buffer(incoming);
    static const char *const methods[] = {[EVHTTP_REQ_GET] = "GET",
                                          [EVHTTP_REQ_POST] = "POST",
                                          [EVHTTP_REQ_PATCH] = "PATCH",
                                          [EVHTTP_REQ_DELETE] = "DELETE"};
    request->method = mem_string(methods[evhttp_request_get_command(incoming)]);
    request->path = mem_string(evhttp_request_get_uri(incoming));
    size_t size = evbuffer_get_length(body);
    request->body = mem_new(size + 1, 1);
    evbuffer_copyout(body, request->body, size);
    request->user = mem_string(evhttp_find_header(headers, "Impersonate-User"));
    request->type = mem_string(evhttp_find_header(headers, "Content-Type"));
    for (struct evkeyval *header = headers->tqh_first; header; header = header->next.tqe_next) {
        if (strncasecmp(header->key, "Impersonate-Extra-", 18) == 0) {
            request->extra = mem_string(header->value);
        }
    }
    request->pending = incoming;
    if (!world->hold) {
        world_reply(world, request);
        return;
    }
    world->held++;
    world->held_most = world->held > world->held_most ? world->held : world->held_most;
}

/* Answers the oldest `count` of the held requests. */
static inline void world_release(struct world *world, unsigned count)
{
    for (unsigned i = 0; i < world->count && count > 0; i++) {
        if (world->requests[i].pending) {
            world_reply(world, &world->requests[i]);
            world->held--;
            count--;
        }
    }
}

/* Runs the loop until the condition holds; the test fails if it does not in WORLD_PATIENCE_MS. */
static inline void world_run_until(struct world *world, bool (*holds)(void *context), void *context)
{
    int64_t deadline = clock_monotonic_ms() + WORLD_PATIENCE_MS;
    while (!holds(context)) {
        if (clock_monotonic_ms() > deadline) {
            fail_msg("the condition did not come true");
        }
        const struct timeval tick = {.tv_usec = 2000};
        event_base_loopexit(world->base, &tick);
        event_base_dispatch(world->base);
    }
}

static inline void world_forget(struct world *world)
{
    for (unsigned i = 0; i < world->count; i++) {
        free(world->requests[i].method);
        free(world->requests[i].path);
        free(world->requests[i].body);
        free(world->requests[i].user);
        free(world->requests[i].extra);
        free(world->requests[i].type);
    }
    world->count = 0;
}

static inline bool world_is_true(void *context)
{
    return *(bool *)context;
}

static inline void world_on_first_answer(const struct kube_response *response, void *context)
{
    (void)response;
    *(bool *)context = true;
}

static inline void world_open(struct world *world)
{
    *world = (struct world){.base = event_base_new()};
    world->http = evhttp_new(world->base);
    evhttp_set_allowed_methods(world->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PATCH |
                                                EVHTTP_REQ_DELETE);
    evhttp_set_gencb(world->http, world_on_request, world);
    struct evhttp_bound_socket *socket =
        evhttp_bind_socket_with_handle(world->http, "127.0.0.1", 0);
    assert_non_null(socket);
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    getsockname(evhttp_bound_socket_get_fd(socket), (struct sockaddr *)&address, &size);
    struct kube_config *config = NEW(struct kube_config);
    config->server = mem_format("http://127.0.0.1:%u", ntohs(address.sin_port));
    config->namespace_ = mem_string("default");
    struct kube_client_options options = {.user_agent = "gitmoor-test", .connections = 100};
    struct error error;
    world->client = kube_client_new(world->base, config, &options, &error);
    if (!world->client) {
        fail_msg("%s", error.message);
    }
    /* Until the first answer, libcurl hopes for HTTP/2 and sends the rest over that connection. */
    struct kube_request first = {.method = KUBE_GET, .path = "/readyz"};
    bool done = false;
    kube_client_call(world->client, &first, world_on_first_answer, &done);
    world_run_until(world, world_is_true, &done);
    world_forget(world);
}

static inline void world_close(struct world *world)
{
    kube_client_free(world->client);
    evhttp_free(world->http);
    event_base_free(world->base);
    world_forget(world);
}

/* Gives what should not come the time in which it would. What is to come is waited for with
 * world_run_until: on a loaded machine, it may take longer than this. */
static inline void world_settle(struct world *world)
{
    for (int i = 0; i < 20; i++) {
        const struct timeval tick = {.tv_usec = 1000};
        event_base_loopexit(world->base, &tick);
        event_base_dispatch(world->base);
    }
}

struct world_goal {
    const struct world *world;
    unsigned held;
};

static inline bool world_holds(void *context)
{
    const struct world_goal *goal = context;
    return goal->world->held >= goal->held;
}

/* Runs the loop until so many requests are held; the test fails if there are more. */
static inline void world_run_until_held(struct world *world, unsigned held)
{
    struct world_goal goal = {world, held};
    world_run_until(world, world_holds, &goal);
    world_settle(world);
    assert_int_equal(world->held, held);
}

#endif
