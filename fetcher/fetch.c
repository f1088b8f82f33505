#include "fetcher/fetch.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "fetcher/fetch_internal.h"
#include "fetcher/transport_curl.h"
#include "fetcher/transport_http.h"
#include "fetcher/transport_ssh.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fetch_fail(struct fetch *fetch, enum fetch_reason reason, enum error_code code,
                const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_list(fetch->error, code, format, arguments);
    va_end(arguments);
    fetch->reason = reason;
    return false;
}

bool fetch_fail_git(struct fetch *fetch)
{
    const struct transport *transport = &fetch->transport;
    if (transport->reason != FETCH_SUCCEEDED) {
        fetch->reason = transport->reason;
        *fetch->error = transport->error;
        return false;
    }
    const git_error *last = git_error_last();
    const char *why = last && last->message ? last->message : "libgit2 gave no reason";
    if (strstr(why, "object format") || strstr(why, "object-format")) {
        return fetch_fail(
            fetch, FETCH_UNSUPPORTED_FORMAT, ERROR_INVALID,
            "%s has objects of a format that is not supported: %s. Use a repository of "
            "object format SHA-1",
            fetch->request->url, why);
    }
    return fetch_fail(fetch, FETCH_FAILED, ERROR_UNAVAILABLE, "cannot fetch %s: %s",
                      fetch->request->url, why);
}

/* ---- The URL ---- */

static bool refuse_url(enum fetch_reason *ret_reason, struct error *error, const char *format,
                       const char *url)
{
    *ret_reason = FETCH_UNSUPPORTED_URL;
    return error_set(error, ERROR_INVALID, format, url);
}

bool fetch_check_url(const char *url, bool allow_file_urls, enum fetch_reason *ret_reason,
                     struct error *error)
{
    if (text_has_prefix(url, "ssh://")) {
        struct ssh_address address;
        *ret_reason = FETCH_UNSUPPORTED_URL;
        bool parsed = ssh_address_parse(url, &address, error);
        ssh_address_release(&address);
        return parsed;
    }
    if (text_has_prefix(url, "file://")) {
        return allow_file_urls ||
               refuse_url(ret_reason, error,
                          "%s: file URLs are for development and are off. Use https, or start the "
                          "fetcher with --allow-file-urls",
                          url);
    }
    if (!text_has_prefix(url, "https://")) {
        return refuse_url(ret_reason, error, "%s: the URL must begin with https:// or ssh://", url);
    }
    const char *host = url + strlen("https://");
    size_t authority = strcspn(host, "/?#");
    if (memchr(host, '@', authority)) {
        /* The URL itself would tell the password. */
        return refuse_url(ret_reason, error,
                          "spec.url holds credentials%s. Take them out and put username and "
                          "password into the Secret of spec.secretRef: a URL is shown to everybody",
                          "");
    }
    if (authority == 0 || strpbrk(url, "?#") || strpbrk(url, " \t\r\n")) {
        return refuse_url(ret_reason, error,
                          "%s: the URL must be https://HOST/PATH without a query or blanks", url);
    }
    return true;
}

/* ---- Talking to the server ---- */

static int on_progress(const git_indexer_progress *progress, void *context)
{
    struct fetch *fetch = context;
    struct transport *transport = &fetch->transport;
    if (transport->reason != FETCH_SUCCEEDED) {
        return -1;
    }
    if (progress->received_bytes > transport->receive_maximum) {
        return transport_fail(transport, FETCH_TOO_LARGE, ERROR_LIMIT,
                              "%s is larger than the fetcher takes (--max-repository-size); raise "
                              "the limit or make the repository smaller",
                              fetch->request->url);
    }
    if (clock_monotonic_ms() > transport->deadline_ms) {
        return transport_fail_timeout(transport);
    }
    return 0;
}

