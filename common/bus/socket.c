#include "common/bus/socket.h"

#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* nanomsg allocates for what a peer announces, up to this, and closes the connection past it
 * without a word. It is well above what the bus sends (256 KiB), so that what is oversize can be
 * counted, and low enough that a stranger cannot have much allocated. */
#define RECEIVE_MAXIMUM (4 << 20)
/* A peer that restarts is reached within this; refused connections cost about 50 µs each. */
#define RECONNECT_FIRST_MS 20
#define RECONNECT_LAST_MS 200
/* Never relied on, since every call is NN_DONTWAIT; but the default is to wait for ever. */
#define CALL_TIMEOUT_MS 100
/* The bus repeats requests itself: by default REQ would after a minute. */
#define REQUEST_RESEND_MS (24 * 60 * 60 * 1000)

static bool set_option(int socket, int level, int option, int value, struct error *error)
{
    if (nn_setsockopt(socket, level, option, &value, sizeof value) != 0) {
        return error_set(error, ERROR_INTERNAL, "setting option %d.%d of a nanomsg socket: %s",
                         level, option, nn_strerror(nn_errno()));
    }
    return true;
}

static int open_socket(int protocol, bool ipv6, struct error *error)
{
    int socket = nn_socket(AF_SP, protocol);
    if (socket < 0) {
        error_set(error, ERROR_SYSTEM, "making a nanomsg socket: %s", nn_strerror(nn_errno()));
        return -1;
    }
    if (!set_option(socket, NN_SOL_SOCKET, NN_RCVMAXSIZE, RECEIVE_MAXIMUM, error) ||
        !set_option(socket, NN_SOL_SOCKET, NN_SNDTIMEO, CALL_TIMEOUT_MS, error) ||
        !set_option(socket, NN_SOL_SOCKET, NN_RCVTIMEO, CALL_TIMEOUT_MS, error) ||
        !set_option(socket, NN_SOL_SOCKET, NN_RECONNECT_IVL, RECONNECT_FIRST_MS, error) ||
        !set_option(socket, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, RECONNECT_LAST_MS, error) ||
        !set_option(socket, NN_SOL_SOCKET, NN_IPV4ONLY, !ipv6, error) ||
        !set_option(socket, NN_TCP, NN_TCP_NODELAY, 1, error) ||
        (protocol == NN_REQ &&
         !set_option(socket, NN_REQ, NN_REQ_RESEND_IVL, REQUEST_RESEND_MS, error))) {
        nn_close(socket);
        return -1;
    }
    return socket;
}

int bus_socket_bind(int protocol, const struct address *of, const char *address,
                    struct error *error)
{
    int socket = open_socket(protocol, of->is_ipv6, error);
    if (socket < 0) {
        return -1;
    }
    mode_t mask = umask(0077); /* nanomsg makes ipc sockets with mode 755 otherwise */
    bool bound = nn_bind(socket, address) >= 0;
    int reason = nn_errno();
    umask(mask);
    if (!bound) {
        error_set(error, reason == EADDRINUSE ? ERROR_CONFLICT : ERROR_SYSTEM,
                  "binding the bus to %s: %s%s", address, nn_strerror(reason),
                  reason == EADDRINUSE ? " (is another process running with it?)" : "");
        nn_close(socket);
        return -1;
    }
    return socket;
}

int bus_socket_connect(int protocol, const struct address *of, const char *address,
                       struct error *error)
{
    int socket = open_socket(protocol, of->is_ipv6, error);
    if (socket >= 0 && nn_connect(socket, address) < 0) {
        error_set(error, ERROR_SYSTEM, "connecting the bus to %s: %s", address,
                  nn_strerror(nn_errno()));
        nn_close(socket);
        return -1;
    }
    return socket;
}

struct event *bus_socket_event(struct event_base *base, int socket, int option, short persist,
                               event_callback_fn callback, void *context)
{
    int fd = -1;
    size_t size = sizeof fd;
    if (nn_getsockopt(socket, NN_SOL_SOCKET, option, &fd, &size) != 0) {
        abort(); /* these sockets can all do what they are asked: a defect of ours */
    }
    struct event *event = event_new(base, fd, (short)(EV_READ | persist), callback, context);
    if (!event) {
        abort(); /* out of memory */
    }
    return event;
}

void bus_socket_close(int *socket, struct event **event)
{
    if (*event) {
        event_free(*event);
        *event = NULL;
    }
    if (*socket >= 0) {
        nn_close(*socket);
        *socket = -1;
    }
}

uint8_t *bus_socket_message(size_t size)
{
    uint8_t *message = nn_allocmsg(size, 0);
    if (!message) {
        abort(); /* out of memory; see common/base/memory.h */
    }
    return message;
}

bool bus_socket_send(int socket, uint8_t *message)
{
    if (nn_send(socket, &message, NN_MSG, NN_DONTWAIT) < 0) {
        nn_freemsg(message);
        return false;
    }
    return true;
}

uint8_t *bus_socket_receive(int socket, size_t *ret_size)
{
    uint8_t *message = NULL;
    int size = nn_recv(socket, &message, NN_MSG, NN_DONTWAIT);
    if (size < 0) {
        return NULL;
    }
    *ret_size = (size_t)size;
    return message;
}
