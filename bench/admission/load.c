/* A load generator for HTTPS servers that keep connections alive: a webhook, or an API server. One
 * thread on epoll and OpenSSL; it shares no code with Gitmoor.
 *
 * usage: load HOST PORT REQUESTS-FILE CONNECTIONS RATE SECONDS WARM-UP-SECONDS [TOKEN]
 * The file alternates lines: "METHOD PATH CONTENT-TYPE WANTED", then the body. WANTED is text that
 * the answer must hold, or "-". Requests are sent in turn, over and over.
 * RATE 0: each connection asks as soon as it is answered. Otherwise requests are due at that rate,
 * whatever the answers do, and an answer's time counts from when its request was due, not from when
 * a connection was free for it: a server that stalls is charged for all that waited (no coordinated
 * omission). The peer's certificate is not checked: this is for loopback.
 *
 * Prints one line of JSON: answers and failures after the warm-up, the rate, times in ms, and the
 * generator's own CPU seconds a second. */
#include "../generator.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAXIMUM ((size_t)1 << 20)
#define CONNECTIONS_MAXIMUM 1024
#define DRAIN_SECONDS 10 /* for answers after the last request */

struct request {
    char *data; /* head and body */
    size_t size;
    char *wanted; /* NULL: any 2xx */
};

struct connection {
    int fd;
    SSL *tls;
    const struct request *request; /* under way; NULL: idle */
    size_t sent;
    char *answer;
    size_t size;
    double due;
};

struct load {
    const char *host;
    unsigned short port;
    SSL_CTX *tls;
    struct request *requests;
    size_t request_count;
    size_t next_request;
    struct connection *connections;
    size_t connection_count;
    struct connection *idle[CONNECTIONS_MAXIMUM];
    size_t idle_count;
    int epoll;
    double rate;
    double begin, measured, end; /* measured: the end of the warm-up */
    uint64_t due_count;          /* how many have been sent */
    uint32_t *times;             /* microseconds */
    size_t answers, room, failed;
    char first_failure[512];
};

static double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void *checked(void *memory)
{
    if (!memory) {
        die("out of memory");
    }
    return memory;
}

/* ---- The requests ---- */

static struct request make_request(char *line, const char *body, const char *host,
                                   const char *token)
{
    char *rest = line;
    const char *method = strsep(&rest, " "), *path = strsep(&rest, " ");
    const char *type = strsep(&rest, " ");
    struct request request = {0};
    if (!type || !rest) {
        die("a request is METHOD PATH CONTENT-TYPE WANTED");
    }
    int size = asprintf(&request.data,
                        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: "
                        "application/json\r\n%s%s%sContent-Type: %s\r\nContent-Length: "
                        "%zu\r\n\r\n%s",
                        method, path, host, token ? "Authorization: Bearer " : "",
                        token ? token : "", token ? "\r\n" : "", type, strlen(body), body);
    if (size < 0) {
        die("out of memory");
    }
    request.size = (size_t)size;
    request.wanted = strcmp(rest, "-") == 0 ? NULL : checked(strdup(rest));
    return request;
}

static void read_requests(struct load *load, const char *path, const char *host, const char *token)
{
    FILE *file = fopen(path, "r");
    char *line;
    if (!file) {
        die("the file of requests cannot be opened");
    }
    while ((line = read_line(file))) {
        char *body = read_line(file);
        if (!body) {
            die("a request without a body");
        }
        load->requests =
            checked(realloc(load->requests, (load->request_count + 1) * sizeof *load->requests));
        load->requests[load->request_count++] = make_request(line, body, host, token);
        free(line);
        free(body);
    }
    fclose(file);
    if (load->request_count == 0) {
        die("the file of requests is empty");
    }
}

/* ---- Connections ---- */

