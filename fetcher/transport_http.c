#include "fetcher/transport_http.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "fetcher/transport_curl.h"

#include <git2/sys/transport.h>
#include <string.h>
#include <strings.h>

/* The pull buffer: above its mark the transfer is paused until libgit2 has read. One call of
 * libcurl's hands over CURL_MAX_WRITE_SIZE bytes at most. */
#define PULL_MARK ((size_t)256 << 10)
#define PULL_MAXIMUM (PULL_MARK + CURL_MAX_WRITE_SIZE)
/* What we send is wants and haves, 50 bytes each. */
#define REQUEST_MAXIMUM ((size_t)8 << 20)
#define REDIRECTS_MAXIMUM 5
/* For the end of a list of references: it is there, or as far away as the server's process that
 * wrote the list is from its own end. */
#define END_WAIT_MS 100
#define SERVICE_PATH "/info/refs?service=git-upload-pack"

struct session {
    git_smart_subtransport parent; /* first: libgit2 knows the session by it */
    struct transport *transport;
    CURLM *multi;
    char *base; /* the URL, without a trailing slash, after redirects */
    struct buf authorities;
};

struct stream {
    git_smart_subtransport_stream parent; /* first */
    struct session *session;
    CURL *easy;
    struct curl_slist *headers;
    struct buf request;
    struct buf received;
    size_t offset; /* read by libgit2 up to here */
    uint64_t total, maximum;
    bool advertisement; /* the list of references, not a pack */
    bool started, finished, paused, too_large;
    unsigned redirects;
    char curl_error[CURL_ERROR_SIZE];
};

/* ---- What an answer means ---- */

/* The first request makes the connection; those after it use it, and connect in no time. */
static bool is_connected(const struct stream *stream)
{
    curl_off_t took = 0;
    curl_easy_getinfo(stream->easy, CURLINFO_CONNECT_TIME_T, &took);
    return took > 0 || !stream->advertisement;
}

bool http_transport_rebase(char **base, const char *target)
{
    if (!transport_curl_same_server(*base, target) || !text_has_suffix(target, SERVICE_PATH)) {
        return false;
    }
    free(*base);
    *base = mem_string_n(target, strlen(target) - strlen(SERVICE_PATH));
    return true;
}

/* ---- The transfer ---- */

static size_t receive(char *data, size_t size, size_t count, void *context)
{
    struct stream *stream = context;
    size_t bytes = size * count;
    long status = 0;
    curl_easy_getinfo(stream->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        return bytes; /* an error page, judged by its status alone */
    }
    if (stream->received.size - stream->offset > PULL_MARK) {
        stream->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    stream->total += bytes;
    stream->session->transport->received += bytes;
    if (stream->total > stream->maximum) {
        stream->too_large = true;
        return 0;
    }
    buf_consume(&stream->received, stream->offset);
    stream->offset = 0;
    return buf_append(&stream->received, data, bytes) ? bytes : 0;
}

static void set_request(struct stream *stream, const char *url)
{
    CURL *easy = stream->easy;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, stream);
    if (!stream->advertisement) {
        stream->headers = curl_slist_append(stream->headers,
                                            "Content-Type: application/x-git-upload-pack-request");
        stream->headers =
            curl_slist_append(stream->headers, "Accept: application/x-git-upload-pack-result");
        stream->headers = curl_slist_append(stream->headers, "Expect:");
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, stream->headers);
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, stream->request.data);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)stream->request.size);
    }
}

static void stop(struct stream *stream)
{
    transport_curl_end(stream->session->multi, &stream->easy, &stream->headers);
}

static int start(struct stream *stream)
{
    struct session *session = stream->session;
    stop(stream);
    stream->easy = curl_easy_init();
    if (!stream->easy) {
        return transport_fail(session->transport, FETCH_FAILED, ERROR_INTERNAL,
                              "libcurl cannot make a handle");
    }
    stream->finished = false;
    stream->started = true;
    transport_curl_set_connection(stream->easy, session->transport, &session->authorities,
                                  stream->curl_error);
    transport_curl_set_credentials(stream->easy, session->transport);
    /* Servers tell Git's protocol from a browser by the "git/". */
    curl_easy_setopt(stream->easy, CURLOPT_USERAGENT,
                     "git/2.0 (gitmoor-fetcher " GITMOOR_VERSION ")");
    AUTO_FREE char *url = mem_format("%s%s", session->base,
                                     stream->advertisement ? SERVICE_PATH : "/git-upload-pack");
    set_request(stream, url); /* libcurl copies the URL */
    if (curl_multi_add_handle(session->multi, stream->easy) != CURLM_OK) {
        return transport_fail(session->transport, FETCH_FAILED, ERROR_INTERNAL,
                              "libcurl cannot start a transfer");
    }
    return 0;
}

