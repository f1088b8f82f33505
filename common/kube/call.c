/* Calls: one request and its answer, sent again where that is right. See client.h.
 *
 * A kube_call lives on one of two lists of the client: active (from kube_client_call until its
 * callback is about to run, or it is cancelled) or idle (finished, kept with its easy handle and
 * buffers so that the next call costs no set-up). While its callback runs it is on neither. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/client.h"
#include "common/kube/internal.h"

#include <event2/event.h>
#include <event2/util.h>
#include <string.h>

#define TIMEOUT_MS 30000 /* of a call that names none: the API server allows 60 s */
#define URL_MAXIMUM 65536
#define BODY_MAXIMUM (16U << 20) /* the API server refuses more than 3 MiB */
#define STATUS_MAXIMUM (1U << 20)
#define BACKOFF_FIRST_MS 50
#define BACKOFF_LAST_MS 5000
#define SERVER_ERROR_TRIES 2       /* a 500 may be for good, unlike a 503 */
#define IDLE_MAXIMUM 32            /* calls kept */
#define KEPT_CAPACITY (256U << 10) /* bytes that an empty buffer may keep */
#define MANY_CONNECTIONS 16        /* to a server without HTTP/2 */
/* A question is asked again when no more of its answer has come for so long, then for twice that.
 * Of lists of 30 to 100 KB side by side on one HTTP/2 connection, libcurl 7.88 leaves one in five
 * hundred without its end, though the server has sent all: measured with tests/kube/kube_probe.c.
 * A differ that started waited a minute for it. */
#define SILENCE_MS 3000

enum call_state { CALL_IDLE, CALL_RUNNING, CALL_WAITING, CALL_REFUSED };

struct kube_call {
    struct kube_transfer transfer; /* first: a transfer of this file is a call */
    struct kube_client *client;
    TAILQ_ENTRY(kube_call) entry;
    enum call_state state;
    struct event *timer; /* the deadline while it runs, else the next try */
    kube_response_fn done;
    void (*abandoned)(void *context); /* or NULL: see kube_call_on_abandon */
    void *context;
    enum kube_method method;
    bool no_retry;
    bool token_retried;
    unsigned tries;
    unsigned server_errors;
    int64_t timeout_ms;
    int64_t deadline;   /* monotonic */
    int64_t silence_ms; /* after which it is asked again */
    size_t seen;        /* of the answer, when the timer was set */
    struct buf url;
    struct kube_header_set *headers;
    const void *body; /* the caller's, or copy.data */
    size_t body_size;
    struct buf copy;
    struct buf answer;
    struct error *refusal;
    char detail[CURL_ERROR_SIZE];
};

static const char *const method_names[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    struct kube_call *call = context;
    (void)one;
    return buf_append(&call->answer, data, size) ? size : 0;
}

static void on_transfer_done(struct kube_transfer *transfer, CURLcode result);
static void on_timer(evutil_socket_t fd, short what, void *context);

