/* List, then watch, for ever. See watch.h.
 *
 * A watch does one thing at a time: it waits for a page of the list (`call`), or for the stream
 * (`transfer`), or for the timer to try one of them again. What it knows is the resource version
 * up to which everything has been handed out; that is what makes a broken stream harmless. It is
 * forgotten, and the list read again, when the server no longer has the history (410). */
#include "common/kube/watch.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/backoff.h"
#include "common/kube/internal.h"
#include "common/kube/list.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#define PATH_MAXIMUM 4096
#define PAGE_SIZE 500
#define PAGE_BYTES (4U << 20) /* above, pages get smaller */
#define LIST_TIMEOUT_MS 60000
#define LINE_MAXIMUM (16U << 20)     /* an object is 1.5 MiB in etcd, 3 MiB in a request */
#define RECEIVED_MAXIMUM (64U << 20) /* the HTTP/2 window of a stream is 10 MiB */
#define ERROR_BODY_MAXIMUM (64U << 10)
#define STREAM_SECONDS 300 /* to twice as many, so that streams do not all end at once */
/* The API server sends a bookmark about each minute. */
#define IDLE_LIMIT_MS 150000
#define SETTLED_MS 5000 /* a stream that lasted so long was a good one */
#define SPREAD_MS 20    /* when all streams of a connection end at once */
#define VERSION_SIZE 256
#define URL_MAXIMUM 65536

struct kube_watch {
    struct kube_transfer transfer; /* first: a transfer of this file is a watch */
    struct kube_client *client;
    struct kube_watch_options options;
    struct event *timer; /* the next try, or while the stream runs: the idle limit */
    struct kube_call *call;
    struct kube_stream *stream;
    struct kube_header_set *headers;
    struct buf received;
    char version[VERSION_SIZE]; /* "": list next */
    char *continue_;            /* of the list under way, or NULL */
    uint64_t epoch;
    bool synced;
    unsigned page_size;
    struct kube_backoff backoff;
    int64_t stream_started;
    int64_t last_byte;
    bool stream_open;  /* it answered 200 */
    bool stream_ended; /* by what we read: an ERROR event, a malformed line */
    char *trouble;     /* the message told last, or NULL */
    cJSON *current;    /* the object of the event being handed out */
    unsigned depth;    /* callbacks on the stack */
    bool doomed;       /* freed from within one */
    char detail[CURL_ERROR_SIZE];
};

static void list_start(struct kube_watch *watch);
static void stream_start(struct kube_watch *watch);

/* ---- Telling the consumer. After each of these the watch may be doomed. ---- */

static void enter(struct kube_watch *watch)
{
    watch->depth++;
}

static void watch_destroy(struct kube_watch *watch)
{
    curl_easy_cleanup(watch->transfer.easy);
    event_free(watch->timer);
    kube_stream_free(watch->stream);
    buf_release(&watch->received);
    free(watch->continue_);
    free(watch->trouble);
    free((char *)watch->options.path);
    free((char *)watch->options.api_version);
    free((char *)watch->options.kind);
    free((char *)watch->options.label_selector);
    free((char *)watch->options.field_selector);
    free(watch);
}

/* Returns false if the watch is gone. */
static bool leave(struct kube_watch *watch)
{
    bool doomed = watch->doomed;
    if (--watch->depth == 0 && doomed) {
        watch_destroy(watch);
    }
    return !doomed;
}

static void tell_trouble(struct kube_watch *watch, const struct error *error)
{
    if (text_equal(watch->trouble, error ? error->message : NULL)) {
        return;
    }
    free(watch->trouble);
    watch->trouble = error ? mem_string(error->message) : NULL;
    if (watch->options.trouble && !watch->doomed) {
        watch->options.trouble(error, watch->options.context);
    }
}

/* Takes the object. */
static void tell_event(struct kube_watch *watch, enum kube_event_type type, cJSON *object,
                       bool listed)
{
    const struct kube_watch_options *options = &watch->options;
    if (options->metadata_only || !json_string(object, "apiVersion")) {
        json_set(object, "apiVersion", json_new_string(options->api_version));
    }
    if (options->metadata_only || !json_string(object, "kind")) {
        json_set(object, "kind", json_new_string(options->kind));
    }
    struct kube_event event = {
        .type = type,
        .object = object,
        .resource_version = text_or_empty(json_string_path(object, "metadata.resourceVersion")),
        .epoch = watch->epoch,
        .listed = listed,
    };
    watch->current = object;
    options->event(&event, options->context);
    json_free(watch->current);
    watch->current = NULL;
}

cJSON *kube_watch_take(struct kube_watch *watch)
{
    cJSON *object = watch->current;
    watch->current = NULL;
    return object;
}

/* ---- Trying again ---- */

