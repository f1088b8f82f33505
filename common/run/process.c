#include "common/run/process.h"

#include "common/base/buf.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "common/run/metrics.h"
#include "common/run/trim.h"
#include "common/run/usage.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPOSITION_MAXIMUM ((size_t)16 << 20)
#define REQUEST_HEADERS_MAXIMUM 8192
#define REQUEST_TIMEOUT_SECONDS 10

/* libcurl drags in GnuTLS (for RTMP), whose constructor would cost a megabyte of resident memory in
 * each process; nobody here uses it. This is the switch that gnutls.h names for that
 * (GNUTLS_SKIP_GLOBAL_INIT); CMakeLists.txt exports it from the executables. */
int _gnutls_global_init_skip(void);
__attribute__((visibility("default"))) int _gnutls_global_init_skip(void)
{
    return 1;
}

struct process {
    const char *name;
    char *instance;
    struct event_base *base;
    struct event *signals[2];
    struct evhttp *http;
    struct trim *trim;
    unsigned port;
    struct map unready; /* names of parts; the values are unused */
    bool stopping;
};

static void on_libevent_message(int severity, const char *message)
{
    if (severity >= EVENT_LOG_WARN) {
        log_warn("event loop", "detail", message);
    }
}

/* ---- The HTTP endpoint ---- */

static void reply(struct evhttp_request *request, int status, const char *type, const void *body,
                  size_t size)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Content-Type", type);
    evbuffer_add(evhttp_request_get_output_buffer(request), body, size);
    evhttp_send_reply(request, status, NULL, NULL);
}

static void on_metrics(struct evhttp_request *request, void *context)
{
    (void)context;
    AUTO_BUF struct buf text;
    buf_init(&text, EXPOSITION_MAXIMUM);
    metrics_write(&text);
    if (text.overflowed) {
        static const char message[] = "the metrics are larger than 16 MiB\n";
        reply(request, 500, "text/plain; charset=utf-8", message, sizeof message - 1);
        return;
    }
    reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", text.data, text.size);
}

static void on_health(struct evhttp_request *request, void *context)
{
    (void)context; /* that the loop turns is the answer */
    reply(request, 200, "text/plain; charset=utf-8", "ok\n", 3);
}

static void on_ready(struct evhttp_request *request, void *context)
{
    struct process *process = context;
    AUTO_BUF struct buf text;
    buf_init(&text, EXPOSITION_MAXIMUM);
    AUTO_FREE const char **parts = map_sorted_keys(&process->unready);
    for (size_t i = 0; i < process->unready.count; i++) {
        buf_append_format(&text, "not ready: %s\n", parts[i]);
    }
    if (process->stopping) {
        buf_append_string(&text, "not ready: stopping\n");
    }
    int status = text.size == 0 ? 200 : 503;
    if (status == 200) {
        buf_append_string(&text, "ok\n");
    }
    reply(request, status, "text/plain; charset=utf-8", text.data, text.size);
}

static void on_other(struct evhttp_request *request, void *context)
{
    (void)context;
    static const char message[] = "there is /metrics, /healthz and /readyz\n";
    reply(request, 404, "text/plain; charset=utf-8", message, sizeof message - 1);
}

/* Splits "HOST:PORT", "[IPV6]:PORT" or ":PORT". */
static bool split_listen(const char *listen, char **ret_host, char **ret_port, struct error *error)
{
    const char *colon = strrchr(listen, ':');
    int64_t port;
    if (!colon || !text_parse_int(colon + 1, &port) || port < 0 || port > 65535) {
        return error_set(error, ERROR_INVALID,
                         "--listen: \"%s\" is not HOST:PORT, such as 127.0.0.1:9401", listen);
    }
    size_t size = (size_t)(colon - listen);
    if (size >= 2 && listen[0] == '[' && colon[-1] == ']') {
        *ret_host = mem_string_n(listen + 1, size - 2);
    } else {
        *ret_host = mem_string_n(listen, size);
    }
    *ret_port = mem_string(colon + 1);
    return true;
}