static struct kube_call *call_new(struct kube_client *client)
{
    struct kube_call *call = TAILQ_FIRST(&client->idle);
    if (call) {
        TAILQ_REMOVE(&client->idle, call, entry);
        client->idle_count--;
        return call;
    }
    call = NEW(struct kube_call);
    call->client = client;
    call->timer = evtimer_new(client->base, on_timer, call);
    buf_init(&call->url, URL_MAXIMUM);
    buf_init(&call->copy, BODY_MAXIMUM);
    buf_init(&call->answer, client->response_maximum);
    call->transfer.done = on_transfer_done;
    call->transfer.easy = kube_http_easy(client);
    curl_easy_setopt(call->transfer.easy, CURLOPT_ERRORBUFFER, call->detail);
    curl_easy_setopt(call->transfer.easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(call->transfer.easy, CURLOPT_WRITEDATA, call);
    return call;
}

static void call_free(struct kube_call *call)
{
    curl_easy_cleanup(call->transfer.easy);
    event_free(call->timer);
    buf_release(&call->url);
    buf_release(&call->copy);
    buf_release(&call->answer);
    free(call->refusal);
    free(call);
}

/* Takes the call off the active list and stops whatever it does. */
static void call_detach(struct kube_call *call)
{
    struct kube_client *client = call->client;
    kube_http_stop(client->calls, &call->transfer);
    evtimer_del(call->timer);
    if (call->headers) {
        kube_headers_put(call->headers);
        call->headers = NULL;
    }
    call->state = CALL_IDLE;
    TAILQ_REMOVE(&client->active, call, entry);
    client->stats.in_flight--;
}

void kube_buf_trim(struct buf *buf)
{
    if (buf->capacity > KEPT_CAPACITY) {
        size_t maximum = buf->maximum;
        buf_release(buf);
        buf_init(buf, maximum);
    } else {
        buf_clear(buf);
    }
}

static void call_recycle(struct kube_call *call)
{
    struct kube_client *client = call->client;
    if (client->closed || client->idle_count >= IDLE_MAXIMUM) {
        call_free(call);
        return;
    }
    kube_buf_trim(&call->copy);
    kube_buf_trim(&call->answer);
    free(call->refusal);
    call->refusal = NULL;
    TAILQ_INSERT_HEAD(&client->idle, call, entry);
    client->idle_count++;
}

void kube_calls_abandon(struct kube_client *client)
{
    struct kube_call *call;
    while ((call = TAILQ_FIRST(&client->active)) != NULL) {
        call_detach(call);
        if (call->abandoned) {
            call->abandoned(call->context);
        }
        call_free(call);
    }
}

void kube_calls_forget(struct kube_client *client)
{
    struct kube_call *call;
    while ((call = TAILQ_FIRST(&client->idle)) != NULL) {
        TAILQ_REMOVE(&client->idle, call, entry);
        call_free(call);
    }
}

static void call_finish(struct kube_call *call, const struct kube_response *response)
{
    struct kube_client *client = call->client;
    call_detach(call);
    kube_client_hold(client);
    call->done(response, call->context);
    call_recycle(call);
    kube_client_release(client);
}

static void set_timer(struct kube_call *call, int64_t milliseconds)
{
    struct timeval timeout = {milliseconds / 1000, (milliseconds % 1000) * 1000};
    evtimer_add(call->timer, &timeout);
}

/* While it runs: until its deadline, or until it has been silent for too long. */
static void set_running_timer(struct kube_call *call)
{
    int64_t left = call->deadline - clock_monotonic_ms();
    call->seen = call->answer.size;
    if (call->method == KUBE_GET && left > call->silence_ms) {
        left = call->silence_ms;
    }
    set_timer(call, left > 0 ? left : 0);
}

static void call_send(struct kube_call *call)
{
    struct kube_client *client = call->client;
    CURL *easy = call->transfer.easy;
    buf_clear(&call->answer);
    call->detail[0] = '\0';
    call->state = CALL_RUNNING;
    call->tries++;
    client->stats.requests++;
    kube_headers_refresh(&client->headers, false);
    curl_easy_setopt(easy, CURLOPT_URL, call->url.data);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers->list);
    if (call->body || call->method == KUBE_POST || call->method == KUBE_PUT ||
        call->method == KUBE_PATCH) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body ? call->body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_size);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST,
                     call->method == KUBE_GET ? NULL : method_names[call->method]);
    set_running_timer(call);
    kube_http_start(client->calls, &call->transfer);
}

/* How long to wait before try number `tries` + 1: exponential, between half and the whole. */
static int64_t backoff(unsigned tries)
{
    uint16_t random;
    int64_t most = tries > 7 ? BACKOFF_LAST_MS : (int64_t)BACKOFF_FIRST_MS << tries;
    evutil_secure_rng_get_bytes(&random, sizeof(random));
    most = most > BACKOFF_LAST_MS ? BACKOFF_LAST_MS : most;
    return most / 2 + random % (most / 2);
}

/* The request did not get as far as the server's handlers, or was refused by the one that guards
 * them: it may be repeated whatever it is. */
static bool is_untouched(CURLcode result, int status)
{
    return status == 429 || result == CURLE_COULDNT_CONNECT ||
           result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_COULDNT_RESOLVE_PROXY ||
           result == CURLE_SSL_CONNECT_ERROR;
}

/* It will not get better by itself soon. */
static bool is_hopeless(CURLcode result)
{
    return result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CERTPROBLEM ||
           result == CURLE_SSL_CACERT_BADFILE || result == CURLE_SSL_CIPHER ||
           result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL ||
           result == CURLE_WRITE_ERROR;
}