static int follow_redirect(struct stream *stream)
{
    struct session *session = stream->session;
    char *target = NULL;
    curl_easy_getinfo(stream->easy, CURLINFO_REDIRECT_URL, &target);
    if (stream->advertisement && target && stream->redirects++ < REDIRECTS_MAXIMUM &&
        http_transport_rebase(&session->base, target)) {
        return start(stream);
    }
    return transport_fail(
        session->transport, FETCH_FAILED, ERROR_INVALID,
        "%s redirects to another server, or to something that is no repository, which is "
        "not followed, as credentials would go with it. Put the final address into "
        "spec.url",
        session->transport->url);
}

static int check_content_type(struct stream *stream)
{
    const char *expected = stream->advertisement ? "application/x-git-upload-pack-advertisement"
                                                 : "application/x-git-upload-pack-result";
    char *type = NULL;
    curl_easy_getinfo(stream->easy, CURLINFO_CONTENT_TYPE, &type);
    if (type && strncasecmp(type, expected, strlen(expected)) == 0) {
        return 0;
    }
    return transport_fail(
        stream->session->transport, FETCH_REPOSITORY_NOT_FOUND, ERROR_NOT_FOUND,
        "there is no Git repository at %s: the answer is of type %.60s. Check spec.url",
        stream->session->transport->url, type ? type : "unknown");
}

/* The transfer has ended with `code`. */
static int judge_end(struct stream *stream, CURLcode code)
{
    struct session *session = stream->session;
    if (stream->too_large) {
        return transport_fail(
            session->transport, FETCH_TOO_LARGE, ERROR_LIMIT,
            "%s sends more than the fetcher takes (--max-repository-size); raise the limit "
            "or make the repository smaller",
            session->transport->url);
    }
    if (code != CURLE_OK) {
        return transport_curl_fail(session->transport, session->transport->url, code,
                                   stream->curl_error, is_connected(stream));
    }
    long status = 0;
    curl_easy_getinfo(stream->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 300 && status < 400) {
        return follow_redirect(stream);
    }
    if (status != 200) {
        curl_off_t retry_after = 0;
        curl_easy_getinfo(stream->easy, CURLINFO_RETRY_AFTER, &retry_after);
        return transport_curl_fail_status(session->transport, session->transport->url, status,
                                          retry_after, "Git server");
    }
    stream->finished = true;
    return 0;
}

static int wait_for_data(struct stream *stream)
{
    struct session *session = stream->session;
    int64_t left = session->transport->deadline_ms - clock_monotonic_ms();
    if (left <= 0) {
        return transport_fail_timeout(session->transport);
    }
    curl_multi_poll(session->multi, NULL, 0, left > 1000 ? 1000 : (int)left, NULL);
    return 0;
}

/* Runs the transfer until there is something to read, or it has ended. */
static int drive(struct stream *stream)
{
    struct session *session = stream->session;
    while (stream->received.size == stream->offset && !stream->finished) {
        if (stream->paused) {
            stream->paused = false;
            curl_easy_pause(stream->easy, CURLPAUSE_CONT);
        }
        int running = 0;
        curl_multi_perform(session->multi, &running);
        int queued = 0;
        CURLMsg *message = curl_multi_info_read(session->multi, &queued);
        if (message && message->msg == CURLMSG_DONE) {
            if (judge_end(stream, message->data.result) < 0) {
                return -1;
            }
        } else if (stream->received.size == stream->offset && wait_for_data(stream) < 0) {
            return -1;
        }
    }
    return 0;
}

/* libgit2 reads to the last line, and a list that is sent in chunks ends after it. The connection
 * of a transfer without its end would be closed, and the request for the pack need another. */
