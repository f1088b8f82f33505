/* Git's smart protocol over SSH, by OpenSSH's `ssh`: it knows every key type, certificates and
 * host key algorithm, which libssh2 does not (PITFALLS §1).
 *
 * The identity and the known hosts of the Secret are handed to it in memory (memfd), never on a
 * disk. Host keys are always checked, and nothing is asked: no agent, no configuration file, no
 * password, no forwarding. */
#ifndef GITMOOR_FETCHER_TRANSPORT_SSH_H
#define GITMOOR_FETCHER_TRANSPORT_SSH_H

#include "fetcher/transport.h"

#include <git2.h>
#include <stdbool.h>

/* For git_remote_callbacks.transport, with a struct transport * as the payload. */
int ssh_transport_new(git_transport **ret, git_remote *owner, void *transport);

/* ssh://[USER@]HOST[:PORT]/PATH, taken apart. */
struct ssh_address {
    char *user; /* "git" if none is given */
    char *host; /* without the brackets of an IPv6 address */
    char *port; /* "22" if none is given */
    char *path; /* as the server is asked for it: "/PATH", or "~…" for "/~…" */
};

/* False: it is no such URL, or has what a command line could take for an option; the message names
 * it. */
bool ssh_address_parse(const char *url, struct ssh_address *ret, struct error *error);
void ssh_address_release(struct ssh_address *address);

/* Whether `ssh` could use the private key without asking: it must not have a passphrase. The
 * message never holds any of it. */
bool ssh_transport_check_identity(const char *identity, struct error *error);

/* Why ssh failed, from what it and the server said on standard error. */
enum fetch_reason ssh_transport_judge(const char *said);

#endif