/* Milliseconds until the next try, or -1: no other try. */
static int64_t next_try(struct kube_call *call, CURLcode result, int status)
{
    curl_off_t retry_after = 0;
    if (call->no_retry) {
        return -1;
    }
    if (status == 401 && !call->token_retried) {
        call->token_retried = true;
        return kube_headers_refresh(&call->client->headers, true) ? 0 : -1;
    }
    bool transient = result != CURLE_OK
                         ? !is_hopeless(result)
                         : status == 429 || status == 502 || status == 503 || status == 504 ||
                               (status == 500 && call->server_errors++ < SERVER_ERROR_TRIES);
    if (!transient || (call->method == KUBE_POST && !is_untouched(result, status))) {
        return -1;
    }
    curl_easy_getinfo(call->transfer.easy, CURLINFO_RETRY_AFTER, &retry_after);
    int64_t delay =
        result == CURLE_OK && retry_after > 0 ? (int64_t)retry_after * 1000 : backoff(call->tries);
    return delay < call->deadline - clock_monotonic_ms() ? delay : -1;
}

static const char *call_path(const struct kube_call *call)
{
    size_t origin = strlen(call->client->origin);
    return call->url.size > origin ? call->url.data + origin : call->url.data;
}

static void fail_status(struct kube_call *call, struct kube_response *response, char reason[64])
{
    AUTO_JSON cJSON *status = NULL;
    struct json_limits limits = {STATUS_MAXIMUM, 32, 10000};
    json_parse(call->answer.data, call->answer.size, &limits, &status, NULL);
    kube_status_to_error(response->status, status, &response->error, reason);
    if (!json_string(status, "message")) {
        int shown = (int)(call->answer.size < 200 ? call->answer.size : 200);
        bool good = text_is_utf8(call->answer.data, (size_t)shown);
        error_prefix(&response->error, "%s %s", method_names[call->method], call_path(call));
        if (shown && good) {
            struct error answer = response->error;
            error_set(&response->error, answer.code, "%s: %.*s", answer.message, shown,
                      call->answer.data);
            response->error.retryable = answer.retryable;
        }
    }
}

static void call_answer(struct kube_call *call, CURLcode result, int status)
{
    struct kube_response response;
    char reason[64] = "";
    response.status = result == CURLE_OK ? status : 0;
    response.body = call->answer.data;
    response.size = call->answer.size;
    response.ok = response.status >= 200 && response.status < 300;
    response.reason = reason;
    response.retry_after_ms = 0;
    error_clear(&response.error);
    if (call->answer.overflowed) {
        error_set(&response.error, ERROR_LIMIT, "%s %s: the answer is over the limit of %zu bytes",
                  method_names[call->method], call_path(call), call->answer.maximum);
    } else if (result != CURLE_OK) {
        kube_transfer_error(call->client, method_names[call->method], call_path(call), result,
                            call->detail, &response.error);
        response.error.retryable = !is_hopeless(result);
    } else if (!response.ok) {
        curl_off_t retry_after = 0;
        curl_easy_getinfo(call->transfer.easy, CURLINFO_RETRY_AFTER, &retry_after);
        response.retry_after_ms = (int64_t)retry_after * 1000;
        fail_status(call, &response, reason);
    }
    call_finish(call, &response);
}

static void note_version(struct kube_client *client, CURL *easy)
{
    long version = 0;
    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    if (version == CURL_HTTP_VERSION_1_1 || version == CURL_HTTP_VERSION_1_0) {
        client->many = true; /* one call at a time on each connection */
        kube_http_limit(client->calls, MANY_CONNECTIONS);
    }
}

static void on_transfer_done(struct kube_transfer *transfer, CURLcode result)
{
    struct kube_call *call = (struct kube_call *)transfer;
    struct kube_client *client = call->client;
    long status = 0;
    if (result == CURLE_OK) {
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        if (!client->many) {
            note_version(client, transfer->easy);
        }
        if (status >= 200 && status < 300) {
            call_answer(call, result, (int)status);
            return;
        }
    }
    if (status == 429 || status == 503 || result == CURLE_OPERATION_TIMEDOUT) {
        client->stats.congested++;
    }
    int64_t delay = next_try(call, result, (int)status);
    if (delay < 0) {
        call_answer(call, result, (int)status);
        return;
    }
    client->stats.retries++;
    call->state = CALL_WAITING;
    set_timer(call, delay);
}

