/* What identifies a Kubernetes object, and the few names that Gitmoor gives and looks for. */
#ifndef GITMOOR_DATA_OBJECT_H
#define GITMOOR_DATA_OBJECT_H

#include "common/base/arena.h"
#include "common/base/digest.h"
#include "common/data/json.h"

#define GITMOOR_GROUP "gitmoor.io"
#define GITMOOR_API_VERSION "gitmoor.io/v1alpha1"
#define GITMOOR_FIELD_MANAGER "gitmoor"
#define GITMOOR_LABEL "gitmoor.io/managed-by"
#define GITMOOR_RECONCILE_ANNOTATION "gitmoor.io/reconcile-requested-at"
#define GITMOOR_APPROVED_ANNOTATION "gitmoor.io/approved-revision"
/* The revision whose coming somebody waits for: status.observedRevision tells it. */
#define GITMOOR_AWAITED_ANNOTATION "gitmoor.io/awaited-revision"
/* The revision that may be applied outside of the sync windows. */
#define GITMOOR_SYNC_ANNOTATION "gitmoor.io/sync-revision"
/* The revision that may take over what others have made: spec.adopt. */
#define GITMOOR_ADOPT_ANNOTATION "gitmoor.io/adopt-revision"
/* Holds an Application until everything that it manages is gone: spec.deletionPolicy. */
#define GITMOOR_FINALIZER "gitmoor.io/prune"
#define GITMOOR_BREAK_GLASS_ANNOTATION "gitmoor.io/break-glass-reason"
#define GITMOOR_BREAK_GLASS_GROUP "gitmoor:break-glass"
/* The applier impersonates service accounts; this key of userInfo.extra, set to the applier's user
 * name, tells admission that a request came through it. */
#define GITMOOR_APPLIER_EXTRA "gitmoor.io/applier"

struct object_ref {
    const char *group; /* "" for the core group */
    const char *version;
    const char *kind;
    const char *namespace_; /* "" for cluster-scoped objects, or where none is given */
    const char *name;
};

/* A member that kube adds to an object of which something could not be read
 * (json_parse_forgiving), with the reason. */
#define OBJECT_DAMAGED "gitmoor.io/damaged"

/* Reads apiVersion, kind, metadata.namespace and metadata.name. The strings point into the tree,
 * or, for group and version, into the arena. False with a message if apiVersion or kind is missing
 * or not a string, or if neither name nor generateName is there. */
bool object_ref_from_json(const cJSON *object, struct arena *arena, struct object_ref *ret,
                          struct error *error);

/* "group/Kind/namespace/name", the key that maps of objects use: without the version, since one
 * object is served in many. */
char *object_ref_key(const struct object_ref *ref, struct arena *arena);

/* "Deployment shop/web", "Namespace shop", for people. */
char *object_ref_describe(const struct object_ref *ref, struct arena *arena);

/* "apps/v1" or "v1". */
char *object_ref_api_version(const struct object_ref *ref, struct arena *arena);

/* Splits "apps/v1" or "v1". Returns false for more than one slash or an empty part. */
bool object_split_api_version(const char *api_version, struct arena *arena, const char **ret_group,
                              const char **ret_version);

/* What spec.source of an Application names, as one word: "shop" is a GitRepository, "helm:web" a
 * HelmRepository (a colon is in no name of Kubernetes). "<namespace>/<word>" is the key of a
 * source, on the bus and for sharing. NULL if it names none; to be freed. */
#define OBJECT_SOURCE_HELM "helm:"
char *object_source_word(const cJSON *application);
/* The name in such a word, and its kind. */
const char *object_source_name(const char *word, const char **ret_kind);

#define OBJECT_LABEL_VALUE_SIZE 64

/* The value of our label: "<namespace>.<application>", or, where that is over 63 characters, its
 * first 46, a dash and 16 hex digits of its SHA-256. */
void object_label_value(const char *namespace_, const char *application,
                        char ret_value[OBJECT_LABEL_VALUE_SIZE]);

/* The value of our label on the object, or NULL. */
const char *object_label(const cJSON *object);

/* The `fieldsV1` tree of our managedFields entry (manager "gitmoor", operation Apply, no
 * subresource), or NULL. With several (one per apiVersion), the newest by time. */
const cJSON *object_managed_fields(const cJSON *object);

/* The fingerprint of what Git declared, as it is live: a digest of the entry's field set and of the
 * values that the live object holds at those fields. Equal fingerprints: nothing that we own has
 * changed, been taken or been given, whatever else happened to the object. Zero if there is no
 * entry of ours. Time, apiVersion and order of the entries do not count; but the values are those
 * of the version the object was read in, so compare fingerprints of the same version only. Cost:
 * one walk of the set; no request, and nothing else need be remembered. */
void object_fingerprint(const cJSON *live, struct digest *ret);

#endif