static unsigned bound_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static bool serve_http(struct process *process, const char *listen, struct error *error)
{
    AUTO_FREE char *host = NULL;
    AUTO_FREE char *port = NULL;
    if (!split_listen(listen, &host, &port, error)) {
        return false;
    }
    process->http = evhttp_new(process->base);
    evhttp_set_allowed_methods(process->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(process->http, REQUEST_HEADERS_MAXIMUM);
    evhttp_set_max_body_size(process->http, 0);
    evhttp_set_timeout(process->http, REQUEST_TIMEOUT_SECONDS);
    evhttp_set_cb(process->http, "/metrics", on_metrics, process);
    evhttp_set_cb(process->http, "/healthz", on_health, process);
    evhttp_set_cb(process->http, "/readyz", on_ready, process);
    evhttp_set_gencb(process->http, on_other, process);
    errno = 0;
    struct evhttp_bound_socket *socket = evhttp_bind_socket_with_handle(
        process->http, *host ? host : "::", (uint16_t)strtoul(port, NULL, 10));
    if (!socket) {
        int sys = errno ? errno : EADDRNOTAVAIL;
        return error_set_errno(error, sys, "--listen: cannot serve /metrics at %s", listen);
    }
    process->port = bound_port(evhttp_bound_socket_get_fd(socket));
    return true;
}

/* ---- Signals ---- */

static void end_at_once(int number)
{
    _exit(128 + number);
}

static void begin_stop(struct process *process)
{
    process->stopping = true;
    /* From here on a signal ends the process, even if the drain hangs. */
    for (unsigned i = 0; i < 2; i++) {
        if (process->signals[i]) {
            event_free(process->signals[i]);
            process->signals[i] = NULL;
        }
    }
    signal(SIGTERM, end_at_once);
    signal(SIGINT, end_at_once);
    event_base_loopbreak(process->base);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
    (void)what;
    log_info("stopping", "signal", number == SIGTERM ? "SIGTERM" : "SIGINT");
    begin_stop(context);
}

/* ---- Life ---- */

static char *instance_name(const char *wanted)
{
    if (!text_is_empty(wanted)) {
        return mem_string(wanted);
    }
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    return mem_string(*name ? name : "localhost");
}

bool process_open(const char *name, const struct process_settings *settings, struct process **ret,
                  struct error *error)
{
    if (!log_open(name, settings->log_level, error)) {
        return false;
    }
    /* A core would hold Secrets. 0 is no limit for one that is piped to a program, and 1 forbids
     * both (fs/coredump.c of Linux). */
    setrlimit(RLIMIT_CORE, &(const struct rlimit){1, 1});
    signal(SIGPIPE, SIG_IGN);
    event_set_log_callback(on_libevent_message);
    struct process *process = NEW(struct process);
    process->name = name;
    process->instance = instance_name(settings->instance);
    process->base = event_base_new();
    if (!process->base) {
        process_free(process);
        return error_set(error, ERROR_SYSTEM, "cannot make an event loop");
    }
    static const int numbers[] = {SIGTERM, SIGINT};
    for (unsigned i = 0; i < 2; i++) {
        process->signals[i] = evsignal_new(process->base, numbers[i], on_signal, process);
        event_add(process->signals[i], NULL);
    }
    if (!text_is_empty(settings->listen) && !serve_http(process, settings->listen, error)) {
        process_free(process);
        return false;
    }
    process->trim = trim_new(process->base, TRIM_TICK_MS);
    usage_register();
    log_info("starting", "version", GITMOOR_VERSION, "instance", process->instance, "listen",
             text_is_empty(settings->listen) ? NULL : settings->listen);
    *ret = process;
    return true;
}

struct event_base *process_loop(struct process *process)
{
    return process->base;
}

const char *process_instance(const struct process *process)
{
    return process->instance;
}

unsigned process_port(const struct process *process)
{
    return process->port;
}

void process_set_ready(struct process *process, const char *part, bool ready)
{
    bool was_unready = map_has(&process->unready, part);
    if (ready && was_unready) {
        map_remove(&process->unready, part);
        log_info("ready", "part", part);
    } else if (!ready && !was_unready) {
        map_set(&process->unready, part, NULL);
        log_debug("not ready", "part", part);
    }
}

void process_stop(struct process *process)
{
    if (!process->stopping) {
        begin_stop(process);
    }
}

int process_run(struct process *process, void (*drain)(void *context), void *context)
{
    if (!process->stopping && event_base_dispatch(process->base) < 0) {
        log_error("the event loop failed");
        return 1;
    }
    if (drain) {
        drain(context);
    }
    log_info("stopped");
    return 0;
}

void process_free(struct process *process)
{
    if (!process) {
        return;
    }
    if (process->http) {
        evhttp_free(process->http);
    }
    trim_free(process->trim);
    for (unsigned i = 0; i < 2; i++) {
        if (process->signals[i]) {
            event_free(process->signals[i]);
        }
    }
    if (process->base) {
        event_base_free(process->base);
    }
    map_release(&process->unready, NULL);
    free(process->instance);
    free(process);
}

int process_fail(const char *name, const struct error *error)
{
    fprintf(stderr, "gitmoor-%s: %s\n", name, error->message);
    return 1;
}