static void prepare(struct fetch *fetch)
{
    const struct fetch_request *request = fetch->request;
    fetch->size_before = mirror_size(request->directory);
    fetch->transport = (struct transport){
        .url = request->url,
        .username = request->username,
        .password = request->password,
        .bearer_token = request->bearer_token,
        .authorities = request->authorities,
        .identity = request->identity,
        .known_hosts = request->known_hosts,
        .certificate = request->certificate,
        .key = request->key,
        .proxy = request->proxy,
        .proxy_username = request->proxy_username,
        .proxy_password = request->proxy_password,
        .receive_maximum = request->size_maximum > fetch->size_before
                               ? request->size_maximum - fetch->size_before
                               : 0,
        .deadline_ms = clock_monotonic_ms() + request->timeout_ms,
    };
    git_fetch_options_init(&fetch->options, GIT_FETCH_OPTIONS_VERSION);
    fetch->options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    fetch->options.callbacks.transfer_progress = on_progress;
    fetch->options.callbacks.payload = fetch;
    if (text_has_prefix(request->url, "https://")) {
        fetch->options.callbacks.transport = http_transport_new;
    } else if (text_has_prefix(request->url, "ssh://")) {
        fetch->options.callbacks.transport = ssh_transport_new;
    }
}

/* Whether the branch was elsewhere before, at a commit that is not in its history now. */
static bool was_forced(struct fetch *fetch)
{
    const char *previous = fetch->request->previous;
    const char *at = previous ? strrchr(previous, '@') : NULL;
    git_oid before;
    if (!at || fetch->is_tag || !text_has_prefix(at, "@sha1:") ||
        (size_t)(at - previous) != strlen(fetch->name) ||
        strncmp(previous, fetch->name, strlen(fetch->name)) != 0 ||
        git_oid_fromstr(&before, at + strlen("@sha1:")) < 0 ||
        git_oid_equal(&before, &fetch->commit)) {
        return false;
    }
    /* Absent is no ancestor either: the whole history is here. */
    return git_graph_descendant_of(fetch->repository, &fetch->commit, &before) != 1;
}

/* ---- Whose it is ---- */

static bool verify_one(struct fetch *fetch, const char *what, const git_oid *id,
                       char signer[VERIFY_SIGNER_SIZE])
{
    struct error why;
    if (verify_object(fetch->repository, id, fetch->request->keys, signer, &why) == VERIFY_SIGNED) {
        return true;
    }
    return fetch_fail(
        fetch, FETCH_VERIFICATION_FAILED, ERROR_DENIED,
        "%s of %s is not accepted: %s. What was fetched before stays in force. Sign it with "
        "a key of the Secret of spec.verify, or put the signer's public key there",
        what, fetch->request->url, why.message);
}

static bool verify(struct fetch *fetch, char signer[VERIFY_SIGNER_SIZE])
{
    const struct fetch_request *request = fetch->request;
    if (!request->keys) {
        return true;
    }
    char hex[FETCH_COMMIT_SIZE];
    git_oid_tostr(hex, sizeof hex, &fetch->commit);
    AUTO_FREE char *tag = mem_format("tag %s", fetch->name);
    AUTO_FREE char *commit = mem_format("commit %s", hex);
    return (!request->verify_tag || verify_one(fetch, tag, &fetch->tag, signer)) &&
           (!request->verify_head || verify_one(fetch, commit, &fetch->commit, signer));
}

static void describe(struct fetch *fetch, struct fetch_result *ret)
{
    git_oid_tostr(ret->commit, sizeof ret->commit, &fetch->commit);
    snprintf(ret->revision, sizeof ret->revision, "%s%ssha1:%s", fetch->name,
             fetch->name[0] ? "@" : "", ret->commit);
    ret->forced = was_forced(fetch);
    ret->cloned = fetch->was_empty;
    ret->received_bytes = fetch->remote ? git_remote_stats(fetch->remote)->received_bytes : 0;
}

/* ---- The whole ---- */

/* Opens the mirror. One with packs but without a head that can be read is broken, or its first
 * fetch was killed in its last moment: it is begun anew. */
