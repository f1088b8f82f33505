/* List, then watch, for ever: paged lists, bookmarks, resumed after disconnects, relisted after 410
 * and after a gap, on connections of their own. No event is lost; one may be told twice.
 *
 * A watch hands out one parsed object at a time and keeps none. The consumer that keeps a map marks
 * each entry with the `epoch` of its last event; after `synced(epoch)` every entry of an older
 * epoch is gone from the server (mark and sweep). struct kube_store does this for small sets. */
#ifndef GITMOOR_KUBE_WATCH_H
#define GITMOOR_KUBE_WATCH_H

#include "common/kube/client.h"
#include "common/kube/resource.h"

enum kube_event_type { KUBE_EVENT_PRESENT, KUBE_EVENT_DELETED };

struct kube_event {
    enum kube_event_type type;
    const cJSON *object; /* valid during the callback. apiVersion and kind are always filled in */
    const char *resource_version;
    uint64_t epoch; /* number of the list that it belongs to or follows; starts at 1 */
    bool listed;    /* from the list, not from the stream */
};

struct kube_watch_options {
    const char *path;        /* collection path: kube_resource_path without a name; copied */
    const char *api_version; /* filled into list items, which lack them; copied */
    const char *kind;
    const char *label_selector; /* or NULL; copied */
    const char *field_selector; /* or NULL; copied */
    unsigned page_size;         /* 0: 500 */
    bool metadata_only;         /* ask for PartialObjectMetadata */
    void (*event)(const struct kube_event *event, void *context);
    void (*synced)(uint64_t epoch, void *context); /* the list is complete; may be NULL */
    /* The watch cannot list or connect: told on each change of the message, and with NULL when it
     * works again. It goes on trying with backoff. error->code NOT_FOUND: the kind is not served.
     */
    void (*trouble)(const struct error *error, void *context); /* may be NULL */
    void *context;
};

struct kube_watch;
struct kube_watch *kube_watch_new(struct kube_client *client,
                                  const struct kube_watch_options *options);
/* Of all objects of the resource: path, api_version and kind are filled in here. */
struct kube_watch *kube_watch_resource(struct kube_client *client,
                                       const struct kube_resource *resource,
                                       const struct kube_watch_options *options);
void kube_watch_free(struct kube_watch *watch); /* allowed from within its callbacks */

/* The decoder of a watch stream alone, for tests and the fuzz target: feed bytes as they come;
 * `event` takes the object of each {"type","object"} line, and returns whether it wants more.
 * False: the stream is malformed or a line too long. */
struct kube_stream;
struct kube_stream *kube_stream_new(size_t line_maximum,
                                    bool (*event)(const char *type, cJSON *object, void *context),
                                    void *context);
bool kube_stream_feed(struct kube_stream *stream, const char *data, size_t size,
                      struct error *error);
void kube_stream_free(struct kube_stream *stream);

/* ---- A watched set of objects, without their managedFields ---- */
struct kube_store_options {
    /* They are many: kept as texts, of which a tree is made when it is wanted. Ten times smaller;
     * only kube_store_copy and kube_store_each show them. */
    bool compact;
    struct kube_watch_options watch; /* event, synced, trouble and context are filled in here */
    /* `now` is NULL when the object is gone, `before` NULL when it is new. Not called for an event
     * that carries the resourceVersion already known. */
    void (*changed)(const char *namespace_, const char *name, const cJSON *now, const cJSON *before,
                    void *context);
    void (*synced)(void *context); /* first and every later complete list; may be NULL */
    void (*trouble)(const struct error *error, void *context); /* may be NULL */
    void *context;
};
struct kube_store;
struct kube_store *kube_store_new(struct kube_client *client,
                                  const struct kube_store_options *options);
void kube_store_free(struct kube_store *store); /* allowed from within its callbacks */
bool kube_store_is_synced(const struct kube_store *store);
/* The object, or NULL. Valid until the loop runs again. Not of a compact store. */
const cJSON *kube_store_get(const struct kube_store *store, const char *namespace_,
                            const char *name);
/* A copy of the object for the caller, or NULL. */
cJSON *kube_store_copy(const struct kube_store *store, const char *namespace_, const char *name);
size_t kube_store_count(const struct kube_store *store);
void kube_store_each(const struct kube_store *store,
                     void (*visit)(const cJSON *object, void *context), void *context);

#endif
