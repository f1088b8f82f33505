/* Follows one object of ours by a watch until it has come where it is to be, and tells on standard
 * error what it says meanwhile. */
#ifndef GITMOOR_CLI_FOLLOW_H
#define GITMOOR_CLI_FOLLOW_H

#include "cli/cluster.h"
#include "cli/progress.h"
#include "common/base/buf.h"

struct follow {
    struct cluster *cluster;
    const struct kube_resource *kind;
    const char *namespace_, *name;
    const char *prefix; /* before each message: "" or "shop: " */
    /* Judges the object as it is now, and adds what there is to say of it to the message. */
    enum progress (*judge)(const cJSON *object, struct buf *message, void *context);
    void *context;
    char *said; /* last; the caller frees it, and may follow again meanwhile */
};

/* Until `until` (monotonic ms) at most; PROGRESS_WORKING: that is over. An object that is deleted
 * has failed. */
enum progress follow_until(struct follow *follow, int64_t until);

/* Says it unless it was said last. */
void follow_say(struct follow *follow, const char *message);

#endif
