/* The multi handle in the event loop: libcurl says which sockets and which timeout it waits for,
 * libevent tells it what happened. See http.h. */
#include "common/kube/http.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/internal.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* libcurl keeps this much for each handle that has ever sent a body; 64 KiB by default. */
#define UPLOAD_BUFFER 16384L

TAILQ_HEAD(kube_transfer_list, kube_transfer);

struct kube_http {
    struct event_base *base;
    struct kube_client *client;
    CURLM *multi;
    struct event *timer;
    struct kube_transfer_list marked;
};

/* One of libcurl's sockets. Two events, since HTTP/2 asks for writing now and then but always for
 * reading: only the one that changes costs a system call. */
struct http_socket {
    struct kube_http *http;
    struct event *read;
    struct event *write;
    bool reading;
    bool writing;
};

static void deliver_data(struct kube_http *http)
{
    struct kube_transfer *transfer;
    while (!http->client->closed && (transfer = TAILQ_FIRST(&http->marked)) != NULL) {
        TAILQ_REMOVE(&http->marked, transfer, entry);
        transfer->marked = false;
        transfer->data(transfer);
    }
}

static void deliver_done(struct kube_http *http)
{
    int left = 0;
    CURLMsg *message;
    while (!http->client->closed && (message = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        struct kube_transfer *transfer = NULL;
        CURLcode result = message->data.result; /* the message goes with the handle */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        kube_http_stop(http, transfer);
        transfer->done(transfer, result);
    }
}

static void act(struct kube_http *http, curl_socket_t fd, int what)
{
    struct kube_client *client = http->client;
    int running = 0;
    kube_client_hold(client);
    curl_multi_socket_action(http->multi, fd, what, &running);
    deliver_data(http);
    deliver_done(http);
    kube_client_release(client); /* may free `http` */
}

static void on_socket_event(evutil_socket_t fd, short what, void *context)
{
    struct http_socket *socket = context;
    act(socket->http, fd,
        ((what & EV_READ) ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    act(context, CURL_SOCKET_TIMEOUT, 0);
}

static void socket_free(struct http_socket *socket)
{
    event_free(socket->read);
    event_free(socket->write);
    free(socket);
}

static void socket_want(struct event *event, bool *has, bool want)
{
    if (*has == want) {
        return;
    }
    *has = want;
    if (want) {
        event_add(event, NULL);
    } else {
        event_del(event);
    }
}

static int socket_changed(CURL *easy, curl_socket_t fd, int what, void *context, void *own)
{
    struct kube_http *http = context;
    struct http_socket *socket = own;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket) {
            curl_multi_assign(http->multi, fd, NULL);
            socket_free(socket);
        }
        return 0;
    }
    if (!socket) {
        socket = NEW(struct http_socket);
        socket->http = http;
        socket->read = event_new(http->base, fd, EV_READ | EV_PERSIST, on_socket_event, socket);
        socket->write = event_new(http->base, fd, EV_WRITE | EV_PERSIST, on_socket_event, socket);
        curl_multi_assign(http->multi, fd, socket);
    }
    socket_want(socket->read, &socket->reading, (what & CURL_POLL_IN) != 0);
    socket_want(socket->write, &socket->writing, (what & CURL_POLL_OUT) != 0);
    return 0;
}

static int timeout_changed(CURLM *multi, long timeout_ms, void *context)
{
    struct kube_http *http = context;
    (void)multi;
    if (timeout_ms < 0) {
        evtimer_del(http->timer);
    } else if (timeout_ms == 0) {
        event_active(http->timer, EV_TIMEOUT, 0);
    } else {
        struct timeval timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};
        evtimer_add(http->timer, &timeout);
    }
    return 0;
}

struct kube_http *kube_http_new(struct event_base *base, struct kube_client *client)
{
    struct kube_http *http = NEW(struct kube_http);
    http->base = base;
    http->client = client;
    http->multi = curl_multi_init();
    http->timer = evtimer_new(base, on_timer, http);
    TAILQ_INIT(&http->marked);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, socket_changed);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, timeout_changed);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    /* What the server allows decides: kube-apiserver says 100 or more. */
    curl_multi_setopt(http->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, 1000L);
    return http;
}

void kube_http_free(struct kube_http *http)
{
    if (!http) {
        return;
    }
    curl_multi_cleanup(http->multi); /* reports each socket as removed */
    event_free(http->timer);
    free(http);
}

void kube_http_limit(struct kube_http *http, unsigned connections)
{
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)connections);
}

void kube_http_start(struct kube_http *http, struct kube_transfer *transfer)
{
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    transfer->running = true;
    curl_multi_add_handle(http->multi, transfer->easy);
}

void kube_http_stop(struct kube_http *http, struct kube_transfer *transfer)
{
    if (transfer->marked) {
        TAILQ_REMOVE(&http->marked, transfer, entry);
        transfer->marked = false;
    }
    if (transfer->running) {
        transfer->running = false;
        curl_multi_remove_handle(http->multi, transfer->easy);
    }
}

void kube_http_mark(struct kube_http *http, struct kube_transfer *transfer)
{
    if (!transfer->marked) {
        transfer->marked = true;
        TAILQ_INSERT_TAIL(&http->marked, transfer, entry);
    }
}

/* A peer that vanished without a word (a node that lost power, a forgetful load balancer) is
 * noticed by the kernel within 20 s, idle or not; client-go's HTTP/2 ping finds it in 45 s. */
static int set_socket(void *context, curl_socket_t fd, curlsocktype purpose)
{
    unsigned timeout_ms = 20000;
    (void)context;
    if (purpose == CURLSOCKTYPE_IPCXN) {
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
    }
    return CURL_SOCKOPT_OK;
}

static void set_blob(CURL *easy, CURLoption option, const char *pem)
{
    struct curl_blob blob = {(void *)pem, strlen(pem), CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct kube_config *config)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (config->insecure_skip_tls_verify) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    } else if (config->ca_data) {
        set_blob(easy, CURLOPT_CAINFO_BLOB, config->ca_data);
    } else if (config->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, config->ca_file);
        /* The file may rotate; libcurl would keep what it read for a day. */
        curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    }
    if (config->ca_data || config->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* that authority and no other */
    }
    if (config->client_cert_data) {
        set_blob(easy, CURLOPT_SSLCERT_BLOB, config->client_cert_data);
    } else if (config->client_cert_file) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, config->client_cert_file);
    }
    if (config->client_key_data) {
        set_blob(easy, CURLOPT_SSLKEY_BLOB, config->client_key_data);
    } else if (config->client_key_file) {
        curl_easy_setopt(easy, CURLOPT_SSLKEY, config->client_key_file);
    }
}

static bool is_loopback(const char *server)
{
    const char *host = strstr(server, "://");
    host = host ? host + 3 : server;
    return text_has_prefix(host, "127.") || text_has_prefix(host, "localhost") ||
           text_has_prefix(host, "[::1]");
}

CURL *kube_http_easy(const struct kube_client *client)
{
    const struct kube_config *config = client->config;
    CURL *easy = curl_easy_init();
    set_tls(easy, config);
    if (config->proxy_url) {
        curl_easy_setopt(easy, CURLOPT_PROXY, config->proxy_url);
    } else if (is_loopback(config->server)) {
        curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* as Go does, whatever the environment says */
    }
    if (client->connect_to) {
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, client->connect_to);
    }
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, client->user_agent);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 15L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, set_socket);
    return easy;
}
