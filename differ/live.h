/* The live objects that carry our label: one watch per kind, and of each object only what drift,
 * pruning and health need (about 300 bytes). The cluster is the inventory; nothing here is kept.
 *
 * A kind is watched from the first live_need on. Handlers are called from the event loop. */
#ifndef GITMOOR_DIFFER_LIVE_H
#define GITMOOR_DIFFER_LIVE_H

#include "common/base/digest.h"
#include "common/data/health.h"
#include "common/data/object.h"
#include "common/kube/resource.h"
#include "common/kube/watch.h"
#include "differ/hook.h"
#include "differ/keep.h"

struct live_group;

/* Of a live hook. */
struct live_hook {
    char *run; /* the annotation: for what it runs */
    enum hook_end end;
    char *message;
};

struct live_object {
    char *key; /* object_ref_key */
    char *uid;
    char *namespace_; /* "" for cluster-scoped */
    char *name;
    struct live_kind *kind;    /* the kind it is watched as */
    uint64_t version;          /* resourceVersion; comparable since Kubernetes 1.35 (KEP-5504) */
    uint64_t epoch;            /* of the watch: mark and sweep */
    int64_t told;              /* monotonic us, when its content was last looked at */
    struct digest fingerprint; /* zero: no managedFields entry of ours */
    enum health_status health;
    char *health_message;   /* NULL when Current */
    char *reason;           /* of break-glass, that stands on the object, or NULL */
    bool deleting;          /* deletionTimestamp is set */
    enum keep keep;         /* whether it stays when it leaves Git */
    bool unchanged;         /* the last event told of nothing that is kept here but its version */
    struct live_hook *hook; /* NULL: it is none */
    /* managedFields as they should be (owners.h), in this very version; NULL: as they are. Set by
     * the handler, forgotten with each newer version. */
    char *owners;
    bool owners_first; /* that must be written before the object is applied */
    struct live_group *group;
    struct live_object *previous, *next; /* in the group */
};

/* The objects that carry one label value. */
struct live_group {
    char *label;
    struct live_object *first;
    size_t count;
};

struct live_kind {
    char *name; /* "Kind.group" ("ConfigMap." for core), as Application status lists it */
    struct kube_resource resource; /* in the version that is watched */
    bool synced;                   /* the list is complete */
    uint64_t epoch;                /* of the last event or list */
    uint64_t epoch_before;         /* the last of the watch before this one */
    int64_t listed;                /* monotonic us: when the first list of this watch began */
    bool failing;
    char *trouble; /* why it cannot be watched, or NULL */
    struct kube_watch *watch;
    struct live *live;
};

struct live_handlers {
    /* An object appeared or changed (`object` is its tree, valid during the call) or was deleted
     * (`object` NULL; `live` is freed afterwards). `label` is the value of our label. */
    void (*changed)(struct live_object *live, const char *label, const cJSON *object,
                    void *context);
    /* A kind's list is complete, or its watch changed between failing and working. */
    void (*kind_changed)(struct live_kind *kind, void *context);
    /* Its health, `label` being that of its application. NULL: by the rules of kstatus. */
    enum health_status (*judge)(const char *label, const cJSON *object,
                                char ret_message[HEALTH_MESSAGE_SIZE], void *context);
    void *context;
};

struct live;
struct live *live_new(struct kube_client *client, const struct live_handlers *handlers);
void live_free(struct live *live);

/* Sees to it that the kind is watched. The resource is copied. */
struct live_kind *live_need(struct live *live, const struct kube_resource *resource);
/* Watches it in another version, since the one so far is served no more. */
void live_move(struct live_kind *kind, const struct kube_resource *resource);
/* Tells of an object that was listed beside the watch, as if the watch had. */
void live_take(struct live_kind *kind, const struct kube_event *event);
/* Lists it again, so that each object is told of once more; until then it is not synced. */
void live_list_again(struct live_kind *kind);
/* Watches no more those of which `is_needed` says so; what was known of their objects is told as
 * gone. */
void live_keep_kinds(struct live *live, bool (*is_needed)(const char *name, const void *context),
                     const void *context);
/* The kind by its name, or NULL if it is not watched. */
struct live_kind *live_kind_get(const struct live *live, const char *name);
/* `visit` may list a kind again, and make or drop none. */
void live_each_kind(struct live *live, void (*visit)(struct live_kind *kind, void *context),
                    void *context);
/* "Kind.group" of a resource; free(). */
char *live_kind_name(const char *group, const char *kind);

struct live_object *live_get(const struct live *live, const char *key);
const struct live_group *live_group_get(const struct live *live, const char *label);

/* Learns what the applier was answered, before the watch tells: so that neither an event of an
 * older version nor the absence of one is taken for drift. Makes the object if it is not known yet;
 * does nothing if it is known in a newer version. Until the watch shows it, its health is "in
 * progress": what is known of that is from before. */
void live_record(struct live *live, struct live_kind *kind, const struct object_ref *ref,
                 const char *label, const char *uid, const char *resource_version,
                 const struct digest *fingerprint);
/* The same: for what the hook runs that was applied. */
void live_record_run(struct live *live, const char *key, const char *run);
/* The same: what was applied says that it stays when it leaves Git. */
void live_record_keep(struct live *live, const char *key);
/* Learns that the owners are others by now: what is known of a version before this one is
 * forgotten, and the watch tells. What it has told already stays. */
void live_forget_owners(struct live *live, const char *key, uint64_t before);
/* Learns that its deletion was accepted, or that it was given up; the watch tells when it is gone,
 * from the cluster or from among those with our label. */
void live_record_deletion(struct live *live, const char *key, const char *uid);

struct live_stats {
    uint64_t events; /* seen on all watches */
    size_t objects, kinds;
};
struct live_stats live_stats(const struct live *live);

#endif
