/* Unit tests of common/kube/client.c: what callbacks may do. What calls do on the wire is tested
 * against a real API server, in tests/e2e/test_kube.py. */
#include "common/kube/resource.h"
#include "kube_server.h"

#define CALLS 8

struct seen {
    struct server *server;
    struct kube_call *calls[CALLS];
    unsigned answers;
    bool done;
    bool ok;
    int status;
    enum error_code code;
};

static void on_answer(const struct kube_response *response, void *context)
{
    struct seen *seen = context;
    seen->answers++;
    seen->done = true;
    seen->ok = response->ok;
    seen->status = response->status;
    seen->code = response->error.code;
}

static struct kube_call *get(struct seen *seen, const char *path, kube_response_fn done)
{
    struct kube_request request = {.path = path};
    return kube_client_call(seen->server->client, &request, done, seen);
}

static void test_a_call_that_cannot_be_sent_is_answered_later(void **state)
{
    (void)state;
    static const char *const paths[] = {NULL,        "",    "x", "/a b", "/a\r\nHost: x",
                                        "/\xc3\xa9", "/a#b"};
    static const struct step steps[] = {{0}};
    struct server server;
    server_start(&server, steps);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct seen seen = {.server = &server};
        get(&seen, paths[i], on_answer);
        assert_false(seen.done);
        server_run(&server, &seen.done);
        assert_int_equal(seen.code, ERROR_INVALID);
        assert_int_equal(seen.status, 0);
    }
    assert_int_equal(kube_client_stats(server.client)->requests, 0);
    assert_int_equal(kube_client_stats(server.client)->in_flight, 0);
    server_stop(&server);
}

/* The first answer cancels all other calls, those that are answered already as well. */
static void on_answer_cancel(const struct kube_response *response, void *context)
{
    struct seen *seen = context;
    on_answer(response, context);
    for (size_t i = 1; i < CALLS; i++) {
        kube_call_cancel(seen->calls[i]);
    }
    kube_call_cancel(seen->calls[0]); /* itself: harmless */
}

static void test_a_callback_may_cancel_other_calls(void **state)
{
    (void)state;
    static const struct step steps[] = {{"/0", 200, "{}", false}, {"/last", 200, "{}", false}, {0}};
    struct server server;
    server_start(&server, steps);
    struct seen seen = {.server = &server};
    struct seen last = {.server = &server};
    for (size_t i = 0; i < CALLS; i++) {
        AUTO_FREE char *path = mem_format("/%zu", i);
        seen.calls[i] = get(&seen, path, i == 0 ? on_answer_cancel : on_answer);
    }
    server_run(&server, &seen.done);
    get(&last, "/last", on_answer);
    server_run(&server, &last.done);
    assert_true(last.ok);
    assert_int_equal(seen.answers, 1);
    assert_int_equal(kube_client_stats(server.client)->in_flight, 0);
    server_stop(&server);
}

static void on_answer_free(const struct kube_response *response, void *context)
{
    struct seen *seen = context;
    on_answer(response, context);
    kube_client_free(seen->server->client);
    assert_true(response->size == 0 || response->body[0] == '{'); /* valid to the end */
}

static void test_a_callback_may_free_the_client(void **state)
{
    (void)state;
    static const struct step steps[] = {{"/0", 200, "{}", false}, {0}};
    for (int refused = 0; refused < 2; refused++) {
        struct server server;
        server_start(&server, refused ? steps + 1 : steps);
        struct seen seen = {.server = &server};
        get(&seen, refused ? "no path" : "/0", on_answer_free);
        get(&seen, "/1", on_answer);
        if (refused) {
            get(&seen, "no path either", on_answer);
        }
        server_run(&server, &seen.done);
        assert_int_equal(seen.answers, 1);
        server.client = NULL;
        server_stop(&server);
    }
}

static void on_answer_call_again(const struct kube_response *response, void *context)
{
    struct seen *seen = context;
    on_answer(response, context);
    seen->done = false;
    get(seen, "/again", on_answer);
}

static void test_a_callback_may_start_a_call(void **state)
{
    (void)state;
    static const struct step steps[] = {{"/first", 503, "{}", false},
                                        {"/first", 200, "{}", false},
                                        {"/again", 200, "{}", false},
                                        {0}};
    struct server server;
    server_start(&server, steps);
    struct seen seen = {.server = &server};
    get(&seen, "/first", on_answer_call_again);
    server_run(&server, &seen.done);
    assert_int_equal(seen.answers, 2);
    assert_int_equal(kube_client_stats(server.client)->congested, 1);
    server_stop(&server);
}