static void set_timer(struct kube_watch *watch, int64_t milliseconds)
{
    struct timeval timeout = {milliseconds / 1000, (milliseconds % 1000) * 1000};
    evtimer_add(watch->timer, &timeout);
}

static void try_again(struct kube_watch *watch, const struct error *why, int64_t least)
{
    int64_t delay = kube_backoff_next(&watch->backoff, why, watch->synced);
    set_timer(watch, delay < least ? least : delay);
}

static void relist(struct kube_watch *watch)
{
    watch->version[0] = '\0';
    free(watch->continue_);
    watch->continue_ = NULL;
}

static void start(struct kube_watch *watch)
{
    if (watch->version[0]) {
        stream_start(watch);
    } else {
        list_start(watch);
    }
}

/* Remembers that everything up to here has been handed out. */
static bool set_version(struct kube_watch *watch, const char *version)
{
    size_t size = strlen(text_or_empty(version));
    if (size == 0 || size >= VERSION_SIZE) {
        return false;
    }
    memcpy(watch->version, version, size + 1);
    return true;
}

/* ---- The list ---- */

static void append_query(struct kube_watch *watch, struct buf *path)
{
    const struct kube_watch_options *options = &watch->options;
    if (!text_is_empty(options->label_selector)) {
        buf_append_string(path, "&labelSelector=");
        buf_append_percent(path, options->label_selector);
    }
    if (!text_is_empty(options->field_selector)) {
        buf_append_string(path, "&fieldSelector=");
        buf_append_percent(path, options->field_selector);
    }
}

static bool on_item(cJSON *tree, void *context)
{
    struct kube_watch *watch = context;
    tell_event(watch, KUBE_EVENT_PRESENT, tree, true);
    return !watch->doomed;
}

/* One page. False: the list cannot go on. */
static bool read_page(struct kube_watch *watch, const struct kube_response *response,
                      struct error *error)
{
    AUTO_JSON cJSON *metadata = NULL;
    if (!kube_list_split(response->body, response->size, on_item, watch, &metadata, error)) {
        return error_prefix(error, "GET %s", watch->options.path);
    }
    if (watch->doomed) {
        return true;
    }
    const char *next = json_string(metadata, "continue");
    free(watch->continue_);
    watch->continue_ = text_is_empty(next) ? NULL : mem_string(next);
    if (!watch->continue_ && !set_version(watch, json_string(metadata, "resourceVersion"))) {
        return error_set(error, ERROR_INVALID, "GET %s: the list has no resourceVersion",
                         watch->options.path);
    }
    if (response->size > PAGE_BYTES && watch->page_size > 1) {
        watch->page_size /= 2;
    }
    return true;
}

static void list_failed(struct kube_watch *watch, const struct error *error, int64_t least)
{
    relist(watch);
    tell_trouble(watch, error);
    if (!watch->doomed) {
        try_again(watch, error, least);
    }
}

static void list_page(struct kube_watch *watch);

static void read_list(struct kube_watch *watch, const struct kube_response *response)
{
    struct error error;
    if (response->error.code == ERROR_LIMIT && watch->page_size > 1) {
        watch->page_size /= 2; /* the same page, in smaller pieces */
        list_page(watch);
        return;
    }
    if (response->status == 410 && watch->continue_) {
        relist(watch); /* compacted between two pages: nothing that anybody need know */
        try_again(watch, NULL, 0);
        return;
    }
    if (!response->ok) {
        list_failed(watch, &response->error, response->retry_after_ms);
        return;
    }
    if (!read_page(watch, response, &error)) {
        if (!watch->doomed) {
            list_failed(watch, &error, 0);
        }
        return;
    }
    if (watch->doomed) {
        return;
    }
    tell_trouble(watch, NULL);
    if (watch->doomed) {
        return;
    }
    if (watch->continue_) {
        list_page(watch);
        return;
    }
    watch->synced = true;
    kube_backoff_reset(&watch->backoff);
    if (watch->options.synced) {
        watch->options.synced(watch->epoch, watch->options.context);
    }
    if (!watch->doomed) {
        stream_start(watch);
    }
}

static void on_page(const struct kube_response *response, void *context)
{
    struct kube_watch *watch = context;
    watch->call = NULL;
    enter(watch);
    read_list(watch, response);
    leave(watch);
}

static void list_page(struct kube_watch *watch)
{
    AUTO_BUF struct buf path = {0};
    buf_init(&path, URL_MAXIMUM);
    buf_append_format(&path, "%s?limit=%u", watch->options.path, watch->page_size);
    append_query(watch, &path);
    if (watch->continue_) {
        buf_append_string(&path, "&continue=");
        buf_append_percent(&path, watch->continue_);
    }
    struct kube_request request = {
        .path = path.data,
        .accept = watch->options.metadata_only
                      ? "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
                      : NULL,
        .timeout_ms = LIST_TIMEOUT_MS,
        .no_retry = true, /* the watch does it, and tells of trouble at once */
    };
    watch->call = kube_client_call(watch->client, &request, on_page, watch);
}