static void open_connection(struct load *load, struct connection *connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(load->port)};
    int one = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connection->tls = SSL_new(load->tls);
    if (inet_pton(AF_INET, load->host, &address.sin_addr) != 1 || connection->fd < 0 ||
        !connection->tls ||
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
        connect(connection->fd, (struct sockaddr *)&address, sizeof address)) {
        die("no connection");
    }
    SSL_set_fd(connection->tls, connection->fd);
    if (SSL_connect(connection->tls) != 1) {
        die("no TLS handshake");
    }
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event);
}

static void open_connections(struct load *load)
{
    load->tls = checked(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_mode(load->tls,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->connections = checked(calloc(load->connection_count, sizeof *load->connections));
    for (size_t i = 0; i < load->connection_count; i++) {
        struct connection *connection = &load->connections[i];
        connection->answer = checked(malloc(ANSWER_MAXIMUM + 1));
        open_connection(load, connection);
        load->idle[load->idle_count++] = connection;
    }
}

/* A server may end a connection with an answer; whoever asks next pays for another. */
static void open_again(struct load *load, struct connection *connection)
{
    SSL_free(connection->tls);
    close(connection->fd);
    open_connection(load, connection);
}

static void want_writable(const struct load *load, struct connection *connection, bool wanted)
{
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0U),
                                .data.ptr = connection};
    epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

/* Sends as much of the request as goes. */
static void go_on_sending(const struct load *load, struct connection *connection)
{
    const struct request *request = connection->request;
    bool waited = connection->sent > 0;
    while (connection->sent < request->size) {
        size_t size = 0;
        int result = SSL_write_ex(connection->tls, request->data + connection->sent,
                                  request->size - connection->sent, &size);
        if (result != 1) {
            if (SSL_get_error(connection->tls, result) != SSL_ERROR_WANT_WRITE) {
                die("the server closed a connection");
            }
            want_writable(load, connection, true);
            return;
        }
        connection->sent += size;
    }
    if (waited) {
        want_writable(load, connection, false);
    }
}

static void ask(struct load *load, double due)
{
    struct connection *connection = load->idle[--load->idle_count];
    connection->request = &load->requests[load->next_request];
    load->next_request = (load->next_request + 1) % load->request_count;
    connection->sent = connection->size = 0;
    connection->due = due;
    load->due_count++;
    go_on_sending(load, connection);
}

/* ---- Answers ---- */

/* Whether the answer is there to its end: Content-Length, or the last chunk. */
static bool is_whole(const struct connection *connection)
{
    const char *data = connection->answer;
    const char *end = strstr(data, "\r\n\r\n");
    if (!end) {
        return false;
    }
    const char *length = strcasestr(data, "\r\nContent-Length:");
    if (length && length < end) {
        size_t body = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
        return connection->size >= (size_t)(end - data) + 4 + body;
    }
    static const char last[] = "\r\n0\r\n\r\n";
    return connection->size > strlen(last) &&
           strcmp(data + connection->size - strlen(last), last) == 0;
}

static void take_answer(struct load *load, struct connection *connection)
{
    double time = now();
    bool good =
        strncmp(connection->answer, "HTTP/1.1 2", 10) == 0 &&
        (!connection->request->wanted || strstr(connection->answer, connection->request->wanted));
    if (!good && load->failed++ == 0) {
        snprintf(load->first_failure, sizeof load->first_failure, "%s", connection->answer);
    }
    if (strcasestr(connection->answer, "\r\nConnection: close\r\n")) {
        open_again(load, connection);
    }
    connection->request = NULL;
    load->idle[load->idle_count++] = connection;
    if (time < load->measured || time > load->end + DRAIN_SECONDS) {
        return;
    }
    if (load->answers == load->room) {
        load->room = load->room ? load->room * 2 : 65536;
        load->times = checked(realloc(load->times, load->room * sizeof *load->times));
    }
    load->times[load->answers++] = (uint32_t)((time - connection->due) * 1e6);
}

static void receive(struct load *load, struct connection *connection)
{
    size_t size = 0;
    int result;
    while ((result = SSL_read_ex(connection->tls, connection->answer + connection->size,
                                 ANSWER_MAXIMUM - connection->size, &size)) == 1) {
        connection->size += size;
        connection->answer[connection->size] = '\0';
    }
    bool ended = SSL_get_error(connection->tls, result) != SSL_ERROR_WANT_READ;
    if (connection->request && is_whole(connection)) {
        take_answer(load, connection); /* which may have been the last one */
    } else if (ended) {
        die("the server closed a connection");
    }
}

/* ---- Running ---- */

static double due_at(const struct load *load)
{
    return load->begin + (double)load->due_count / load->rate;
}

/* Asks what is due; returns how long until the next is. */
static double ask_what_is_due(struct load *load)
{
    double time = now();
    if (time >= load->end) {
        return DRAIN_SECONDS;
    }
    if (load->rate <= 0) {
        while (load->idle_count > 0) {
            ask(load, time);
        }
        return load->end - time;
    }
    while (load->idle_count > 0 && due_at(load) <= time) {
        ask(load, due_at(load));
    }
    double wait = due_at(load) - time;
    return load->idle_count == 0 ? 1 : wait > 0 ? wait : 0;
}

static void run(struct load *load)
{
    struct epoll_event events[64];
    for (;;) {
        double wait = ask_what_is_due(load);
        double time = now();
        bool over = time >= load->end;
        if (over &&
            (load->idle_count == load->connection_count || time > load->end + DRAIN_SECONDS)) {
            return;
        }
        struct timespec timeout = {.tv_sec = (time_t)wait,
                                   .tv_nsec = (long)((wait - (double)(time_t)wait) * 1e9)};
        int count = epoll_pwait2(load->epoll, events, 64, &timeout, NULL);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                go_on_sending(load, connection);
            }
            if (events[i].events & ~(uint32_t)EPOLLOUT) {
                receive(load, connection);
            }
        }
    }
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double quantile(const struct load *load, double part)
{
    size_t index = (size_t)((double)load->answers * part);
    return load->times[index < load->answers ? index : load->answers - 1] / 1e3;
}

