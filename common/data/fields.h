/* FieldsV1: the sets of fields that managedFields records.
 *
 * A set is the JSON tree itself: members "f:<name>" (a field), "k:<json>" (the list item with these
 * keys), "v:<json>" (a set's item), "i:<index>", and "." (the container itself). Unknown prefixes
 * are skipped. Names may hold dots, slashes and colons: they are split at the first colon only.
 * Source: k8s.io/api meta/v1 FieldsV1, sigs.k8s.io/structured-merge-diff/v6/fieldpath. */
#ifndef GITMOOR_DATA_FIELDS_H
#define GITMOOR_DATA_FIELDS_H

#include "common/base/buf.h"
#include "common/data/json.h"

/* One step of the tree, resolved in an object: the child of `parent` that `member` names, or NULL
 * if the object has none (or the prefix is unknown: see fields_is_step). */
cJSON *fields_resolve(const cJSON *parent, const char *member);
bool fields_is_step(const char *member); /* one of f: k: v: i: */

/* Appends the step as refusals print it: ".image", "[name=\"c\"]", "[\"item\"]", "[3]"; a field
 * name that is not an identifier is written ["app.kubernetes.io/name"]. */
bool fields_append_step(struct buf *out, const char *member);

/* Calls `visit` for each leaf path of `before` that `after` lacks (after may be NULL: all of them),
 * in order of the sorted tree. A child that is lost while an ancestor became a leaf that `after`
 * owns is not lost. `path` is as fields_append_step prints it. Stops when visit returns false. */
void fields_lost(const cJSON *before, const cJSON *after,
                 bool (*visit)(const char *path, void *context), void *context);

/* Calls `visit` for each owned leaf of `set` whose value differs between the two objects: absent in
 * one, or not json_equal. A map or list that `set` owns as a leaf counts only as present or absent
 * if it is empty in `before`, or if another entry of the objects' own managedFields owns something
 * below it: the rest of it is then not ours. Without the schema nothing tells more. */
void fields_changed(const cJSON *set, const cJSON *before, const cJSON *after,
                    bool (*visit)(const char *path, void *context), void *context);

#define FIELDS_DEPTH_MAXIMUM 128 /* steps of a path; json_parse lets 100 levels through */

/* Splits a set in two: copies of the subtrees for which `stays` says so land in `ret_staying`, the
 * rest in `ret_going`, both empty objects before. `trail` has the `depth` steps from the root to
 * the subtree, `node` is what `object` holds there, or NULL. A container's own mark (".") goes with
 * what goes; if there is nothing else that goes, it stays. */
void fields_split(const cJSON *set, const cJSON *object,
                  bool (*stays)(const char *const *trail, unsigned depth, const cJSON *node,
                                void *context),
                  void *context, cJSON *ret_staying, cJSON *ret_going);

/* Adds to `into` what it lacks of `from`. */
void fields_merge(cJSON *into, const cJSON *from);

/* Adds the set's paths and the values that `object` holds there, in canonical order, to the
 * digest: object_fingerprint is made of it. Maps and lists that others own parts of count by their
 * presence, as in fields_changed. */
struct digest_state;
void fields_digest(const cJSON *set, const cJSON *object, struct digest_state *digest);

#endif
