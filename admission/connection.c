#include "admission/connection.h"

#include "admission/http.h"
#include "common/base/clock.h"
#include "common/base/memory.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_MAXIMUM ((size_t)512)  /* of an answer */
#define KEPT_CAPACITY ((size_t)65536) /* a buffer that has grown beyond is given back */
#define STEPS_PER_TURN 64             /* reads and requests, before others have their turn */
#define LINGER_MS 2000                /* for a refused client to read why */

/* ---- The two lists ---- */

static void list_remove(struct connection *connection)
{
    struct connection_list *list = connection->list;
    *(connection->previous ? &connection->previous->next : &list->first) = connection->next;
    *(connection->next ? &connection->next->previous : &list->last) = connection->previous;
    list->count--;
}

static void list_append(struct connection_list *list, struct connection *connection)
{
    connection->list = list;
    connection->previous = list->last;
    connection->next = NULL;
    *(list->last ? &list->last->next : &list->first) = connection;
    list->last = connection;
    list->count++;
}

static void mark_served(struct connection *connection)
{
    list_remove(connection);
    list_append(&connection->server->served, connection);
}

static void set_deadline(struct connection *connection, int64_t timeout_ms)
{
    connection->deadline = clock_monotonic_ms() + timeout_ms;
}

/* ---- What is in the buffers ---- */

static void init_buffers(struct connection *connection)
{
    size_t body = connection->server->options.body_maximum;
    /* A pipelined request may follow in the same read. */
    buf_init(&connection->in, HTTP_HEAD_MAXIMUM + body + SCRATCH_SIZE);
    buf_init(&connection->out, HEADER_MAXIMUM + body);
}

static void give_back(struct buf *buffer)
{
    size_t maximum = buffer->maximum;
    if (buffer->size == 0 && buffer->capacity > KEPT_CAPACITY) {
        buf_release(buffer);
        buf_init(buffer, maximum);
    }
}

static void consume(struct connection *connection, size_t size)
{
    buf_consume(&connection->in, size);
    connection->server->buffered -= size;
    give_back(&connection->in);
}

size_t connection_buffered(const struct connection *connection)
{
    return connection->in.size;
}

bool connection_is_idle(const struct connection *connection)
{
    return connection->phase == CONNECTION_OPEN && connection->in.size == 0 &&
           connection->out.size == 0;
}

/* ---- Answers ---- */

static void append_answer(struct connection *connection, int status, const struct buf *body,
                          bool keep_alive)
{
    struct buf *out = &connection->out;
    buf_append_format(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
                      status, http_status_text(status),
                      status == 200 ? "application/json" : "text/plain; charset=utf-8", body->size,
                      keep_alive ? "" : "Connection: close\r\n");
    buf_append(out, body->data, body->size); /* beside the header: one TLS record */
    connection->last_answer = !keep_alive || out->overflowed;
}

/* Answers, with what is in the server's body, what is not read on: the connection closes. */
static void refuse(struct connection *connection, int status)
{
    struct server *server = connection->server;
    server->stats.refused++;
    if (server->body.size == 0) {
        buf_append_format(&server->body, "%s\n", http_status_text(status));
    }
    append_answer(connection, status, &server->body, false);
    consume(connection, connection->in.size);
}

/* False: too little of it has arrived to tell what it would have been. */
static bool refuse_too_large(struct connection *connection, const struct http_head *head)
{
    const struct server_options *options = &connection->server->options;
    const struct buf *in = &connection->in;
    if (in->size - head->size < SERVER_BEGINNING) {
        return false;
    }
    refuse(connection,
           options->handle_too_large(head->path, in->data + head->size, SERVER_BEGINNING,
                                     &connection->server->body, options->context));
    return true;
}

static void serve(struct connection *connection, const struct http_head *head)
{
    struct server *server = connection->server;
    const struct server_options *options = &server->options;
    buf_clear(&server->body);
    int status = 405;
    if (head->post) {
        status = options->handle(head->path, connection->in.data + head->size, head->body_size,
                                 &server->body, options->context);
    }
    if (server->body.size == 0) {
        buf_append_format(&server->body, "%s\n", http_status_text(status));
    }
    server->stats.requests++;
    bool last = server->draining || clock_monotonic_ms() >= connection->retires_at;
    append_answer(connection, status, &server->body, head->keep_alive && !last);
    consume(connection, head->size + head->body_size);
    give_back(&server->body);
    connection->continued = false;
    mark_served(connection);
}

