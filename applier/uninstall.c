#include "applier/uninstall.h"

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/run/log.h"

#include <time.h>

#define APPLICATIONS "/apis/" GITMOOR_API_VERSION "/applications"
/* Metadata is all that counts; a page of it stays small. */
#define METADATA "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
#define PAGE "100"
#define TOKEN_MAXIMUM ((size_t)16 << 10)
#define LOOK_MS 500
#define ROUNDS 5u /* for those that somebody else writes at the same time */

/* ---- All that have it ---- */

struct visit {
    /* Called for each Application with our finalizer, with its place among them. */
    bool (*one)(struct visit *visit, const cJSON *metadata, int place, struct error *error);
    struct kube_client *client;
    size_t count; /* of those with it that count */
    size_t again; /* of those that are to be tried once more */
};

/* -1: it has none. */
static int finalizer_place(const cJSON *metadata)
{
    int place = 0;
    for (const cJSON *item = json_first(json_array(metadata, "finalizers")); item;
         item = item->next, place++) {
        if (cJSON_IsString(item) && text_equal(item->valuestring, GITMOOR_FINALIZER)) {
            return place;
        }
    }
    return -1;
}

static bool visit_page(struct visit *visit, const cJSON *page, struct error *error)
{
    for (const cJSON *item = json_first(json_array(page, "items")); item; item = item->next) {
        const cJSON *metadata = json_object(item, "metadata");
        int place = finalizer_place(metadata);
        if (place >= 0 && !visit->one(visit, metadata, place, error)) {
            return false;
        }
    }
    return true;
}

/* Without the definition there is no Application. */
static bool visit_all(struct visit *visit, struct error *error)
{
    AUTO_JSON cJSON *page = NULL;
    do {
        AUTO_BUF struct buf path;
        buf_init(&path, TOKEN_MAXIMUM);
        buf_append_string(&path, APPLICATIONS "?limit=" PAGE);
        const char *token = json_string_path(page, "metadata.continue");
        if (!text_is_empty(token)) {
            buf_append_string(&path, "&continue=");
            buf_append_percent(&path, token);
        }
        json_free(page);
        page = NULL;
        struct kube_request request = {.method = KUBE_GET, .path = path.data, .accept = METADATA};
        if (!kube_client_call_wait(visit->client, &request, &page, error)) {
            return error->code == ERROR_NOT_FOUND || error_prefix(error, "listing Applications");
        }
        if (!visit_page(visit, page, error)) {
            return false;
        }
    } while (!text_is_empty(json_string_path(page, "metadata.continue")));
    return true;
}

/* ---- Deletions under way ---- */

static bool count_deletion(struct visit *visit, const cJSON *metadata, int place,
                           struct error *error)
{
    (void)place, (void)error;
    if (json_string(metadata, "deletionTimestamp")) {
        visit->count++;
        log_debug("being deleted", "namespace", json_string(metadata, "namespace"), "application",
                  json_string(metadata, "name"));
    }
    return true;
}

bool uninstall_await_deletions(struct kube_client *client, int64_t patience_ms, size_t *ret_left,
                               struct error *error)
{
    static const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    int64_t deadline = clock_monotonic_ms() + patience_ms;
    for (;;) {
        struct visit visit = {.one = count_deletion, .client = client};
        if (!visit_all(&visit, error)) {
            return false;
        }
        if (visit.count == 0 || clock_monotonic_ms() >= deadline) {
            *ret_left = visit.count;
            return true;
        }
        nanosleep(&pause, NULL);
    }
}

/* ---- Taking it away ---- */

/* Only if it is still in its place, and nothing but it. */
static void write_removal(int place, struct buf *body)
{
    buf_append_format(body,
                      "[{\"op\":\"test\",\"path\":\"/metadata/finalizers/%d\","
                      "\"value\":\"" GITMOOR_FINALIZER "\"},"
                      "{\"op\":\"remove\",\"path\":\"/metadata/finalizers/%d\"}]",
                      place, place);
}

static bool release_one(struct visit *visit, const cJSON *metadata, int place, struct error *error)
{
    const char *namespace_ = json_string(metadata, "namespace");
    const char *name = json_string(metadata, "name");
    AUTO_BUF struct buf path, body;
    buf_init(&path, 1024);
    buf_init(&body, 512);
    buf_append_format(&path, "/apis/" GITMOOR_API_VERSION "/namespaces/%s/applications/%s",
                      namespace_ ? namespace_ : "", name ? name : "");
    write_removal(place, &body);
    struct kube_request request = {.method = KUBE_PATCH,
                                   .path = path.data,
                                   .content_type = KUBE_JSON_PATCH_TYPE,
                                   .body = body.data,
                                   .body_size = body.size};
    if (kube_client_call_wait(visit->client, &request, NULL, error)) {
        visit->count++;
        log_info("finalizer taken away", "namespace", namespace_, "application", name);
        return true;
    }
    if (error->code == ERROR_NOT_FOUND) {
        return true; /* gone in the meantime */
    }
    error_prefix(error, "taking the finalizer off Application %s/%s", namespace_, name);
    if (error->code == ERROR_CONFLICT || error->code == ERROR_INVALID) {
        visit->again++; /* its finalizers may have changed in the meantime */
        return true;
    }
    return false;
}

bool uninstall_release(struct kube_client *client, size_t *ret_released, struct error *error)
{
    *ret_released = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct visit visit = {.one = release_one, .client = client};
        if (!visit_all(&visit, error)) {
            return false;
        }
        *ret_released += visit.count;
        if (visit.again == 0) {
            return true;
        }
    }
    return false; /* the error is that of the last one */
}