static void call_deadline(struct kube_call *call)
{
    struct kube_response response = {.body = "", .reason = ""};
    call->client->stats.congested++;
    error_set(&response.error, ERROR_TIMEOUT,
              "%s %s%s: no answer within %lld.%01lld s, tried %u time%s; is the API server "
              "overloaded or out of reach?",
              method_names[call->method], call->client->origin, call_path(call),
              (long long)(call->timeout_ms / 1000), (long long)(call->timeout_ms % 1000 / 100),
              call->tries, call->tries == 1 ? "" : "s");
    response.error.retryable = true;
    call_finish(call, &response);
}

static void call_is_silent(struct kube_call *call)
{
    if (clock_monotonic_ms() >= call->deadline) {
        call_deadline(call);
        return;
    }
    if (call->answer.size > call->seen) {
        set_running_timer(call);
        return;
    }
    call->silence_ms *= 2;
    call->client->stats.retries++;
    kube_http_stop(call->client->calls, &call->transfer);
    call_send(call);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct kube_call *call = context;
    (void)fd;
    (void)what;
    if (call->state == CALL_WAITING) {
        call_send(call);
    } else if (call->state == CALL_REFUSED) {
        struct kube_response response = {.body = "", .reason = "", .error = *call->refusal};
        call_finish(call, &response);
    } else if (call->state == CALL_RUNNING) {
        call_is_silent(call);
    }
}

/* What a request line can carry as it stands: kube_resource_path encodes the rest. */
static bool is_path(const char *path)
{
    if (!path || *path != '/') {
        return false;
    }
    for (const unsigned char *c = (const unsigned char *)path; *c; c++) {
        if (*c <= ' ' || *c >= 0x7f || *c == '#') {
            return false;
        }
    }
    return true;
}

static bool prepare(struct kube_call *call, const struct kube_request *request, struct error *error)
{
    buf_clear(&call->url);
    if (!is_path(request->path)) {
        return error_set(error, ERROR_INVALID, "\"%.200s\" is not the path of a request",
                         text_or_empty(request->path));
    }
    kube_client_url(call->client, request->path, &call->url);
    if (call->url.overflowed) {
        return error_set(error, ERROR_LIMIT, "the path %.100s… is over the limit of %d bytes",
                         request->path, URL_MAXIMUM);
    }
    call->body = request->body;
    call->body_size = request->body ? request->body_size : 0;
    if (request->body && !request->body_is_static) {
        buf_clear(&call->copy);
        if (!buf_append(&call->copy, request->body, request->body_size)) {
            return error_set(error, ERROR_LIMIT,
                             "%s %.500s: the body is over the limit of %u bytes",
                             method_names[request->method], request->path, BODY_MAXIMUM);
        }
        call->body = call->copy.data;
    }
    return kube_headers_get(&call->client->headers, request, &call->headers, error);
}

struct kube_call *kube_client_call(struct kube_client *client, const struct kube_request *request,
                                   kube_response_fn done, void *context)
{
    struct kube_call *call = call_new(client);
    struct error error;
    call->done = done;
    call->context = context;
    call->abandoned = NULL;
    call->method = request->method;
    call->no_retry = request->no_retry;
    call->token_retried = false;
    call->tries = 0;
    call->server_errors = 0;
    call->timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_MS;
    call->deadline = clock_monotonic_ms() + call->timeout_ms;
    call->silence_ms = SILENCE_MS;
    TAILQ_INSERT_TAIL(&client->active, call, entry);
    client->stats.in_flight++;
    if (prepare(call, request, &error)) {
        call_send(call);
        return call;
    }
    call->refusal = NEW(struct error);
    *call->refusal = error;
    call->state = CALL_REFUSED;
    set_timer(call, 0); /* not from within this function */
    return call;
}

void kube_call_on_abandon(struct kube_call *call, void (*abandoned)(void *context))
{
    call->abandoned = abandoned;
}

void kube_call_cancel(struct kube_call *call)
{
    if (call && call->state != CALL_IDLE) {
        call_detach(call);
        call_recycle(call);
    }
}
