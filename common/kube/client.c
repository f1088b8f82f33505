/* The client itself: its life, where its requests go, and waiting for an answer. Calls are in
 * call.c. See client.h. */
#include "common/kube/client.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/internal.h"

#include <event2/event.h>
#include <string.h>

#define RESPONSE_MAXIMUM (64U << 20)

void kube_client_hold(struct kube_client *client)
{
    client->holds++;
}

static void client_destroy(struct kube_client *client)
{
    kube_calls_forget(client);
    kube_http_free(client->calls);
    kube_http_free(client->watches);
    kube_headers_release(&client->headers);
    curl_slist_free_all(client->connect_to);
    kube_config_free(client->config);
    free(client->origin);
    free(client->user_agent);
    free(client);
    curl_global_cleanup();
}

void kube_client_release(struct kube_client *client)
{
    if (--client->holds == 0 && client->closed) {
        client_destroy(client);
    }
}

static bool check_config(const struct kube_config *config, struct error *error)
{
    if (text_is_empty(config->server)) {
        return error_set(error, ERROR_INVALID, "no API server is configured");
    }
    if (text_has_prefix(config->server, "https://")) {
        return true;
    }
    if (!text_has_prefix(config->server, "http://")) {
        return error_set(error, ERROR_INVALID,
                         "the API server's address \"%.200s\" is neither https:// nor http://",
                         config->server);
    }
    if (config->token || config->token_file) {
        return error_set(error, ERROR_INVALID,
                         "the API server's address %.200s is not https: the bearer token would "
                         "travel in the clear, and is not sent",
                         config->server);
    }
    return true;
}

/* Where requests go: the server itself or, with a tls_server_name, that name (which TLS then
 * verifies) while the connection is made to the server. */
static bool set_origin(struct kube_client *client, struct error *error)
{
    const char *name = client->config->tls_server_name;
    client->origin = mem_string(client->config->server);
    if (text_is_empty(name)) {
        return true;
    }
    CURLU *url = curl_url();
    char *host = NULL;
    char *port = NULL;
    char *changed = NULL;
    bool good = url && curl_url_set(url, CURLUPART_URL, client->origin, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_set(url, CURLUPART_HOST, name, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_URL, &changed, 0) == CURLUE_OK;
    if (good) {
        AUTO_FREE char *line = mem_format("::%s:%s", host, port);
        client->connect_to = curl_slist_append(NULL, line);
        free(client->origin);
        client->origin = mem_string(changed);
        size_t size = strlen(client->origin);
        if (size && client->origin[size - 1] == '/') {
            client->origin[size - 1] = '\0';
        }
    }
    curl_free(host);
    curl_free(port);
    curl_free(changed);
    curl_url_cleanup(url);
    return good || error_set(error, ERROR_INVALID,
                             "the API server's address %.200s with tls-server-name %.200s makes "
                             "no URL",
                             client->config->server, name);
}

struct kube_client *kube_client_new(struct event_base *base, struct kube_config *config,
                                    const struct kube_client_options *options, struct error *error)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        kube_config_free(config);
        error_set(error, ERROR_INTERNAL, "libcurl cannot be initialised");
        return NULL;
    }
    struct kube_client *client = NEW(struct kube_client);
    client->base = base;
    client->config = config;
    client->user_agent =
        mem_string(options->user_agent ? options->user_agent : "gitmoor/" GITMOOR_VERSION);
    client->response_maximum =
        options->response_maximum ? options->response_maximum : RESPONSE_MAXIMUM;
    TAILQ_INIT(&client->active);
    TAILQ_INIT(&client->idle);
    client->calls = kube_http_new(base, client);
    client->watches = kube_http_new(base, client);
    kube_http_limit(client->calls, options->connections ? options->connections : 1);
    if (!check_config(config, error) || !set_origin(client, error) ||
        !kube_headers_init(&client->headers, config, error)) {
        client_destroy(client);
        return NULL;
    }
    return client;
}

void kube_client_free(struct kube_client *client)
{
    if (!client || client->closed) {
        return;
    }
    kube_calls_abandon(client);
    kube_client_hold(client);
    client->closed = true;
    kube_client_release(client);
}

const struct kube_config *kube_client_config(const struct kube_client *client)
{
    return client->config;
}

const struct kube_client_stats *kube_client_stats(const struct kube_client *client)
{
    return &client->stats;
}

/* ---- For programs without a loop ---- */

struct wait {
    bool done;
    bool ok;
    cJSON *body;
    struct error *error;
};

static void on_waited(const struct kube_response *response, void *context)
{
    struct wait *wait = context;
    wait->done = true;
    wait->ok = response->ok;
    if (!response->ok) {
        if (wait->error) {
            *wait->error = response->error;
        }
    } else if (response->size) {
        const char *lost;
        wait->ok = json_parse_forgiving(response->body, response->size, NULL, &wait->body, &lost,
                                        wait->error) ||
                   error_prefix(wait->error, "the API server's answer");
    }
}

bool kube_client_call_wait(struct kube_client *client, const struct kube_request *request,
                           cJSON **ret, struct error *error)
{
    struct wait wait = {.error = error};
    struct kube_call *call = kube_client_call(client, request, on_waited, &wait);
    while (!wait.done) {
        if (event_base_loop(client->base, EVLOOP_ONCE) != 0 && !wait.done) {
            kube_call_cancel(call);
            return error_set(error, ERROR_INTERNAL,
                             "%s: waiting for an answer from within the event loop", request->path);
        }
    }
    if (wait.ok && ret) {
        *ret = wait.body;
    } else {
        json_free(wait.body);
    }
    return wait.ok;
}
