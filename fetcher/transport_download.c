#include "fetcher/transport_download.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/tenancy.h"
#include "fetcher/transport_curl.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define REDIRECTS_MAXIMUM 5
#define HEADER_MAXIMUM 8192

struct downloads {
    struct transport *transport;
    const char *server;
    const cJSON *servers;
    CURLM *multi;
    struct buf authorities;
};

/* One request of a download. */
struct transfer {
    struct downloads *downloads;
    struct download *download;
    CURL *easy;
    struct curl_slist *headers;
    char *url; /* after redirects */
    bool too_large;
    char error_text[CURL_ERROR_SIZE];
};

struct downloads *downloads_new(struct transport *transport, const char *server,
                                const cJSON *servers, struct error *error)
{
    struct downloads *downloads = NEW(struct downloads);
    downloads->transport = transport;
    downloads->server = server;
    downloads->servers = servers;
    downloads->multi = curl_multi_init();
    transport_curl_collect_authorities(transport, &downloads->authorities);
    if (!downloads->multi) {
        error_set(error, ERROR_INTERNAL, "libcurl cannot make a handle");
        downloads_free(downloads);
        return NULL;
    }
    return downloads;
}

void downloads_free(struct downloads *downloads)
{
    if (downloads) {
        curl_multi_cleanup(downloads->multi);
        buf_release(&downloads->authorities);
        free(downloads);
    }
}

/* ---- What comes ---- */

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t bytes = size * count;
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        return bytes; /* an error page, judged by its status alone */
    }
    transfer->downloads->transport->received += bytes;
    if (!buf_append(&transfer->download->body, data, bytes)) {
        transfer->too_large = true;
        return 0;
    }
    return bytes;
}

/* The value of the header, if the line is that; to be freed. */
static char *header_value(const char *line, size_t size, const char *name)
{
    size_t length = strlen(name);
    if (size <= length || strncasecmp(line, name, length) != 0 || line[length] != ':') {
        return NULL;
    }
    const char *value = line + length + 1, *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
    return mem_string_n(value, (size_t)(end - value));
}

static void keep(char **kept, char *value)
{
    if (value) {
        free(*kept);
        *kept = value;
    }
}

/* <…>; rel="next": the part between the brackets. */
static char *next_link(char *link)
{
    AUTO_FREE char *owned = link;
    const char *open = link ? strchr(link, '<') : NULL;
    const char *close = open ? strchr(open, '>') : NULL;
    return close && strstr(close, "next") ? mem_string_n(open + 1, (size_t)(close - open - 1))
                                          : NULL;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct download *download = ((struct transfer *)context)->download;
    size_t bytes = size * count;
    if (bytes <= HEADER_MAXIMUM) {
        keep(&download->etag_now, header_value(line, bytes, "ETag"));
        keep(&download->next, next_link(header_value(line, bytes, "Link")));
        char *challenge = header_value(line, bytes, "WWW-Authenticate");
        /* Of several, the one that hands out tokens. */
        if (download->challenge && challenge && strncasecmp(challenge, "Bearer", 6) != 0) {
            free(challenge);
        } else {
            keep(&download->challenge, challenge);
        }
    }
    return bytes;
}

/* ---- The request ---- */

static void add_header(struct transfer *transfer, const char *name, const char *value)
{
    if (value) {
        AUTO_FREE char *line = mem_format("%s: %s", name, value);
        transfer->headers = curl_slist_append(transfer->headers, line);
    }
}

