/* One object in the API server, kept as it is wanted: made by server-side apply, watched, and put
 * back when somebody edits or deletes it. */
#ifndef GITMOOR_ADMISSION_KEPT_H
#define GITMOOR_ADMISSION_KEPT_H

#include "common/data/json.h"
#include "common/kube/client.h"

struct event_base;
struct kept;

/* Cluster-scoped, of admissionregistration.k8s.io/v1. */
struct kept_what {
    const char *kind, *path; /* the path is that of all of the kind */
    const char *name;
    const char
        *content; /* its field that is compared: all else is the server's and other people's */
};

struct kept_handlers {
    /* It has been listed, or has changed. Before it is judged: the time for kept_adopt. */
    void (*seen)(struct kept *kept, void *context);
    /* Whether it stands may be another answer now. */
    void (*judged)(void *context);
    void *context;
};

/* `what` and the strings in it outlive it. Nothing is done before kept_want. */
struct kept *kept_new(struct event_base *base, struct kube_client *client,
                      const struct kept_what *what, const struct kept_handlers *handlers);
void kept_free(struct kept *kept);

/* What is wanted from now on, and written if it does not stand; NULL: that there is none. Takes the
 * object. */
void kept_want(struct kept *kept, cJSON *wanted);
/* The object is wanted in the place of the one that was, by somebody who has written it already. */
void kept_adopt(struct kept *kept, cJSON *wanted);

/* As it is in the server, if it is known and there is one. */
const cJSON *kept_live(const struct kept *kept);
/* Whether there is to be one. */
bool kept_is_wanted(const struct kept *kept);
/* Whether what is wanted is what there is. */
bool kept_stands(const struct kept *kept);

/* Removes it, and waits for that; one that does not exist is removed already. */
bool kept_remove(struct kube_client *client, const struct kept_what *what, struct error *error);

#endif
