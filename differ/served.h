/* What changes which kinds the API server serves, whoever does it: definitions of custom resources,
 * and API services. Charts may ask for all of them (.Capabilities), so that no kind of our own has
 * to be missing before it matters. One watch of names each, and no request while nothing changes.
 */
#ifndef GITMOOR_DIFFER_SERVED_H
#define GITMOOR_DIFFER_SERVED_H

#include "common/kube/resource.h"
#include "common/kube/watch.h"

#include <event2/event.h>

struct served_options {
    struct kube_client *client;
    struct event_base *loop;
    struct kube_resource resource; /* the kind whose objects say what is served */
    /* How long after a change `changed` is called: the server serves a kind a moment after its
     * definition says so. Further changes meanwhile begin it anew. */
    int64_t settle_ms;
    void (*changed)(void *context);
    void *context;
};

struct served;
struct served *served_new(const struct served_options *options);
void served_free(struct served *served); /* NULL is allowed */

#endif
