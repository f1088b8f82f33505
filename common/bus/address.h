/* Addresses of the bus: "ipc:///PATH" and "tcp://IP:PORT" (IPv6 in brackets). Names are refused:
 * nanomsg resolves them once and does not follow changes. */
#ifndef GITMOOR_BUS_ADDRESS_H
#define GITMOOR_BUS_ADDRESS_H

#include "common/base/error.h"
#include "common/bus/frame.h"

struct address {
    char inbox[FRAME_ADDRESS_SIZE];
    char blobs[FRAME_ADDRESS_SIZE]; /* the inbox with ".blobs", or its port + 1 */
    bool is_ipc;
    bool is_ipv6;
};

bool bus_address_parse(const char *text, struct address *ret, struct error *error);

/* Makes the directory of an ipc address, mode 0700, with its parents; one that exists must be ours
 * and closed to everybody else. */
bool bus_address_make_directory(const struct address *address, struct error *error);

#endif
