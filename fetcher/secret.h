/* The credentials of a fetch, from a Secret of the repository's own namespace. */
#ifndef GITMOOR_FETCHER_SECRET_H
#define GITMOOR_FETCHER_SECRET_H

#include "common/base/error.h"
#include "common/data/json.h"

/* Adds to a worker's request what the Secret object holds: "username", "password", "bearerToken",
 * "authorities" (from ca.crt), "certificate" and "key" (from tls.crt and tls.key), "identity" (from
 * identity, or ssh-privatekey as in Secrets of type kubernetes.io/ssh-auth) and "knownHosts". A
 * line end after a word is dropped: `echo` puts one there. False: the Secret has none of these
 * keys, or one that cannot be used; the message names the Secret and the key, never the value. */
bool secret_add_to(const cJSON *secret, cJSON *request, struct error *error);

/* Adds "proxy", "proxyUsername" and "proxyPassword" from address, username and password. */
bool secret_add_proxy_to(const cJSON *secret, cJSON *request, struct error *error);

/* Adds "keys": every entry of the Secret is a file of public keys, under its name. */
bool secret_add_keys_to(const cJSON *secret, cJSON *request, struct error *error);

#endif
