/* An API server that follows a script, in the event loop of the test: HTTP/1.1 without TLS. */
#ifndef GITMOOR_TESTS_KUBE_SERVER_H
#define GITMOOR_TESTS_KUBE_SERVER_H

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/kube/client.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

struct step {
    const char *expect; /* the request's URI contains it; "+" before it: the request may come again,
                         * and is answered so, until the next step comes */
    int status;
    const char *body;
    bool stay; /* the answer does not end: a watch */
};

struct server {
    struct event_base *base;
    struct evhttp *http;
    unsigned port;
    const struct step *steps;           /* ends with {0} */
    struct evhttp_request *staying[16]; /* ours until we end them */
    size_t staying_count;
    unsigned served;
    struct kube_client *client;
};

static inline bool server_is_step(const struct step *step, const char *uri)
{
    return step->expect && strstr(uri, step->expect + (*step->expect == '+'));
}

/* The step that the request is; the next one, as a rule. */
static inline const struct step *server_step(struct server *server, const char *uri)
{
    const struct step *step = &server->steps[server->served];
    if (server_is_step(step, uri)) {
        server->served++;
        return step;
    }
    const struct step *before = server->served > 0 ? step - 1 : NULL;
    if (before && *before->expect == '+' && server_is_step(before, uri)) {
        return before;
    }
    fail_msg("request %u is %s, expected %s", server->served, uri,
             step->expect ? step->expect : "none");
    return NULL;
}

static void server_answer(struct evhttp_request *request, void *context)
{
    struct server *server = context;
    const struct step *step = server_step(server, evhttp_request_get_uri(request));
    struct evbuffer *body = evbuffer_new();
    evbuffer_add(body, step->body, strlen(step->body));
    if (step->stay) {
        server->staying[server->staying_count++] = request;
        evhttp_send_reply_start(request, step->status, "Scripted");
        evhttp_send_reply_chunk(request, body);
    } else {
        evhttp_send_reply(request, step->status, "Scripted", body);
    }
    evbuffer_free(body);
}

static inline void server_start(struct server *server, const struct step *steps)
{
    struct kube_client_options options = {0};
    struct kube_config *config = NEW(struct kube_config);
    struct error error;
    *server = (struct server){.base = event_base_new(), .steps = steps};
    server->http = evhttp_new(server->base);
    evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                                 EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE);
    evhttp_set_gencb(server->http, server_answer, server);
    struct evhttp_bound_socket *bound =
        evhttp_bind_socket_with_handle(server->http, "127.0.0.1", 0);
    assert_non_null(bound);
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &size);
    server->port = ntohs(address.sin_port);
    config->server = mem_format("http://127.0.0.1:%u", server->port);
    server->client = kube_client_new(server->base, config, &options, &error);
    assert_non_null(server->client);
}

/* Runs the loop until `done` is true; fails after a minute: a machine may have much else to do. */
static inline void server_run(struct server *server, const bool *done)
{
    int64_t end = clock_monotonic_ms() + 60000;
    struct timeval tick = {0, 10000};
    while (!*done) {
        assert_true(clock_monotonic_ms() < end);
        event_base_loopexit(server->base, &tick);
        event_base_dispatch(server->base);
    }
}

static inline void server_stop(struct server *server)
{
    if (server->steps[server->served].expect) {
        fail_msg("the request %s did not come", server->steps[server->served].expect);
    }
    kube_client_free(server->client);
    event_base_loop(server->base, EVLOOP_NONBLOCK);
    for (size_t i = 0; i < server->staying_count; i++) {
        evhttp_send_reply_end(server->staying[i]);
    }
    evhttp_free(server->http);
    event_base_free(server->base);
}

#endif
