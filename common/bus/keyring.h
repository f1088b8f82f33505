/* The keys of the links of this process: "<link>.key" and, while keys are being changed,
 * "<link>.previous", from one directory. Both open messages; which one seals is the peer's matter
 * (session.c). Files are read again when their modification time, size or inode changes, as when
 * Kubernetes replaces a mounted Secret.
 *
 * Without a directory each link has a well-known key with id 0: the framing stays the same, and
 * only the mode of the ipc directory protects the bus. */
#ifndef GITMOOR_BUS_KEYRING_H
#define GITMOOR_BUS_KEYRING_H

#include "common/bus/bus.h"
#include "common/bus/frame.h"

struct keyring;

/* `directory` may be NULL. An error if a file does not hold a key, or there is none at all. */
struct keyring *keyring_new(const char *directory, struct error *error);
void keyring_free(struct keyring *ring);

bool keyring_is_open(const struct keyring *ring); /* no directory: well-known keys */
const struct seal_key *keyring_current(const struct keyring *ring,
                                       enum bus_link link); /* or NULL */
const struct seal_key *keyring_previous(const struct keyring *ring,
                                        enum bus_link link); /* or NULL */
const struct seal_key *keyring_find(const struct keyring *ring, enum bus_link link, uint32_t id);

/* Looks at the files. A file that no longer holds a key leaves the key as it was and fills the
 * error (once per change); a "<link>.previous" that is gone takes its key with it. Returns whether
 * any key changed. */
bool keyring_reload(struct keyring *ring, struct error *error);

/* frame_derive_key with a small memory, since most messages come from the same few lives. */
void keyring_derive(struct keyring *ring, const struct seal_key *link_key,
                    const struct frame_header *header, struct seal_key *ret);

#endif