static void list_start(struct kube_watch *watch)
{
    relist(watch);
    watch->epoch++;
    list_page(watch);
}

/* ---- The stream ---- */

static void stream_stop(struct kube_watch *watch)
{
    kube_http_stop(watch->client->watches, &watch->transfer);
    evtimer_del(watch->timer);
    if (watch->headers) {
        kube_headers_put(watch->headers);
        watch->headers = NULL;
    }
}

/* The stream has ended for a reason of its own; it goes on where it was. */
static void stream_resume(struct kube_watch *watch)
{
    bool settled = watch->stream_open && clock_monotonic_ms() - watch->stream_started >= SETTLED_MS;
    stream_stop(watch);
    if (settled) {
        kube_backoff_reset(&watch->backoff);
        set_timer(watch, kube_backoff_spread(0, SPREAD_MS));
    } else {
        try_again(watch, NULL, 0);
    }
}

static void stream_failed(struct kube_watch *watch, const struct error *error, bool list,
                          int64_t least)
{
    stream_stop(watch);
    if (list) {
        relist(watch);
    }
    tell_trouble(watch, error);
    if (!watch->doomed) {
        try_again(watch, error, least);
    }
}

/* An ERROR event, or an answer that is none of 2xx. */
static void stream_refused(struct kube_watch *watch, int status, const cJSON *body)
{
    struct error error;
    char reason[64];
    curl_off_t retry_after = 0;
    kube_status_to_error(status, body, &error, reason);
    if (status == 410) {
        stream_stop(watch);
        relist(watch);
        try_again(watch, NULL, 0);
        return;
    }
    error_prefix(&error, "watching %s", watch->options.path);
    curl_easy_getinfo(watch->transfer.easy, CURLINFO_RETRY_AFTER, &retry_after);
    stream_failed(watch, &error, status >= 400 && status < 500 && status != 429,
                  (int64_t)retry_after * 1000);
}

/* One line of the stream; takes the object. */
static bool on_line(const char *type, cJSON *object, void *context)
{
    struct kube_watch *watch = context;
    AUTO_FREE char *version = mem_string(json_string_path(object, "metadata.resourceVersion"));
    if (text_equal(type, "ERROR")) {
        int status = (int)json_int(object, "code", 500);
        watch->stream_ended = true;
        stream_refused(watch, status, object);
        json_free(object);
        return false;
    }
    kube_backoff_reset(&watch->backoff);
    if (text_equal(type, "ADDED") || text_equal(type, "MODIFIED")) {
        tell_event(watch, KUBE_EVENT_PRESENT, object, false);
    } else if (text_equal(type, "DELETED")) {
        tell_event(watch, KUBE_EVENT_DELETED, object, false);
    } else {
        json_free(object); /* BOOKMARK: only its version matters */
    }
    if (!watch->doomed) {
        set_version(watch, version);
    }
    return !watch->doomed;
}

static void read_stream(struct kube_watch *watch)
{
    struct error error;
    if (!watch->stream_open) {
        return; /* the body of a refusal: read when it is complete */
    }
    tell_trouble(watch, NULL);
    if (watch->doomed) {
        return;
    }
    bool good = kube_stream_feed(watch->stream, watch->received.data, watch->received.size, &error);
    if (watch->doomed || watch->stream_ended) {
        return;
    }
    kube_buf_trim(&watch->received);
    if (!good) {
        watch->stream_ended = true;
        error_prefix(&error, "watching %s", watch->options.path);
        stream_failed(watch, &error, true, 0);
    }
}

static void on_stream_data(struct kube_transfer *transfer)
{
    struct kube_watch *watch = (struct kube_watch *)transfer;
    watch->last_byte = clock_monotonic_ms();
    enter(watch);
    read_stream(watch);
    leave(watch);
}

static void end_stream(struct kube_watch *watch, CURLcode result)
{
    long status = 0;
    struct error error;
    curl_easy_getinfo(watch->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    if (watch->stream_open) {
        stream_resume(watch);
    } else if (result == CURLE_OK) {
        AUTO_JSON cJSON *body = NULL;
        json_parse(watch->received.data, watch->received.size, NULL, &body, NULL);
        if (status == 401) {
            kube_headers_refresh(&watch->client->headers, true);
        }
        stream_refused(watch, (int)status, body);
    } else {
        kube_transfer_error(watch->client, "GET", watch->options.path, result, watch->detail,
                            &error);
        stream_failed(watch, &error, false, 0);
    }
}

static void on_stream_done(struct kube_transfer *transfer, CURLcode result)
{
    struct kube_watch *watch = (struct kube_watch *)transfer;
    enter(watch);
    end_stream(watch, result);
    leave(watch);
}

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    struct kube_watch *watch = context;
    (void)one;
    if (!watch->stream_open && watch->received.size + size > ERROR_BODY_MAXIMUM) {
        return size; /* a refusal needs no more words */
    }
    kube_http_mark(watch->client->watches, &watch->transfer);
    return buf_append(&watch->received, data, size) ? size : 0;
}