static void set_credentials(struct transfer *transfer)
{
    const struct download *download = transfer->download;
    const struct transport *transport = transfer->downloads->transport;
    bool named = download->own_credentials && text_equal(transfer->url, download->url);
    if (!named && !transport_curl_same_server(transport->url, transfer->url)) {
        return;
    }
    if (download->token) {
        curl_easy_setopt(transfer->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(transfer->easy, CURLOPT_XOAUTH2_BEARER, download->token);
    } else {
        transport_curl_set_credentials(transfer->easy, transport);
    }
}

static bool prepare(struct transfer *transfer)
{
    struct downloads *downloads = transfer->downloads;
    struct download *download = transfer->download;
    transfer->easy = curl_easy_init();
    if (!transfer->easy) {
        return false;
    }
    buf_clear(&download->body);
    transport_curl_set_connection(transfer->easy, downloads->transport, &downloads->authorities,
                                  transfer->error_text);
    set_credentials(transfer);
    add_header(transfer, "Accept", download->accept);
    add_header(transfer, "If-None-Match", download->etag);
    if (download->compressible) {
        curl_easy_setopt(transfer->easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    }
    curl_easy_setopt(transfer->easy, CURLOPT_URL, transfer->url);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(transfer->easy, CURLOPT_USERAGENT, "gitmoor-fetcher/" GITMOOR_VERSION);
    curl_easy_setopt(transfer->easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)download->maximum);
    curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(transfer->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(transfer->easy, CURLOPT_HEADERDATA, transfer);
    return curl_multi_add_handle(downloads->multi, transfer->easy) == CURLM_OK;
}

static void finish(struct transfer *transfer)
{
    transport_curl_end(transfer->downloads->multi, &transfer->easy, &transfer->headers);
}

/* Runs it to its end; false: the deadline has passed. */
static bool drive(struct transfer *transfer, CURLcode *ret_code)
{
    struct downloads *downloads = transfer->downloads;
    for (;;) {
        int running = 0, queued = 0;
        curl_multi_perform(downloads->multi, &running);
        const CURLMsg *message = curl_multi_info_read(downloads->multi, &queued);
        if (message && message->msg == CURLMSG_DONE) {
            *ret_code = message->data.result;
            return true;
        }
        int64_t left = downloads->transport->deadline_ms - clock_monotonic_ms();
        if (left <= 0) {
            transport_fail_timeout(downloads->transport);
            return false;
        }
        curl_multi_poll(downloads->multi, NULL, 0, left > 1000 ? 1000 : (int)left, NULL);
    }
}

static bool fail_size(const struct transfer *transfer)
{
    const struct download *download = transfer->download;
    transport_fail(transfer->downloads->transport, FETCH_TOO_LARGE, ERROR_LIMIT,
                   "%s at %s is larger than %zu MiB, which is as much as the fetcher takes",
                   download->what, transfer->url, download->maximum >> 20);
    return false;
}

/* Whether another request is to be made: then transfer->url is where. */
static bool redirected(struct transfer *transfer, unsigned redirects, bool *ret_again)
{
    const struct downloads *downloads = transfer->downloads;
    char *target = NULL;
    curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &target);
    AUTO_FREE char *next = mem_string(target);
    *ret_again = next && redirects < REDIRECTS_MAXIMUM && text_has_prefix(next, "https://");
    if (*ret_again) {
        free(transfer->url);
        transfer->url = next;
        next = NULL;
        return true;
    }
    transport_fail(downloads->transport, FETCH_FAILED, ERROR_INVALID,
                   redirects >= REDIRECTS_MAXIMUM
                       ? "%s at %s redirects more than five times. Put the final address into "
                         "spec.url"
                       : "%s at %s redirects to nothing that begins with https://",
                   transfer->download->what, transfer->download->url);
    return false;
}

static bool judge(struct transfer *transfer, CURLcode code, unsigned redirects, bool *ret_again)
{
    struct downloads *downloads = transfer->downloads;
    struct download *download = transfer->download;
    curl_off_t connected = 0, retry_after = 0;
    if (transfer->too_large || code == CURLE_FILESIZE_EXCEEDED) {
        return fail_size(transfer);
    }
    if (code != CURLE_OK) {
        curl_easy_getinfo(transfer->easy, CURLINFO_CONNECT_TIME_T, &connected);
        transport_curl_fail(downloads->transport, transfer->url, code, transfer->error_text,
                            connected > 0);
        return false;
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &download->status);
    long status = download->status;
    if (status == 200 || (status == 304 && download->etag) ||
        (download->statuses && (status == 401 || status == 404))) {
        return true;
    }
    if (status >= 300 && status < 400) {
        return redirected(transfer, redirects, ret_again);
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after);
    transport_curl_fail_status(downloads->transport, transfer->url, status, retry_after,
                               downloads->server);
    return false;
}

static bool may_ask(const struct transfer *transfer)
{
    const struct downloads *downloads = transfer->downloads;
    if (transport_curl_same_server(downloads->transport->url, transfer->url) ||
        tenancy_url_matches(downloads->servers, transfer->url)) {
        return true;
    }
    transport_fail(downloads->transport, FETCH_NOT_ALLOWED, ERROR_DENIED,
                   "%s is at %s, which is another server than %s, and the tenancy settings do not "
                   "list it: ask whoever operates Gitmoor to add it to `repositories`",
                   transfer->download->what, transfer->url, downloads->transport->url);
    return false;
}

bool download_run(struct downloads *downloads, struct download *download)
{
    struct transfer transfer = {
        .downloads = downloads, .download = download, .url = mem_string(download->url)};
    buf_init(&download->body, download->maximum);
    bool again = true, done = true;
    for (unsigned redirects = 0; done && again; redirects++) {
        CURLcode code = CURLE_OK;
        again = false;
        done = may_ask(&transfer);
        if (done && !prepare(&transfer)) {
            transport_fail(downloads->transport, FETCH_FAILED, ERROR_INTERNAL,
                           "libcurl cannot start a transfer");
            done = false;
        }
        done = done && drive(&transfer, &code) && judge(&transfer, code, redirects, &again);
        finish(&transfer);
    }
    free(transfer.url);
    return done;
}

void download_release(struct download *download)
{
    buf_release(&download->body);
    free(download->etag_now);
    free(download->challenge);
    free(download->next);
}