static int report(struct load *load, double cpu)
{
    if (load->failed > 0) {
        fprintf(stderr, "load: %zu failed, the first: %s\n", load->failed, load->first_failure);
    }
    if (load->answers == 0) {
        die("no answer");
    }
    size_t lost = load->connection_count - load->idle_count;
    qsort(load->times, load->answers, sizeof *load->times, compare);
    printf("{\"answers\": %zu, \"failed\": %zu, \"rate\": %.1f, \"p50\": %.3f, \"p90\": %.3f, "
           "\"p99\": %.3f, \"p999\": %.3f, \"max\": %.3f, \"cpu\": %.2f}\n",
           load->answers, load->failed + lost, (double)load->answers / (load->end - load->measured),
           quantile(load, 0.5), quantile(load, 0.9), quantile(load, 0.99), quantile(load, 0.999),
           quantile(load, 1), cpu / (now() - load->begin));
    return load->failed + lost > 0;
}

int main(int argc, char **argv)
{
    static struct load load;
    if (argc != 8 && argc != 9) {
        die("usage: load HOST PORT REQUESTS-FILE CONNECTIONS RATE SECONDS WARM-UP-SECONDS [TOKEN]");
    }
    signal(SIGPIPE, SIG_IGN);
    load.connection_count = strtoul(argv[4], NULL, 10);
    load.rate = strtod(argv[5], NULL);
    if (load.connection_count < 1 || load.connection_count > CONNECTIONS_MAXIMUM) {
        die("the connections must be between 1 and 1024");
    }
    read_requests(&load, argv[3], argv[1], argc == 9 ? argv[8] : NULL);
    load.host = argv[1];
    load.port = (unsigned short)strtoul(argv[2], NULL, 10);
    open_connections(&load);
    double cpu = cpu_seconds();
    load.begin = now();
    load.measured = load.begin + strtod(argv[7], NULL);
    load.end = load.measured + strtod(argv[6], NULL);
    run(&load);
    return report(&load, cpu_seconds() - cpu);
}
