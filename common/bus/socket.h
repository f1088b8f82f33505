/* nanomsg sockets with everything set that must be set, and their descriptors as events.
 * Every send and receive is NN_DONTWAIT; the descriptors are level-triggered. */
#ifndef GITMOOR_BUS_SOCKET_H
#define GITMOOR_BUS_SOCKET_H

#include "common/bus/address.h"

#include <event2/event.h>

/* PULL, REP: bound at `address`, which is one of `of`. -1 with an error. */
int bus_socket_bind(int protocol, const struct address *of, const char *address,
                    struct error *error);
/* PUSH, REQ: connecting, for as long as it lives. */
int bus_socket_connect(int protocol, const struct address *of, const char *address,
                       struct error *error);
/* `option` is NN_RCVFD or NN_SNDFD; the event is made, not added. Free it before nn_close. */
struct event *bus_socket_event(struct event_base *base, int socket, int option, short persist,
                               event_callback_fn callback, void *context);
/* Closes both; safe on -1 and NULL, which it leaves behind. */
void bus_socket_close(int *socket, struct event **event);

/* A message of nanomsg's to write into; sent or freed. */
uint8_t *bus_socket_message(size_t size);
/* Takes the message in any case. False: the socket takes nothing now. */
bool bus_socket_send(int socket, uint8_t *message);
/* NULL: nothing more now. nn_freemsg it. */
uint8_t *bus_socket_receive(int socket, size_t *ret_size);

#endif
