#include "admission/server.h"

#include "admission/connection.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 512
#define SWEEP_MS 250 /* how exactly deadlines are kept */
#define QUIET_MS 500 /* when draining: nothing is on its way to a connection idle for so long */
#define ACCEPTS_PER_TURN 16u /* before those that are connected have their turn */

/* ---- Room ---- */

static void evict(struct server *server, struct connection *connection)
{
    server->stats.evicted++;
    connection_free(connection);
}

/* Whoever has not been answered yet may have come to keep others out: newcomers have half of the
 * places, so that a flood of them pushes out one another, never an API server. */
static void evict_one(struct server *server)
{
    bool newcomer =
        server->newcomers.count > 0 &&
        (server->newcomers.count >= server->options.connections / 2 || server->served.count == 0);
    evict(server, newcomer ? server->newcomers.first : server->served.first);
}

static struct connection *larger(const struct connection_list *list, struct connection *found)
{
    for (struct connection *each = list->first; each; each = each->next) {
        if (!found || connection_buffered(each) > connection_buffered(found)) {
            found = each;
        }
    }
    return found;
}

bool server_make_room(struct server *server, const struct connection *asking)
{
    while (server->buffered > server->options.buffered_maximum) {
        struct connection *victim = larger(&server->served, larger(&server->newcomers, NULL));
        if (victim == asking) {
            server->stats.evicted++;
            return false;
        }
        evict(server, victim);
    }
    return true;
}

static void sweep(struct server *server, const struct connection_list *list)
{
    int64_t now = clock_monotonic_ms();
    for (struct connection *each = list->first, *next; each; each = next) {
        next = each->next;
        if (each->deadline <= now) {
            /* One that is idle or lingers has had its time; any other is slow. */
            server->stats.timeouts += !connection_is_idle(each) && each->phase != CONNECTION_LINGER;
            connection_free(each);
        }
    }
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct server *server = context;
    sweep(server, &server->newcomers);
    sweep(server, &server->served);
}

/* ---- Accepting ---- */

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int size, void *context)
{
    (void)address, (void)size;
    struct server *server = context;
    if (!server->tls) {
        close(fd); /* no certificate yet: nothing can be said */
        return;
    }
    if (server->stats.connections >= server->options.connections) {
        evict_one(server);
    }
    connection_new(server, fd);
    if (++server->accepted_in_turn == ACCEPTS_PER_TURN) {
        struct timeval next_turn = {0};
        evconnlistener_disable(listener); /* ends the loop that calls this */
        event_add(server->resume, &next_turn);
    }
}

static void on_resume(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct server *server = context;
    server->accepted_in_turn = 0;
    if (!server->draining) {
        evconnlistener_enable(server->listener);
    }
}

static void on_accept_error(struct evconnlistener *listener, void *context)
{
    (void)listener;
    struct server *server = context;
    int sys = errno;
    if ((sys == EMFILE || sys == ENFILE) && server->stats.connections > 0) {
        evict_one(server); /* out of descriptors: make one free */
    }
}

/* Splits "HOST:PORT", "[IPV6]:PORT" or ":PORT" and resolves it. */
static struct addrinfo *resolve(const char *listen, struct error *error)
{
    const char *colon = strrchr(listen, ':');
    int64_t port;
    if (!colon || !text_parse_int(colon + 1, &port) || port < 0 || port > 65535) {
        error_set(error, ERROR_INVALID,
                  "--webhook-listen: \"%s\" is not HOST:PORT, such as 0.0.0.0:9443", listen);
        return NULL;
    }
    size_t size = (size_t)(colon - listen);
    bool bracketed = size >= 2 && *listen == '[' && colon[-1] == ']';
    AUTO_FREE char *host =
        bracketed ? mem_string_n(listen + 1, size - 2) : mem_string_n(listen, size);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
    if (result != 0) {
        error_set(error, ERROR_INVALID, "--webhook-listen: %s: %s", listen, gai_strerror(result));
        return NULL;
    }
    return found;
}

static bool listen_at(struct server *server, const char *listen, struct error *error)
{
    struct addrinfo *address = resolve(listen, error);
    if (!address) {
        return false;
    }
    errno = 0;
    server->listener =
        evconnlistener_new_bind(server->base, on_accept, server,
                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
                                BACKLOG, address->ai_addr, (int)address->ai_addrlen);
    int sys = errno;
    freeaddrinfo(address);
    if (!server->listener) {
        return error_set_errno(error, sys, "--webhook-listen: cannot serve reviews at %s", listen);
    }
    evconnlistener_set_error_cb(server->listener, on_accept_error);
    int fd = evconnlistener_get_fd(server->listener);
    int one = 1;
    /* Accepted sockets inherit it. Without it an answer waits for the client's delayed
     * acknowledgement: 23 reviews a second instead of thousands (PITFALLS §1). */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) {
        return error_set_errno(error, errno, "TCP_NODELAY on the socket of %s", listen);
    }
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0) {
        server->port =
            ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                              : ((struct sockaddr_in *)&bound)->sin_port);
    }
    return true;
}

