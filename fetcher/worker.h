/* The worker: `gitmoor-fetcher worker`, one exec'd child for each fetch and each pack. It reads one
 * request as JSON from standard input, locks itself into the mirror's directory, does it, and
 * answers on standard output with one line of JSON. That is the last line: what stands before it is
 * the pack, followed by a newline, since whether a pack is whole is known only at its end.
 *
 * Request: {"operation": "fetch", "directory", "url", "branch", "tag", "semver", "name", "commit",
 *   "previous", "username", "password", "bearerToken", "authorities", "certificate", "key",
 *   "identity", "knownHosts", "proxy", "proxyUsername", "proxyPassword", "verifyHead", "verifyTag",
 *   "keys" (file name to base64), "sizeMaximum", "timeoutMs", "allowFileUrls", "fresh"}, for a
 * chart with "chart", "version", "digest", "servers" (patterns); or
 *   {"operation": "pack", "directory", "want", "have", "sizeMaximum"}.
 * Answer: {"ok": true, "commit", "revision", "forced", "cloned", "signer", "digest",
 *   "receivedBytes"}, {"ok": true} for a pack, or {"ok": false, "reason", "message",
 *   "retryAfterMs"}.
 * Exit status 0 whenever the answer is whole; 1 with a message on standard error otherwise. */
#ifndef GITMOOR_FETCHER_WORKER_H
#define GITMOOR_FETCHER_WORKER_H

/* Returns the exit status. */
int fetch_worker_main(void);

#endif