static bool open_mirror(struct fetch *fetch)
{
    const struct fetch_request *request = fetch->request;
    fetch->reason = FETCH_FAILED;
    if (!mirror_open(request->directory, request->url, &fetch->repository, fetch->error)) {
        return false;
    }
    git_oid head;
    bool has_packs = mirror_pack_count(request->directory) > 0;
    if (has_packs && !mirror_head(fetch->repository, &head)) {
        git_repository_free(fetch->repository);
        fetch->repository = NULL;
        has_packs = false;
        if (!mirror_empty(request->directory, fetch->error) ||
            !mirror_open(request->directory, request->url, &fetch->repository, fetch->error)) {
            return false;
        }
    }
    fetch->was_empty = !has_packs;
    return true;
}

static bool attempt(struct fetch *fetch, struct fetch_result *ret)
{
    if (!open_mirror(fetch)) {
        return false;
    }
    prepare(fetch);
    if (!fetch_follow(fetch) || !verify(fetch, ret->signer)) {
        return false;
    }
    describe(fetch, ret);
    mirror_tidy(fetch->repository, fetch->request->directory);
    return true;
}

static void release(struct fetch *fetch)
{
    git_remote_free(fetch->remote);
    git_repository_free(fetch->repository);
    fetch->remote = NULL;
    fetch->repository = NULL;
}

/* A failure that a mirror made anew may not have: one of libgit2's own, not of the server or the
 * user, or the limit, which dropping dead history may satisfy. */
static bool may_be_the_mirror(const struct fetch *fetch)
{
    return !fetch->was_empty &&
           (fetch->reason == FETCH_FAILED || fetch->reason == FETCH_TOO_LARGE) &&
           (fetch->transport.reason == FETCH_SUCCEEDED || fetch->reason == FETCH_TOO_LARGE);
}

bool fetch_check_credentials(const struct fetch_request *request, struct error *error)
{
    if (request->authorities && !transport_curl_check_authorities(request->authorities, error)) {
        return false;
    }
    if (request->proxy && !transport_curl_check_proxy(request->proxy, error)) {
        return error_prefix(error, "the Secret of spec.proxySecretRef");
    }
    if (!text_has_prefix(request->url, "ssh://")) {
        return (!request->certificate && !request->key) ||
               transport_curl_check_identity(text_or_empty(request->certificate),
                                             text_or_empty(request->key), error);
    }
    if (request->proxy) {
        return error_set(error, ERROR_INVALID,
                         "spec.proxySecretRef is for https:// only, and %s is another URL",
                         request->url);
    }
    if (!request->identity || !request->known_hosts) {
        return error_set(error, ERROR_INVALID,
                         "%s needs a Secret with identity (a private key) and known_hosts (the "
                         "server's keys, as ssh-keyscan prints them), and spec.secretRef that "
                         "names it",
                         request->url);
    }
    return ssh_transport_check_identity(request->identity, error);
}

bool fetch_run(const struct fetch_request *request, struct fetch_result *ret,
               enum fetch_reason *ret_reason, struct error *error)
{
    *ret = (struct fetch_result){0};
    if (!fetch_check_url(request->url, request->allow_file_urls, ret_reason, error)) {
        return false;
    }
    struct fetch fetch = {.request = request, .error = error, .reason = FETCH_FAILED};
    if (!fetch_check_credentials(request, error)) {
        *ret_reason = FETCH_SECRET_INVALID;
        return false;
    }
    struct fetch_result result = {0};
    bool fetched =
        (!request->fresh || mirror_empty(request->directory, error)) && attempt(&fetch, &result);
    if (!fetched && may_be_the_mirror(&fetch)) {
        release(&fetch);
        fetched = mirror_empty(request->directory, error) && attempt(&fetch, &result);
    }
    release(&fetch);
    if (!fetched) {
        ret->retry_after_ms = fetch.transport.retry_after_ms;
        *ret_reason = fetch.reason;
        return false;
    }
    *ret = result;
    return true;
}