/* ---- Life ---- */

struct server *server_new(struct event_base *base, const struct server_options *options,
                          struct error *error)
{
    struct server *server = NEW(struct server);
    server->base = base;
    server->options = *options;
    server->scratch = mem_new(1, SCRATCH_SIZE);
    buf_init(&server->body, options->body_maximum);
    if (!listen_at(server, options->listen, error)) {
        server_free(server);
        return NULL;
    }
    struct timeval interval = {.tv_usec = SWEEP_MS * 1000};
    server->resume = event_new(base, -1, 0, on_resume, server);
    server->sweep = event_new(base, -1, EV_PERSIST, on_sweep, server);
    event_add(server->sweep, &interval);
    return server;
}

static void close_all(const struct connection_list *list)
{
    while (list->first) {
        connection_free(list->first);
    }
}

void server_free(struct server *server)
{
    if (!server) {
        return;
    }
    close_all(&server->newcomers);
    close_all(&server->served);
    if (server->listener) {
        evconnlistener_free(server->listener);
    }
    if (server->sweep) {
        event_free(server->sweep);
        event_free(server->resume);
    }
    SSL_CTX_free(server->tls);
    buf_release(&server->body);
    free(server->scratch);
    free(server);
}

unsigned server_port(const struct server *server)
{
    return server->port;
}

const struct server_stats *server_stats(const struct server *server)
{
    return &server->stats;
}

static void close_idle(const struct connection_list *list)
{
    for (struct connection *each = list->first, *next; each; each = next) {
        next = each->next;
        if (connection_is_idle(each)) {
            connection_free(each);
        }
    }
}

void server_drain(struct server *server, int64_t timeout_ms)
{
    server->draining = true;
    int64_t now = clock_monotonic_ms(), deadline = now + timeout_ms;
    int64_t quiet_at = now + (timeout_ms < QUIET_MS ? timeout_ms : QUIET_MS);
    for (; server->stats.connections > 0 && now < deadline; now = clock_monotonic_ms()) {
        if (now >= quiet_at) {
            evconnlistener_disable(server->listener);
            close_idle(&server->newcomers);
            close_idle(&server->served);
        }
        if (server->stats.connections > 0) {
            event_base_loop(server->base, EVLOOP_ONCE); /* the sweep wakes it */
        }
    }
}

/* ---- TLS ---- */

static SSL_CTX *new_context(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls) {
        return NULL;
    }
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_num_tickets(tls, 0); /* API servers keep their connections: nothing to resume */
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    /* Buffers go back while a connection is idle; a record is read with one call, not two. */
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    return tls;
}

static BIO *text_bio(const char *pem)
{
    size_t size = strlen(pem);
    return size <= INT_MAX ? BIO_new_mem_buf(pem, (int)size) : NULL;
}

static int no_password(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1; /* never ask at a terminal */
}

static bool use_chain(SSL_CTX *tls, const char *pem)
{
    BIO *bio = text_bio(pem);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    bool used = certificate && SSL_CTX_use_certificate(tls, certificate) == 1;
    X509_free(certificate);
    while (used && (certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
        used = SSL_CTX_add0_chain_cert(tls, certificate) == 1; /* takes it */
        if (!used) {
            X509_free(certificate);
        }
    }
    BIO_free(bio);
    return used;
}

static bool use_key(SSL_CTX *tls, const char *pem)
{
    BIO *bio = text_bio(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    bool used = key && SSL_CTX_use_PrivateKey(tls, key) == 1 && SSL_CTX_check_private_key(tls);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return used;
}

bool server_set_certificate(struct server *server, const char *certificate_pem, const char *key_pem,
                            struct error *error)
{
    SSL_CTX *tls = new_context();
    if (!tls || !use_chain(tls, certificate_pem) || !use_key(tls, key_pem)) {
        unsigned long reason = ERR_peek_last_error();
        error_set(error, ERROR_INVALID, "the webhook's certificate cannot be used: %s",
                  reason ? ERR_reason_error_string(reason) : "it is not a PEM certificate");
        ERR_clear_error();
        SSL_CTX_free(tls);
        return false;
    }
    ERR_clear_error();         /* reading past the last certificate leaves one */
    SSL_CTX_free(server->tls); /* open connections hold references of their own */
    server->tls = tls;
    return true;
}