static void test_a_call_may_be_cancelled_before_it_is_sent_and_while_it_waits(void **state)
{
    (void)state;
    static const struct step steps[] = {{"/x", 503, "{}", false}, {0}};
    struct server server;
    server_start(&server, steps);
    struct seen seen = {.server = &server};
    kube_call_cancel(get(&seen, "/x", on_answer));
    struct kube_call *call = get(&seen, "/x", on_answer);
    bool *retried = &seen.done;
    while (kube_client_stats(server.client)->retries == 0) {
        event_base_loop(server.base, EVLOOP_ONCE);
    }
    kube_call_cancel(call);
    assert_false(*retried);
    kube_call_cancel(NULL);
    server_stop(&server);
}

static void test_the_waiting_call(void **state)
{
    (void)state;
    static const struct step steps[] = {{"/a", 200, "{\"a\":1}", false},
                                        {"/b", 200, "", false},
                                        {"/c", 200, "no JSON", false},
                                        {"/d", 404, "{\"message\":\"gone\"}", false},
                                        {0}};
    static const struct {
        const char *path;
        bool ok;
        const char *message;
    } cases[] = {{"/a", true, ""},
                 {"/b", true, ""},
                 {"/c", false, "the API server's answer"},
                 {"/d", false, "gone"}};
    struct server server;
    server_start(&server, steps);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kube_request request = {.path = cases[i].path};
        struct error error = {0};
        AUTO_JSON cJSON *body = NULL;
        assert_int_equal(kube_client_call_wait(server.client, &request, &body, &error),
                         cases[i].ok);
        assert_non_null(strstr(error.message, cases[i].message));
        assert_int_equal(json_int(body, "a", 0), i == 0);
    }
    server_stop(&server);
}

static void on_answer_wait(const struct kube_response *response, void *context)
{
    struct seen *seen = context;
    struct kube_request request = {.path = "/b"};
    struct kube_discovery *discovery = NULL;
    struct error error;
    on_answer(response, context);
    assert_false(kube_client_call_wait(seen->server->client, &request, NULL, &error));
    assert_non_null(strstr(error.message, "from within the event loop"));
    assert_false(kube_discovery_load_wait(seen->server->client, &discovery, &error));
}

static void test_waiting_within_the_loop_is_refused(void **state)
{
    (void)state;
    static const struct step steps[] = {{"/a", 200, "{}", false},
                                        {"/api", 404, "{}", false},
                                        {"/apis", 404, "{}", false},
                                        {"/last", 200, "{}", false},
                                        {0}};
    struct server server;
    server_start(&server, steps);
    struct seen seen = {.server = &server};
    struct seen last = {.server = &server};
    get(&seen, "/a", on_answer_wait);
    server_run(&server, &seen.done);
    while (kube_client_stats(server.client)->in_flight) {
        event_base_loop(server.base, EVLOOP_ONCE);
    }
    get(&last, "/last", on_answer);
    server_run(&server, &last.done);
    server_stop(&server);
}

static void test_configs_that_cannot_work(void **state)
{
    (void)state;
    static const struct {
        const char *server, *token, *message;
    } cases[] = {
        {NULL, NULL, "no API server is configured"},
        {"ftp://h", NULL, "neither https:// nor http://"},
        {"http://h", "secret", "would travel in the clear"},
    };
    struct event_base *base = event_base_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kube_client_options options = {0};
        struct kube_config *config = NEW(struct kube_config);
        struct error error;
        config->server = mem_string(cases[i].server);
        config->token = mem_string(cases[i].token);
        assert_null(kube_client_new(base, config, &options, &error));
        assert_non_null(strstr(error.message, cases[i].message));
    }
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_that_cannot_be_sent_is_answered_later),
        cmocka_unit_test(test_a_callback_may_cancel_other_calls),
        cmocka_unit_test(test_a_callback_may_free_the_client),
        cmocka_unit_test(test_a_callback_may_start_a_call),
        cmocka_unit_test(test_a_call_may_be_cancelled_before_it_is_sent_and_while_it_waits),
        cmocka_unit_test(test_the_waiting_call),
        cmocka_unit_test(test_waiting_within_the_loop_is_refused),
        cmocka_unit_test(test_configs_that_cannot_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
