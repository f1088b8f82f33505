/* What Git declares for one application: its rendered objects, normalised, ready to be sent.
 *
 * Objects are kept as canonical JSON text (a tree would take eight times the memory) with a digest,
 * so that an object whose content did not change from one revision to the next is recognised. */
#ifndef GITMOOR_DIFFER_DESIRED_H
#define GITMOOR_DIFFER_DESIRED_H

#include "common/base/arena.h"
#include "common/base/digest.h"
#include "common/base/map.h"
#include "common/data/object.h"
#include "common/kube/resource.h"
#include "differ/hook.h"
#include "differ/ignore_fields.h"
#include "differ/order.h"
#include "differ/problem.h"

/* Repairs of one object's drift, to notice a fight (drift.c). Times are monotonic ms. */
struct drift_repairs {
    int64_t level;      /* of repairs, times the time in which one of them is forgotten */
    int64_t last;       /* repair; what `level` was then */
    int64_t not_before; /* backing off until then */
    unsigned failures;  /* in a row */
    unsigned waits;     /* made in this fight */
    bool fighting;
};

struct desired_object {
    struct object_ref ref;         /* strings in the set's arena, as all below */
    const char *key;               /* object_ref_key */
    struct kube_resource resource; /* under which path it is written */
    const char *text;              /* canonical JSON, with our label, as it is sent */
    size_t size;
    struct digest digest; /* of the text */
    const char *file;
    unsigned line;
    const char *const
        *left; /* JSON pointers of the fields that are left alone, whoever owns them */
    size_t left_count;
    bool moves_entries; /* all managedFields are to be of its version, or it cannot be applied */
    bool left_anew;     /* they are others than before: the live object is to be looked at again */

    int wave;      /* wave.h */
    bool keeps;    /* it stays when it leaves Git (keep.h) */
    bool denied;   /* the tenancy settings refuse it (permit.c) */
    bool recreate; /* the server has refused to change it, and it may be made anew (force.c) */

    /* What the server made of exactly this text: the fingerprint of the live object after it was
     * applied, or found to be so. Zero: not known yet. Live fingerprint equal: in sync. */
    struct digest synced;
    /* Set instead where the kind is watched in another version than it is declared in: the
     * resourceVersion whose live fingerprint is to become `synced` (drift_adopt). 0: none. */
    uint64_t adopt_version;

    struct drift_repairs repairs;
    int64_t drifted_at; /* monotonic ms: drift seen and not repaired; 0: none */
};

/* An object that is run at a moment, and not kept as it is declared. */
struct desired_hook {
    struct desired_object object; /* its wave orders hooks among themselves */
    struct hook_spec spec;
    bool ends;                /* see hook_kind_ends */
    int64_t keep_for_seconds; /* after its end (ttlSecondsAfterFinished); -1: as long as it likes */
};

#define DESIRED_HOOKS_MAXIMUM 100 /* the status tells of each */

struct desired_set {
    struct arena arena;
    int64_t built;                  /* monotonic us */
    struct desired_object *objects; /* sorted by order_compare */
    size_t count;
    struct desired_hook *hooks; /* sorted by order_compare */
    size_t hook_count;
    bool has_waves;         /* not all are of wave 0 */
    bool has_applications;  /* there are Applications among them */
    struct map by_key;      /* key → struct desired_object *, without the hooks */
    struct map hook_by_key; /* key → struct desired_hook * */
    struct digest content;  /* of all texts */
    const char *render_key; /* set by the owner: of the newest revision; NULL: of an earlier one */
};

/* What of an Application shapes its objects. */
struct desired_options {
    const char *namespace_; /* of the Application */
    const char *application;
    const char *target_namespace;       /* or NULL */
    const struct ignore_fields *ignore; /* or NULL */
    const char *default_namespace; /* where objects go that name none; NULL: the Application's */
    const struct kube_discovery *discovery;
    const struct desired_set *before; /* the set of the revision before, or NULL */
};

/* One rendered object as the worker hands it over. */
struct desired_input {
    const char *text;
    size_t size;
    const char *file;
    unsigned line;
};

/* Builds the set of the inputs. What is wrong goes to `problems`, object by object; the set is then
 * not complete and must not be applied. `unknown_kinds` gets a key "group/version/Kind" for each
 * kind that is not served: it may be after discovery is read anew. The caller frees the set. */
struct desired_set *desired_build(const struct desired_options *options,
                                  const struct desired_input *inputs, size_t count,
                                  struct problems *problems, struct map *unknown_kinds);
void desired_free(struct desired_set *set); /* NULL is fine */

/* Whose the fields of its live objects should be is to be judged anew: of all (NULL is fine), of
 * one. */
void desired_look_again(struct desired_set *set);
void desired_look_again_at(struct desired_set *set, struct desired_object *object);

bool desired_is_application(const struct object_ref *ref);

/* The object that is kept as it is declared; NULL: none, or a hook, or no set. */
struct desired_object *desired_find(const struct desired_set *set, const char *key);
/* Whether it is declared, as a hook or otherwise. */
bool desired_declares(const struct desired_set *set, const char *key);
/* All that is declared, the hooks last: for `index` from 0, NULL at the end. */
struct desired_object *desired_at(const struct desired_set *set, size_t index);

#endif