static size_t on_header(char *data, size_t one, size_t size, void *context)
{
    struct kube_watch *watch = context;
    long status = 0;
    (void)data;
    (void)one;
    curl_easy_getinfo(watch->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && !watch->stream_open) {
        watch->stream_open = true;
        kube_http_mark(watch->client->watches, &watch->transfer);
    }
    return size;
}

static void stream_start(struct kube_watch *watch)
{
    CURL *easy = watch->transfer.easy;
    AUTO_BUF struct buf url = {0};
    struct error error;
    struct kube_request request = {
        .accept = watch->options.metadata_only
                      ? "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
                      : NULL,
    };
    buf_init(&url, URL_MAXIMUM);
    kube_client_url(watch->client, watch->options.path, &url);
    buf_append_format(&url, "?watch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=",
                      (int)kube_backoff_spread(STREAM_SECONDS, 2 * STREAM_SECONDS));
    buf_append_percent(&url, watch->version);
    append_query(watch, &url);
    kube_stream_free(watch->stream);
    watch->stream = kube_stream_new(LINE_MAXIMUM, on_line, watch);
    buf_clear(&watch->received);
    watch->detail[0] = '\0';
    watch->stream_open = false;
    watch->stream_ended = false;
    watch->stream_started = watch->last_byte = clock_monotonic_ms();
    kube_headers_refresh(&watch->client->headers, false);
    kube_headers_get(&watch->client->headers, &request, &watch->headers, &error);
    curl_easy_setopt(easy, CURLOPT_URL, url.data);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, watch->headers->list);
    set_timer(watch, IDLE_LIMIT_MS);
    kube_http_start(watch->client->watches, &watch->transfer);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct kube_watch *watch = context;
    (void)fd;
    (void)what;
    if (!watch->transfer.running) {
        start(watch);
        return;
    }
    int64_t idle = clock_monotonic_ms() - watch->last_byte;
    if (idle < IDLE_LIMIT_MS) {
        set_timer(watch, IDLE_LIMIT_MS - idle);
    } else {
        stream_resume(watch);
    }
}

/* ---- Life ---- */

struct kube_watch *kube_watch_new(struct kube_client *client,
                                  const struct kube_watch_options *options)
{
    struct kube_watch *watch = NEW(struct kube_watch);
    watch->client = client;
    watch->options = *options;
    watch->options.path = mem_string(options->path);
    watch->options.api_version = mem_string(options->api_version);
    watch->options.kind = mem_string(options->kind);
    watch->options.label_selector = mem_string(options->label_selector);
    watch->options.field_selector = mem_string(options->field_selector);
    watch->page_size = options->page_size ? options->page_size : PAGE_SIZE;
    watch->timer = evtimer_new(client->base, on_timer, watch);
    buf_init(&watch->received, RECEIVED_MAXIMUM);
    watch->transfer.data = on_stream_data;
    watch->transfer.done = on_stream_done;
    watch->transfer.easy = kube_http_easy(client);
    curl_easy_setopt(watch->transfer.easy, CURLOPT_ERRORBUFFER, watch->detail);
    curl_easy_setopt(watch->transfer.easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(watch->transfer.easy, CURLOPT_WRITEDATA, watch);
    curl_easy_setopt(watch->transfer.easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(watch->transfer.easy, CURLOPT_HEADERDATA, watch);
    list_start(watch);
    return watch;
}

struct kube_watch *kube_watch_resource(struct kube_client *client,
                                       const struct kube_resource *resource,
                                       const struct kube_watch_options *options)
{
    struct kube_watch_options all = *options;
    AUTO_BUF struct buf path;
    buf_init(&path, PATH_MAXIMUM);
    kube_resource_path(resource, NULL, NULL, &path);
    AUTO_FREE char *api_version = *resource->group
                                      ? mem_format("%s/%s", resource->group, resource->version)
                                      : mem_string(resource->version);
    all.path = path.data;
    all.api_version = api_version;
    all.kind = resource->kind;
    return kube_watch_new(client, &all);
}

void kube_watch_free(struct kube_watch *watch)
{
    if (!watch || watch->doomed) {
        return;
    }
    stream_stop(watch);
    kube_call_cancel(watch->call);
    watch->call = NULL;
    watch->doomed = true;
    if (watch->depth == 0) {
        watch_destroy(watch);
    }
}