/* Answers the request that is complete in the buffer. False: there is none, read on. */
static bool serve_next(struct connection *connection)
{
    struct http_head head = {0};
    int status = 0;
    const struct buf *in = &connection->in;
    switch (http_parse_head(in->data, in->size, connection->server->options.body_maximum, &head,
                            &status)) {
    case HTTP_INCOMPLETE:
        return false;
    case HTTP_REFUSED:
        buf_clear(&connection->server->body);
        if (status == 413 && head.post) {
            return refuse_too_large(connection, &head);
        }
        refuse(connection, status);
        return true;
    case HTTP_COMPLETE:
        break;
    }
    if (in->size - head.size >= head.body_size) {
        serve(connection, &head);
        return true;
    }
    if (head.expect_continue && !connection->continued) {
        connection->continued = true;
        buf_append_string(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
        return true;
    }
    return false;
}

/* ---- TLS ---- */

enum io { IO_DONE, IO_WAIT, IO_END };

/* What to do after an SSL_* call that did not succeed. */
static enum io io_after(struct connection *connection, int result)
{
    int reason = SSL_get_error(connection->tls, result);
    ERR_clear_error();
    if (reason == SSL_ERROR_WANT_WRITE) {
        event_add(connection->writable, NULL);
        event_del(connection->readable); /* or unread input would wake us all the time */
        return IO_WAIT;
    }
    return reason == SSL_ERROR_WANT_READ ? IO_WAIT : IO_END;
}

static enum io handshake(struct connection *connection)
{
    int result = SSL_accept(connection->tls);
    if (result == 1) {
        connection->phase = CONNECTION_OPEN;
        /* Go dials in reserve: to end such a connection while its first request is on the way is
         * what Go does not forgive, as it does with one that was used before. */
        set_deadline(connection, connection->server->options.idle_timeout_ms);
        return IO_DONE;
    }
    enum io io = io_after(connection, result);
    connection->server->stats.handshakes_failed += io == IO_END;
    return io;
}

static enum io fill(struct connection *connection)
{
    struct server *server = connection->server;
    size_t size = 0;
    int result = SSL_read_ex(connection->tls, server->scratch, SCRATCH_SIZE, &size);
    if (result != 1) {
        return io_after(connection, result);
    }
    if (connection->in.size == 0) { /* a request begins */
        set_deadline(connection, server->options.request_timeout_ms);
    }
    if (!buf_append(&connection->in, server->scratch, size)) {
        return IO_END;
    }
    server->buffered += size;
    return server_make_room(server, connection) ? IO_DONE : IO_END;
}

static enum io flush(struct connection *connection)
{
    struct buf *out = &connection->out;
    size_t written = 0;
    int result = SSL_write_ex(connection->tls, out->data + connection->sent,
                              out->size - connection->sent, &written);
    if (result != 1) {
        return io_after(connection, result);
    }
    connection->sent += written;
    if (connection->sent == out->size) {
        buf_clear(out);
        give_back(out);
        connection->sent = 0;
        set_deadline(connection, connection->in.size > 0
                                     ? connection->server->options.request_timeout_ms
                                     : connection->server->options.idle_timeout_ms);
    }
    return IO_DONE;
}

/* ---- The turn of a connection ---- */

/* Tells the client that no more comes, and reads on for a moment: closing at once, with input
 * unread, would reset the connection and take the answer with it. */
static void begin_linger(struct connection *connection)
{
    SSL_shutdown(connection->tls);
    ERR_clear_error();
    shutdown(connection->fd, SHUT_WR);
    connection->phase = CONNECTION_LINGER;
    set_deadline(connection, LINGER_MS);
}

static enum io linger(struct connection *connection)
{
    struct server *server = connection->server;
    ssize_t size = recv(connection->fd, server->scratch, SCRATCH_SIZE, MSG_DONTWAIT);
    if (size > 0) {
        return IO_DONE;
    }
    return size < 0 && (errno == EAGAIN || errno == EINTR) ? IO_WAIT : IO_END;
}

/* One step: a piece of handshake, a read, an answer, a write. */
static enum io step(struct connection *connection)
{
    if (connection->phase == CONNECTION_HANDSHAKE) {
        return handshake(connection);
    }
    if (connection->phase == CONNECTION_LINGER) {
        return linger(connection);
    }
    if (connection->out.size > 0) {
        enum io io = flush(connection);
        if (io == IO_DONE && connection->out.size == 0 && connection->last_answer) {
            begin_linger(connection);
        }
        return io;
    }
    if (connection->in.size > 0 && serve_next(connection)) {
        return IO_DONE;
    }
    return fill(connection);
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    struct connection *connection = context;
    if (what & EV_WRITE) {
        event_add(connection->readable, NULL);
    }
    for (unsigned i = 0; i < STEPS_PER_TURN; i++) {
        enum io io = step(connection);
        if (io == IO_END) {
            connection_free(connection);
            return;
        }
        if (io == IO_WAIT) {
            return;
        }
    }
    event_active(connection->readable, EV_READ, 0);
}

/* Not all at once: they may have been made together. */
static int64_t choose_retirement(const struct server *server)
{
    int64_t age = server->options.age_maximum_ms;
    uint32_t random;
    if (age == 0) {
        return INT64_MAX;
    }
    evutil_secure_rng_get_bytes(&random, sizeof random);
    return clock_monotonic_ms() + age * 3 / 4 + random % (age / 2 + 1);
}

void connection_new(struct server *server, int fd)
{
    SSL *tls = SSL_new(server->tls);
    if (!tls || SSL_set_fd(tls, fd) != 1) {
        ERR_clear_error();
        SSL_free(tls);
        close(fd);
        return;
    }
    struct connection *connection = NEW(struct connection);
    connection->server = server;
    connection->fd = fd;
    connection->tls = tls;
    init_buffers(connection);
    connection->readable = event_new(server->base, fd, EV_READ | EV_PERSIST, on_ready, connection);
    connection->writable = event_new(server->base, fd, EV_WRITE, on_ready, connection);
    event_add(connection->readable, NULL);
    list_append(&server->newcomers, connection);
    set_deadline(connection, server->options.request_timeout_ms);
    connection->retires_at = choose_retirement(server);
    server->stats.accepted++;
    server->stats.connections++;
}

void connection_free(struct connection *connection)
{
    struct server *server = connection->server;
    list_remove(connection);
    server->stats.connections--;
    server->buffered -= connection->in.size;
    event_free(connection->readable);
    event_free(connection->writable);
    SSL_free(connection->tls);
    close(connection->fd);
    buf_release(&connection->in);
    buf_release(&connection->out);
    free(connection);
}