static void await_end(struct stream *stream)
{
    struct session *session = stream->session;
    int64_t deadline = clock_monotonic_ms() + END_WAIT_MS, left = END_WAIT_MS;
    while (stream->started && !stream->finished && !stream->paused && left > 0) {
        int running = 0, queued = 0;
        curl_multi_perform(session->multi, &running);
        stream->finished = curl_multi_info_read(session->multi, &queued) != NULL;
        if (!stream->finished) {
            curl_multi_poll(session->multi, NULL, 0, (int)left, NULL);
        }
        left = deadline - clock_monotonic_ms();
    }
}

/* ---- What libgit2 calls ---- */

static int stream_read(git_smart_subtransport_stream *parent, char *buffer, size_t size,
                       size_t *ret_size)
{
    struct stream *stream = (struct stream *)parent;
    bool first = !stream->started;
    if (first && start(stream) < 0) {
        return -1;
    }
    if (drive(stream) < 0 || (first && check_content_type(stream) < 0)) {
        return -1;
    }
    size_t available = stream->received.size - stream->offset;
    size_t taken = available < size ? available : size;
    if (taken > 0) {
        memcpy(buffer, stream->received.data + stream->offset, taken);
    }
    stream->offset += taken;
    *ret_size = taken;
    return 0;
}

static int stream_write(git_smart_subtransport_stream *parent, const char *buffer, size_t size)
{
    struct stream *stream = (struct stream *)parent;
    if (stream->started || !buf_append(&stream->request, buffer, size)) {
        return transport_fail(stream->session->transport, FETCH_FAILED, ERROR_LIMIT,
                              "the request to %s is too large", stream->session->transport->url);
    }
    return 0;
}

static void stream_free(git_smart_subtransport_stream *parent)
{
    struct stream *stream = (struct stream *)parent;
    if (stream->advertisement && stream->session->transport->reason == FETCH_SUCCEEDED) {
        await_end(stream);
    }
    stop(stream);
    buf_release(&stream->request);
    buf_release(&stream->received);
    free(stream);
}

static int session_action(git_smart_subtransport_stream **ret, git_smart_subtransport *parent,
                          const char *url, git_smart_service_t service)
{
    struct session *session = (struct session *)parent;
    (void)url; /* that of the transport, which redirects may have replaced */
    if (service != GIT_SERVICE_UPLOADPACK_LS && service != GIT_SERVICE_UPLOADPACK) {
        return transport_fail(session->transport, FETCH_FAILED, ERROR_INTERNAL,
                              "this transport only fetches");
    }
    struct stream *stream = NEW(struct stream);
    stream->parent.subtransport = parent;
    stream->parent.read = stream_read;
    stream->parent.write = stream_write;
    stream->parent.free = stream_free;
    stream->session = session;
    stream->advertisement = service == GIT_SERVICE_UPLOADPACK_LS;
    stream->maximum = stream->advertisement ? TRANSPORT_ADVERTISEMENT_MAXIMUM
                                            : session->transport->receive_maximum;
    buf_init(&stream->request, REQUEST_MAXIMUM);
    buf_init(&stream->received, PULL_MAXIMUM);
    *ret = &stream->parent;
    return 0;
}

static int session_close(git_smart_subtransport *parent)
{
    (void)parent; /* connections live as long as the session */
    return 0;
}

static void session_free(git_smart_subtransport *parent)
{
    struct session *session = (struct session *)parent;
    curl_multi_cleanup(session->multi);
    buf_release(&session->authorities);
    free(session->base);
    free(session);
}

static int session_new(git_smart_subtransport **ret, git_transport *owner, void *transport)
{
    (void)owner;
    struct session *session = NEW(struct session);
    session->parent.action = session_action;
    session->parent.close = session_close;
    session->parent.free = session_free;
    session->transport = transport;
    session->base = mem_string(session->transport->url);
    for (size_t end = strlen(session->base); end > 0 && session->base[end - 1] == '/'; end--) {
        session->base[end - 1] = '\0';
    }
    session->multi = curl_multi_init();
    transport_curl_collect_authorities(session->transport, &session->authorities);
    *ret = &session->parent;
    return 0;
}

int http_transport_new(git_transport **ret, git_remote *owner, void *transport)
{
    git_smart_subtransport_definition definition = {session_new, 1, transport};
    return git_transport_smart(ret, owner, &definition);
}
